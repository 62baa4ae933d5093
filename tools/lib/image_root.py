# tools/lib/image_root.py: what an image of Partywall consists of: the binaries, the shared libraries that they name
# and those name in turn, and which Debian packages those come from. Reads a system, or the root of another
# architecture's; never runs what it copies.
import gzip
import pathlib
import re
import shutil
import subprocess

TRIPLES = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
LOADERS = {"amd64": "lib64/ld-linux-x86-64.so.2", "arm64": "lib/ld-linux-aarch64.so.1"}
BINARIES = ("partywalld", "partywall", "partywall-probe")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class System:
    """Where the libraries of an architecture are: this machine, or an unpacked root."""

    def __init__(self, architecture, root="/"):
        self.architecture, self.root = architecture, pathlib.Path(root)
        self.triple = TRIPLES[architecture]

    def find(self, library):
        """The file that the loader would take. Fails with FileNotFoundError."""
        for folder in ("lib", "usr/lib"):
            path = self.root / folder / self.triple / library
            if path.exists():
                return path
        raise FileNotFoundError(f"no {library} for {self.architecture} below {self.root}")

    def package_of(self, library):
        """The Debian package that brings a library. A root of another architecture has no list of its packages: the
        same library of this machine, of the same release, says its name; the loader has one for each architecture."""
        if LOADERS[self.architecture].endswith(f"/{library}"):
            library = pathlib.PurePath(LOADERS["amd64"]).name
        paths = [f"{folder}/{TRIPLES['amd64']}/{library}" for folder in ("/usr/lib", "/lib")]
        found = subprocess.run(["dpkg-query", "-S", *paths], capture_output=True, text=True).stdout
        if not found:
            raise LookupError(f"no package has {library}")
        return found.split(":")[0]

    def details_of(self, package):
        """Version, source package and its version."""
        if self.root == pathlib.Path("/"):
            fields = "${Version}\n${source:Package}\n${source:Version}"
            return output("dpkg-query", "-W", "-f", fields, f"{package}:{self.architecture}").split("\n")
        changelog = self.root / "usr/share/doc" / package / "changelog.Debian.gz"
        source, version = re.match(r"(\S+) \((\S+)\)", gzip.open(changelog, "rt").readline()).groups()
        return [version, source, version]


def needed(file):
    return re.findall(r"\(NEEDED\)\s+Shared library: \[(.*)\]", output("readelf", "-d", str(file)))


def libraries(system, binaries):
    """Name -> file, of all that these binaries load."""
    found, todo = {}, [name for file in binaries for name in needed(file)]
    while todo:
        name = todo.pop()
        if name not in found and not LOADERS[system.architecture].endswith("/" + name):
            found[name] = system.find(name)
            todo += needed(found[name])
    return dict(sorted(found.items()))


def install(source, target, strip=True):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)
    if strip:
        subprocess.run(["llvm-strip-14", "--strip-all", str(target)], check=True)


def make_root(folder, binaries, system):
    """Fills `folder`. Returns package -> {"version", "source", "source_version", "files"}."""
    folder = pathlib.Path(folder)
    for name in BINARIES:
        install(binaries / name, folder / "usr/bin" / name)
    loader = LOADERS[system.architecture]
    files = {name: (file, f"usr/lib/{system.triple}/{name}")
             for name, file in libraries(system, [binaries / name for name in BINARIES]).items()}
    files[pathlib.PurePath(loader).name] = (system.find(pathlib.PurePath(loader).name), loader)
    packages = {}
    for name, (file, place) in files.items():
        # They are stripped as they come.
        install(file.resolve(), folder / place, strip=False)
        package = packages.setdefault(system.package_of(name), {"files": []})
        package["files"].append(place)
    for name, package in packages.items():
        keys = ("version", "source", "source_version")
        package.update(zip(keys, system.details_of(name)))
        # What scanners of images look for.
        status = folder / "var/lib/dpkg/status.d" / name
        status.parent.mkdir(parents=True, exist_ok=True)
        status.write_text(
            f"Package: {name}\nStatus: install ok installed\nArchitecture: {system.architecture}\n"
            f"Version: {package['version']}\nSource: {package['source']} ({package['source_version']})\n")
        copyright_file = system.root / "usr/share/doc" / name / "copyright"
        if copyright_file.is_file():
            target = folder / "usr/share/doc" / name / "copyright"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(copyright_file, target)
    (folder / "etc").mkdir()
    shutil.copyfile(system.root / "usr/lib/os-release", folder / "etc/os-release")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/:/usr/sbin/nologin\n")
    return packages
