# tests/unit/includes_test.py: who may include whom (DESIGN.md, rooms), and that each file says where it stands. Reads
# the tree, compiles nothing.
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ("maps", "bpf", "agent", "tools", "tests", ".ci")
C_FAMILY = {".h", ".cc", ".c"}

# Headers of the C and C++ libraries that only compute.
PURE = r"[a-z_0-9]+|arpa/inet\.h|netinet/in\.h|stdint\.h|stddef\.h|string\.h"
# These have no place where there is no I/O and no clock.
IMPURE = r"fstream|iostream|istream|ostream|filesystem|thread|mutex|chrono|ctime|random"
LIBC = (
    r"[a-z_0-9]+|(sys|net|netinet|arpa|linux|asm)/[a-z_0-9/]+\.h|"
    r"(unistd|fcntl|dirent|poll|signal|time|strings|string|sched|fnmatch|glob|grp|pwd|"
    r"termios|getopt|ifaddrs|malloc|errno|stdint|stddef|stdio|stdlib|pthread|endian|ftw|limits|spawn)\.h"
)
MNL = r"libmnl/libmnl\.h"
LIBBPF = r"bpf/[a-z_0-9]+\.h"
KERNEL_API = r"linux/[a-z_0-9/]+\.h"
FMT = r"fmt/[a-z]+\.h"
LOG = r"spdlog/[a-z_0-9/]+(-inl)?\.h"
JSON = r"nlohmann/json(_fwd)?\.hpp"
CLI = r"CLI/[A-Za-z]+\.hpp"
METRICS = r"prometheus/[a-z_/]+\.h"
LOOP = r"event2/[a-z_]+\.h"
CURL = r"curl/curl\.h"
CRYPTO = r"openssl/evp\.h"
TLS = r"openssl/[a-z0-9_]+\.h"
SYSTEMD = r"systemd/sd-daemon\.h"
YAML = r"yaml\.h"

# The maps headers that bring no libbpf with them.
PLAIN_MAPS = r"maps/abi/.*|maps/result\.h|maps/fd\.h"

# Room -> (own headers it may include, library headers it may include). The longest room that a path
# begins with is the one that counts. What is not listed is forbidden.
TABLE = {
    "maps/abi/": (r"maps/abi/.*", rf"{PURE}|{KERNEL_API}"),
    "maps/": (r"maps/.*", rf"{LIBC}|{LIBBPF}|{FMT}"),
    "bpf/": (r"bpf/lib/.*|maps/abi/.*", rf"{KERNEL_API}|{LIBBPF}"),
    "agent/policy/": (
        r"agent/policy/.*|maps/result\.h|maps/abi/.*",
        rf"(?!({IMPURE})$)({PURE})|{FMT}|{YAML}",
    ),
    "agent/source/": (
        rf"agent/source/.*|agent/policy/.*|{PLAIN_MAPS}",
        rf"{LIBC}|{FMT}|{LOOP}",
    ),
    "agent/source/kubernetes/": (
        rf"agent/source/.*|agent/policy/.*|agent/observe/loop\.h|agent/version\.h|{PLAIN_MAPS}",
        rf"{LIBC}|{FMT}|{LOG}|{LOOP}|{JSON}|{CURL}|{CRYPTO}",
    ),
    "agent/kernel/": (
        r"agent/kernel/.*|agent/policy/.*|agent/source/cgroup_tree\.h|maps/.*|"
        r"bpf/[a-z_]+\.skel\.h",
        rf"{LIBC}|{LIBBPF}|{FMT}|{MNL}",
    ),
    "agent/observe/": (
        r"agent/observe/.*|agent/policy/.*|agent/version\.h|maps/.*|observe/syscall_names\.inc",
        rf"{LIBC}|{FMT}|{JSON}|{METRICS}|{LOOP}",
    ),
    "agent/access/": (
        r"agent/access/.*|agent/observe/.*|agent/source/kubernetes/(api_client|kept_file|kube_config|timer)\.h|"
        r"maps/result\.h|maps/fd\.h",
        rf"{LIBC}|{FMT}|{LOG}|{JSON}|{LOOP}|{TLS}",
    ),
    "agent/control/": (
        r"agent/control/.*|agent/observe/.*|maps/.*",
        rf"{LIBC}|{FMT}|{JSON}|{LOOP}",
    ),
    "agent/": (
        r"agent/.*|maps/.*",
        rf"{LIBC}|{FMT}|{LOG}|{JSON}|{CLI}|{METRICS}|{LOOP}|{SYSTEMD}|{YAML}",
    ),
    "tools/": (
        r"tools/.*|agent/policy/.*|agent/source/.*|agent/kernel/.*|agent/version\.h|maps/.*",
        rf"{LIBC}|{FMT}|{JSON}|{CLI}",
    ),
    "tests/": (r".*", r".*"),
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def room_of(path):
    return max((room for room in TABLE if path.startswith(room)), key=len)


def forbidden_includes(path, text):
    """The includes of the file `path` with content `text` that its room may not have."""
    own, libraries = TABLE[room_of(path)]
    found = []
    for quoted, angled in INCLUDE.findall(text):
        if quoted and not re.fullmatch(own, quoted):
            found.append(f'{path}: #include "{quoted}" is not for {room_of(path)}')
        if angled and not re.fullmatch(libraries, angled):
            found.append(f"{path}: #include <{angled}> is not for {room_of(path)}")
    return found


def wrong_first_line(path, text):
    """Why the first line (after a #! line) does not name the file, or ""."""
    lines = text.split("\n")
    first = lines[1] if text.startswith("#!") and len(lines) > 1 else lines[0]
    comment = "//" if pathlib.PurePath(path).suffix in C_FAMILY else "#"
    if first.startswith(f"{comment} {path}: "):
        return ""
    return f"{path}: begins with '{first[:60]}', not with '{comment} {path}: ...'"


def sources():
    """(path, text) of every source file and script of the tree."""
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*")):
            path = file.relative_to(ROOT).as_posix()
            if not file.is_file() or "__pycache__" in path:
                continue
            if file.suffix in C_FAMILY | {".py", ".sh"}:
                yield path, file.read_text(encoding="utf-8")
            elif not file.suffix and file.read_bytes().startswith(b"#!"):
                yield path, file.read_text(encoding="utf-8")


class IncludesTest(unittest.TestCase):
    def test_each_room_includes_only_what_the_table_allows(self):
        wrong = []
        seen = 0
        for path, text in sources():
            if pathlib.PurePath(path).suffix in C_FAMILY:
                seen += len(INCLUDE.findall(text))
                wrong += forbidden_includes(path, text)
        self.assertEqual([], wrong, "\n" + "\n".join(wrong))
        self.assertGreater(seen, 100, "the tree was not read")

    def test_what_is_forbidden_is_reported(self):
        for path, line in (
            ("agent/policy/compile.cc", "#include <bpf/bpf.h>"),
            ("agent/policy/compile.cc", "#include <fstream>"),
            ("agent/policy/compile.cc", "#include <unistd.h>"),
            ("agent/policy/compile.cc", '#include "maps/typed_map.h"'),
            ("agent/policy/compile.cc", '#include "agent/kernel/features.h"'),
            ("agent/source/folder.cc", '  #  include "maps/typed_map.h"'),
            ("agent/source/folder.cc", "#include <bpf/libbpf.h>"),
            ("agent/source/folder.cc", "#include <curl/curl.h>"),
            ("agent/source/kubernetes/reflector.cc", '#include "agent/observe/metrics.h"'),
            ("agent/kernel/links.cc", '#include "agent/observe/metrics.h"'),
            ("agent/kernel/links.cc", '#include "agent/source/policy_folder.h"'),
            ("agent/observe/metrics.cc", "#include <bpf/bpf.h>"),
            ("agent/control/server.cc", '#include "agent/kernel/datapath.h"'),
            ("agent/access/gate.cc", '#include "agent/source/kubernetes/cluster.h"'),
            ("agent/access/gate.cc", '#include "maps/typed_map.h"'),
            ("agent/observe/http_server.cc", "#include <openssl/ssl.h>"),
            ("agent/main.cc", '#include "tools/cli/output.h"'),
            ("agent/main.cc", "#include <bpf/bpf.h>"),
            ("maps/pins.h", '#include "agent/policy/image.h"'),
            ("maps/abi/events.h", "#include <bpf/bpf.h>"),
            ("bpf/packets.bpf.c", '#include "maps/pins.h"'),
            ("bpf/packets.bpf.c", '#include "vmlinux.h"'),
            ("bpf/packets.bpf.c", "#include <string.h>"),
            ("tools/cli/main.cc", '#include "agent/control/server.h"'),
            ("tools/cli/main.cc", "#include <boost/asio.hpp>"),
        ):
            self.assertEqual(1, len(forbidden_includes(path, line + "\n")), (path, line))

    def test_what_is_allowed_is_not_reported(self):
        for path, line in (
            ("agent/policy/parse.cc", "#include <yaml.h>"),
            ("agent/policy/parse.cc", "#include <charconv>"),
            ("agent/source/kubernetes/curl_loop.h", "#include <curl/curl.h>"),
            ("agent/access/tls_identity.cc", "#include <openssl/x509v3.h>"),
            ("agent/kernel/links.cc", "#include <bpf/bpf.h>"),
            ("agent/kernel/objects.h", '#include "bpf/packets.skel.h"'),
            ("bpf/packets.bpf.c", "#include <linux/bpf.h>"),
            ("tests/bpf/world.cc", "#include <bpf/bpf.h>"),
        ):
            self.assertEqual([], forbidden_includes(path, line + "\n"), (path, line))


class FirstLineTest(unittest.TestCase):
    def test_each_file_begins_with_its_path(self):
        wrong = [reason for path, text in sources() if (reason := wrong_first_line(path, text))]
        self.assertEqual([], wrong, "\n" + "\n".join(wrong))

    def test_a_wrong_first_line_is_reported(self):
        self.assertEqual("", wrong_first_line("maps/fd.h", "// maps/fd.h: closes itself.\n"))
        self.assertEqual("", wrong_first_line("tools/test", "#!/bin/bash\n# tools/test: runs.\n"))
        for path, text in (
            ("maps/fd.h", "#ifndef FD_H\n"),
            ("maps/fd.h", "// maps/pins.h: copied.\n"),
            ("maps/fd.h", "# maps/fd.h: wrong comment\n"),
            ("tools/test", "#!/bin/bash\nset -u\n"),
            ("tools/test", "#!/bin/bash"),
        ):
            self.assertNotEqual("", wrong_first_line(path, text), (path, text))


if __name__ == "__main__":
    unittest.main()
