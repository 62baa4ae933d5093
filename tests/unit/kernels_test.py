# tests/unit/kernels_test.py: what tools/test-kernels works with: the order of modules, the tables. Boots nothing.
import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))

import verifier_cost  # noqa: E402
import vm_table  # noqa: E402

DEPENDENCIES = """\
kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/netfs/netfs.ko
kernel/net/9p/9pnet.ko:
kernel/fs/netfs/netfs.ko:
kernel/fs/overlayfs/overlay.ko:
kernel/drivers/net/dummy.ko:
"""


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pw-unit-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


class ModulesTest(Folder):
    def test_they_come_after_those_they_need(self):
        (self.folder / "modules.dep").write_text(DEPENDENCIES)
        said = subprocess.run(
            ["bash", "-c", f"ready_root={ROOT}; source {ROOT}/tools/lib/vm_kernels.sh; "
             f"boot_modules='9p overlay built_in'; module_order {self.folder}"],
            capture_output=True, text=True, check=True).stdout.split()
        names = [pathlib.Path(file).stem for file in said]
        self.assertEqual(["9p", "9pnet", "netfs", "overlay"], sorted(names))
        self.assertEqual("9p", names[2])


class TableTest(Folder):
    def run_of(self, name, job, code=None, report=None):
        results = self.folder / name
        results.mkdir()
        (results / "jobs").write_text(job + "\n")
        (results / "release").write_text("6.1.0-50-amd64\n")
        if code:
            (results / f"{job}.code").write_text(code)
        if report:
            (results / f"{job}.xml").write_text(report)

    def table(self, *names):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = vm_table.main(self.folder, self.folder / "counts", names)
        return code, said.getvalue()

    def test_a_report_and_an_exit_code_are_needed(self):
        good = '<testsuite><testcase name="t" status="run"/></testsuite>'
        for name, code, report, failed in (("6.1.bpf", "0 12\n", good, 0), ("a.bpf", None, good, 1),
                                           ("b.bpf", "0 12\n", None, 1), ("c.bpf", "8 1\n", good, 1),
                                           ("d.bpf", "0 12\n", "<testsuite>", 1)):
            self.run_of(name, "bpf", code, report)
            result, said = self.table(name)
            self.assertEqual(failed, result, said)
            self.assertIn(f"\n{failed} failed", said)
            self.assertEqual(str(failed), (self.folder / "counts").read_text().split()[2])
        self.assertRegex(self.table("6.1.bpf")[1], r"6\.1\.0-50-amd64 +bpf +1 +1 +0 +12")

    def test_a_machine_that_never_came_up_has_failed(self):
        self.run_of("6.1.system", "system")
        (self.folder / "6.1.system/release").unlink()
        self.assertRegex(self.table("6.1.system")[1], r"6\.1 +system +1 +0 +1 +no end")

    def test_no_machine_is_a_failure(self):
        self.assertEqual(1, self.table()[0])


class VerifierCostTest(unittest.TestCase):
    def test_the_page_says_what_the_baseline_says(self):
        table = verifier_cost.read_table(verifier_cost.BASELINE.read_text())
        page = verifier_cost.PAGE.read_text()
        self.assertEqual(page, verifier_cost.with_page(page, table))
        self.assertEqual(verifier_cost.BASELINE.read_text(), verifier_cost.text_of(table))

    def test_a_measured_kernel_replaces_its_column(self):
        old = {"6.12": {"o/p": 7, "o/gone": 3}, "6.1": {"o/p": 5}}
        new = verifier_cost.merged(old, "6.12\to/p\t8\n6.12\to/q\t9\n")
        self.assertEqual("program\t6.1\t6.12\no/p\t5\t8\no/q\t0\t9\n", verifier_cost.text_of(new))
        self.assertEqual({"6.1": {"o/p": 5, "o/q": 0}, "6.12": {"o/p": 8, "o/q": 9}},
                         verifier_cost.read_table(verifier_cost.text_of(new)))

    def test_a_page_without_a_place_for_it(self):
        with self.assertRaises(ValueError):
            verifier_cost.with_page("# Kernels\n", {})


if __name__ == "__main__":
    unittest.main()
