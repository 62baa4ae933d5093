# tests/vm/controllers_test.py: the controllers of cgroup2 (memory, cpu, pids), which the machine's own kernel may not
# give to this hierarchy. Runs in the virtual machines only.
import contextlib
import os
import signal
import time
import unittest

CGROUP2 = "/sys/fs/cgroup"


class ControllersTest(unittest.TestCase):
    @contextlib.contextmanager
    def cgroup(self, **limits):
        """A cgroup with these limits: file name, its dot an underscore -> what to write."""
        with open(f"{CGROUP2}/cgroup.subtree_control", "w") as control:
            control.write("+cpu +memory +pids +io")
        folder = f"{CGROUP2}/pw-vm"
        os.mkdir(folder)
        try:
            for name, value in limits.items():
                with open(f"{folder}/{name.replace('_', '.')}", "w") as file:
                    file.write(value)
            yield folder
        finally:
            os.rmdir(folder)

    def inside(self, folder, function):
        """Runs a function in a child in this cgroup. Returns (wait status, what it used)."""
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                with open(folder + "/cgroup.procs", "w") as procs:
                    procs.write(str(os.getpid()))
                code = function()
            finally:
                os._exit(code)
        _, status, usage = os.wait4(pid, 0)
        return status, usage

    def value(self, path, name):
        with open(path) as file:
            return int(dict(line.split() for line in file)[name])

    def test_memory(self):
        with self.cgroup(memory_max="16M") as folder:
            status, _ = self.inside(folder, lambda: len(b"m" * (64 << 20)) == 0)
            self.assertTrue(os.WIFSIGNALED(status), status)
            self.assertEqual(signal.SIGKILL, os.WTERMSIG(status))
            self.assertEqual(1, self.value(folder + "/memory.events", "oom_kill"))

    def test_cpu(self):
        def burn():
            end = time.monotonic() + 3
            while time.monotonic() < end:
                pass
            return 0

        with self.cgroup(cpu_max="20000 100000") as folder:
            status, usage = self.inside(folder, burn)
            self.assertEqual(0, status)
            used = usage.ru_utime + usage.ru_stime
            print(f"  a fifth of a processor: {used:.2f} s of 3 s", flush=True)
            self.assertLess(used, 1.2)
            self.assertGreater(self.value(folder + "/cpu.stat", "nr_throttled"), 10)

    def test_pids(self):
        def fork_once():
            try:
                pid = os.fork()
            except BlockingIOError:
                return 7
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
            return 0

        with self.cgroup(pids_max="1") as folder:
            status, _ = self.inside(folder, fork_once)
            self.assertEqual(7, os.WEXITSTATUS(status))
        with self.cgroup(pids_max="2") as folder:
            status, _ = self.inside(folder, fork_once)
            self.assertEqual(0, os.WEXITSTATUS(status), "control")


if __name__ == "__main__":
    unittest.main(verbosity=2)
