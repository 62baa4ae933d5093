# tests/system/package_test.py: the Debian package: built out of this build, looked into, installed into an empty root, upgraded,
# removed and purged there. And what its removal does to pins, on this machine.
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from partywall import Agent, World, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PARTYWALL_BIN", ROOT / "build/release/bin")).resolve().parent
PROGRAMS = {"usr/bin/partywall", "usr/sbin/partywalld"}
CONFIG = "etc/partywall/partywalld.yaml"
UNIT = "lib/systemd/system/partywalld.service"


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="pw-package-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        run("unshare", "--net", str(ROOT / "tools/package"), "--build", str(BUILD), "--out", str(cls.folder))
        [cls.package] = cls.folder.glob("*.deb")

    def field(self, name):
        return run("dpkg-deb", "--field", str(self.package), name).strip()

    def members(self):
        """path -> (mode and owner) of all that it installs."""
        lines = run("dpkg-deb", "--contents", str(self.package)).splitlines()
        return {words[5].removeprefix("./").rstrip("/"): words[:2] for words in (line.split() for line in lines)}

    def root(self):
        """An empty system that dpkg can install into."""
        root = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        for folder in ("updates", "info"):
            (root / "var/lib/dpkg" / folder).mkdir(parents=True)
        for file in ("status", "available"):
            (root / "var/lib/dpkg" / file).touch()
        return root

    @staticmethod
    def dpkg(root, *words):
        # There is no shell in the root: scripts run outside, and are told where it is. Nor are there the libraries.
        return run("dpkg", f"--root={root}", "--force-script-chrootless", "--force-depends", *words)

    def test_name_version_and_architecture(self):
        version = re.search(r"project\(partywall VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
        architecture = run("dpkg", "--print-architecture").strip()
        self.assertEqual(f"partywall_{version}_{architecture}.deb", self.package.name)
        self.assertEqual(["partywall", version, architecture],
                         [self.field(name) for name in ("Package", "Version", "Architecture")])

    def test_it_depends_on_what_the_programs_are_linked_with(self):
        wanted = {re.split(r"[ (]", one.strip())[0] for one in self.field("Depends").split(",")}
        self.assertLessEqual({"libc6", "libbpf1", "libcurl4", "libsystemd0", "libyaml-0-2"}, wanted)
        for name in PROGRAMS:
            linked = re.findall(r"=> (\S+/lib(?:bpf|fmt|mnl|spdlog|yaml)[-.]\S+)",
                                run("ldd", str(BUILD / "bin" / pathlib.Path(name).name)))
            self.assertGreater(len(linked), 2)
            for path in linked:
                # What dpkg knows by the path before /usr was merged, it does not know by the one after.
                found = [subprocess.run(["dpkg", "-S", one], capture_output=True, text=True).stdout
                         for one in (os.path.realpath(path), os.path.realpath(path).removeprefix("/usr"))]
                owner = next(filter(None, found), "").split(":")[0]
                self.assertTrue(owner, path)
                provided = run("dpkg-query", "-W", "-f", "${Package}, ${Provides}\n", owner)
                self.assertTrue(wanted & set(re.split(r"[,\s]+", provided)), path)

    def test_what_is_in_it(self):
        members = self.members()
        pages = {f"usr/share/man/man{page[-1]}/{page}.gz" for page in ("partywall.1", "partywall-policy.5", "partywalld.8")}
        self.assertLessEqual({*PROGRAMS, *pages, CONFIG, UNIT, "etc/partywall/policy.d",
                              "usr/share/doc/partywall/copyright"}, set(members))
        for name, (mode, owner) in members.items():
            self.assertEqual("root/root", owner, name)
            self.assertNotRegex(mode, "^.....w|^........w|s", f"{name}: others may not write it, nor run it as its owner")
        for name in PROGRAMS:
            self.assertEqual("-rwxr-xr-x", members[name][0])
        self.assertEqual("drwxr-x---", members["etc/partywall"][0])

    def test_installed_it_runs_and_nothing_is_enabled(self):
        root = self.root()
        self.dpkg(root, "--install", str(self.package))
        self.assertEqual("install ok installed", run("dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f",
                                                     "${Status}", "partywall"))
        self.assertRegex(run(str(root / "usr/sbin/partywalld"), "--version"), re.escape(self.field("Version")))
        self.assertRegex(run(str(root / "usr/bin/partywall"), "version"), re.escape(self.field("Version")))
        self.assertIn("ExecStart=/usr/sbin/partywalld", (root / UNIT).read_text())
        self.assertEqual([], [str(one) for one in root.rglob("etc/systemd/system/**/partywalld*")])

    def test_what_the_operator_wrote_outlives_upgrade_and_purge(self):
        root = self.root()
        self.dpkg(root, "--install", str(self.package))
        policy = root / "etc/partywall/policy.d/acme.yaml"
        policy.write_text("mine\n")
        config = root / CONFIG
        config.write_text("policyDir: /etc/partywall/policy.d\n")
        self.dpkg(root, "--force-confold", "--install", str(self.package))
        self.assertEqual("policyDir: /etc/partywall/policy.d\n", config.read_text())
        self.dpkg(root, "--remove", "partywall")
        self.assertTrue(config.exists())
        self.assertFalse((root / "usr/sbin/partywalld").exists())
        (root / "var/log/partywall").mkdir(parents=True)
        self.dpkg(root, "--purge", "partywall")
        self.assertEqual((False, False, True),
                         (config.exists(), (root / "var/log/partywall").exists(), policy.exists()))

    def test_only_removal_takes_out_what_is_in_the_kernel(self):
        if os.geteuid():
            raise AssertionError("the agent loads programs: run as root")
        world = World(("a",))
        self.addCleanup(world.close)
        agent = Agent(world, "apiVersion: partywall.dev/v1alpha1\nkind: Tier\nmetadata: {name: one}\n").start()
        agent.process.terminate()
        agent.process.wait(20)
        self.assertTrue(os.path.isdir(agent.bpffs), "an agent that ends leaves its pins")
        # The script as it is, but for where it finds the configuration and the program.
        control = self.folder / "control"
        run("dpkg-deb", "--control", str(self.package), str(control))
        config = self.folder / "pins.yaml"
        config.write_text(f'bpffs: "{agent.bpffs}"  # not the usual place\n')
        script = (control / "prerm").read_text()
        self.assertEqual(1, script.count("/" + CONFIG))
        self.assertEqual(1, script.count("/run/systemd/system"))
        script = script.replace("/" + CONFIG, str(config)).replace("/run/systemd/system", "/nowhere")
        path = f"{BUILD / 'bin'}:{os.environ['PATH']}"

        def prerm(what):
            run("sh", "-c", script, "prerm", what, env={**os.environ, "PATH": path})

        prerm("upgrade")
        self.assertTrue(os.path.isdir(agent.bpffs))
        prerm("remove")
        self.assertFalse(os.path.exists(agent.bpffs))


if __name__ == "__main__":
    unittest.main(verbosity=2)
