# tests/unit/scripts_test.py: what tools/setup and tools/test are made of. Needs no root; installs nothing.
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))

import count_junit  # noqa: E402

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
42 23 0:39 / /sys/fs/bpf rw,relatime - bpf bpf rw
"""
CONTAINER = """\
31 23 0:28 /docker/abc /sys/fs/cgroup ro,relatime shared:9 master:3 - cgroup2 cgroup rw
42 23 0:39 / /mnt/bpf rw,relatime - bpf bpf rw
"""


def shell(script, **environment):
    return subprocess.run(
        ["bash", "-c", f"source {ROOT}/tools/lib/ready.sh\n{script}"],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


class ReadyTest(Scripts):
    def has_mount(self, mountinfo, what):
        file = self.folder / "mountinfo"
        file.write_text(mountinfo)
        return shell(f"has_mount {what}", READY_MOUNTINFO=str(file)).returncode == 0

    def test_finds_mounts_of_the_whole_file_system(self):
        self.assertTrue(self.has_mount(HYBRID, "cgroup2"))
        self.assertTrue(self.has_mount(HYBRID, "bpf /sys/fs/bpf"))

    def test_a_part_or_another_place_is_no_mount(self):
        self.assertFalse(self.has_mount(CONTAINER, "cgroup2"))
        self.assertFalse(self.has_mount(CONTAINER, "bpf /sys/fs/bpf"))
        self.assertTrue(self.has_mount(CONTAINER, "bpf"))

    def test_says_everything_that_is_missing_and_what_to_do(self):
        (self.folder / "mountinfo").write_text(CONTAINER)
        said = shell("id() { echo 0; }; missing_in_kernel", READY_BTF="/nowhere",
                     READY_MOUNTINFO=str(self.folder / "mountinfo")).stdout
        for words in ("CONFIG_DEBUG_INFO_BTF", "mount -t cgroup2", "mount -t bpf"):
            self.assertIn(words, said)

    def test_not_root_is_said_alone(self):
        said = shell("id() { echo 1000; }; missing_in_kernel").stdout
        self.assertEqual("not root: run it with sudo, or as root\n", said)
        result = shell("id() { echo 1000; }; ready_kernel; echo went on")
        self.assertEqual((1, ""), (result.returncode, result.stdout))

    def test_names_the_packages_that_are_missing(self):
        said = shell("missing_packages dpkg no-such-package-1 bash no-such-package-2").stdout
        self.assertEqual("no-such-package-1\nno-such-package-2\n", said)

    def test_nothing_is_installed_without_root(self):
        result = shell("id() { echo 1000; }; packages[build]=no-such-package; install_packages build")
        self.assertEqual(1, result.returncode)
        self.assertIn("no-such-package", result.stderr)

    def test_progress_is_shown_in_steps_and_kept_in_the_log(self):
        lines = "".join(f"[{n}/50] Building\n" for n in range(1, 51)) + "warning: kept\n"
        (self.folder / "in").write_text(lines)
        said = shell(f"show_progress build {self.folder}/log <{self.folder}/in").stdout
        self.assertLessEqual(len(said.splitlines()), 7)
        self.assertIn("build 100%", said)
        self.assertEqual(lines, (self.folder / "log").read_text())


class ServicesTest(Scripts):
    def setUp(self):
        super().setUp()
        self.switch = self.folder / "policy-rc.d"

    def run_without_services(self, command):
        return shell(f"package_services=; without_services {command}",
                     READY_POLICY_RC=str(self.switch))

    def test_the_switch_is_there_while_packages_are_configured_and_gone_after(self):
        result = self.run_without_services(f"cat {self.switch}")
        self.assertIn("exit 101", result.stdout)
        self.assertFalse(self.switch.exists())

    def test_the_switch_goes_when_the_command_fails_or_is_interrupted(self):
        self.assertEqual(1, self.run_without_services("false").returncode)
        self.assertFalse(self.switch.exists())
        process = subprocess.Popen(
            ["bash", "-c", f"source {ROOT}/tools/lib/ready.sh; package_services=\n"
             "without_services sh -c 'echo ready; sleep 60'"],
            env={**os.environ, "READY_POLICY_RC": str(self.switch)},
            stdout=subprocess.PIPE, start_new_session=True)
        self.assertEqual(b"ready\n", process.stdout.readline())
        self.assertTrue(self.switch.exists())
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=10)  # to its end: the subshell may outlive the shell
        self.assertFalse(self.switch.exists())

    def test_somebody_elses_switch_stays(self):
        self.switch.write_text("#!/bin/sh\nexit 0\n")
        self.assertEqual(0, self.run_without_services("true").returncode)
        self.assertEqual("#!/bin/sh\nexit 0\n", self.switch.read_text())

    def test_our_own_switch_of_a_killed_run_goes(self):
        self.switch.write_text("#!/bin/sh\n# made by partywall tools/setup, which takes it away again\n")
        self.run_without_services("true")
        self.assertFalse(self.switch.exists())


class LeftoversTest(Scripts):
    LIST = f"source {ROOT}/tools/lib/leftovers.sh; list_leftovers"

    def test_a_process_and_a_file_are_named(self):
        program = self.folder / "partywall-stray"
        shutil.copy(shutil.which("sleep"), program)
        process = subprocess.Popen([program, "60"])
        try:
            with tempfile.NamedTemporaryFile(prefix="partywall-stray.", dir="/tmp") as file:
                said = shell(self.LIST).stdout
            self.assertIn(f"process partywall-stray, pid {process.pid}\n", said)
            self.assertIn(f"file {file.name}\n", said)
        finally:
            process.kill()
            process.wait()
        said = shell(self.LIST).stdout
        self.assertNotIn(f"pid {process.pid}\n", said)
        self.assertNotIn(file.name, said)


class CountTest(unittest.TestCase):
    def count(self, *states, code=0):
        cases = "".join(f'<testcase name="t" status="{state}"/>' for state in states)
        return count_junit.count(f'<testsuite>{cases}</testsuite>', code)

    def test_counts_what_ran_and_what_failed(self):
        self.assertEqual((3, 2, 1), self.count("run", "run", "fail", code=8))

    def test_a_skip_is_a_failure(self):
        self.assertEqual((2, 1, 1), self.count("run", "notrun"))

    def test_a_failed_ctest_is_never_clean(self):
        self.assertEqual((2, 1, 1), self.count("run", code=1))


if __name__ == "__main__":
    unittest.main()
