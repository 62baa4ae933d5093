# tests/system/attackers/squatter.py: a program that lets every packet pass and tolerates no other beside it.
# Talks to the kernel directly: attaching without BPF_F_ALLOW_MULTI is nothing that tools offer any more.
import ctypes
import os
import platform

SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
PROG_LOAD, PROG_ATTACH, PROG_DETACH, OBJ_GET_INFO_BY_FD = 5, 8, 9, 15
CGROUP_SKB, EGRESS = 8, 1
ALLOW_MULTI = 2
# r0 = 1; exit
ALLOW_ALL = bytes.fromhex("b700000001000000" "9500000000000000")
LIBC = ctypes.CDLL(None, use_errno=True)


def bpf(command, *words):
    """bpf(2) with an attribute of these (value, bytes)."""
    attribute = b"".join(value.to_bytes(size, "little") for value, size in words)
    result = LIBC.syscall(SYS_BPF, command, attribute, len(attribute))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf {command}: {os.strerror(ctypes.get_errno())}")
    return result


class Squatter:
    """Sits on a cgroup's egress until it is closed."""

    def __init__(self, folder, flags=0):
        code = ctypes.create_string_buffer(ALLOW_ALL)
        licence = ctypes.create_string_buffer(b"GPL")
        self.program = bpf(PROG_LOAD, (CGROUP_SKB, 4), (len(ALLOW_ALL) // 8, 4),
                           (ctypes.addressof(code), 8), (ctypes.addressof(licence), 8), (0, 4),
                           (0, 4), (0, 8), (0, 4), (0, 4), (0, 16), (0, 4), (EGRESS, 4))
        self.cgroup = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        bpf(PROG_ATTACH, (self.cgroup, 4), (self.program, 4), (EGRESS, 4), (flags, 4))

    def id(self):
        """The kernel's number of the program."""
        info = ctypes.create_string_buffer(8)  # type and id
        bpf(OBJ_GET_INFO_BY_FD, (self.program, 4), (len(info), 4), (ctypes.addressof(info), 8))
        return int.from_bytes(info.raw[4:], "little")

    def close(self):
        bpf(PROG_DETACH, (self.cgroup, 4), (self.program, 4), (EGRESS, 4))
        os.close(self.program)
        os.close(self.cgroup)
