# tests/system/attackers/privileges.py: a process that keeps only what an attack is said to need. Never
# gains anything.
import ctypes
import os
import signal
import struct

CAPABILITIES = {"net_bind_service": 10, "net_admin": 12, "net_raw": 13, "sys_admin": 21, "bpf": 39}
NOBODY = 65534
LIBC = ctypes.CDLL(None, use_errno=True)
SET_PDEATHSIG, SET_KEEPCAPS, CAPBSET_DROP, CAP_AMBIENT, AMBIENT_RAISE = 1, 8, 24, 47, 2
CAPABILITY_VERSION_3 = 0x20080522


def _call(name, *arguments):
    if getattr(LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def keep_only(*names, uid=NOBODY):
    """From now on this process and what it executes are `uid` with these capabilities at most."""
    keep = {CAPABILITIES[name] for name in names}
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    _call("prctl", SET_KEEPCAPS, 1, 0, 0, 0)
    for number in range(last + 1):
        if number not in keep:
            _call("prctl", CAPBSET_DROP, number, 0, 0, 0)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    mask = sum(1 << number for number in keep)
    low, high = mask & 0xffffffff, mask >> 32
    _call("capset", struct.pack("=Ii", CAPABILITY_VERSION_3, 0),
          struct.pack("=6I", low, low, low, high, high, high))
    for number in keep:
        _call("prctl", CAP_AMBIENT, AMBIENT_RAISE, number, 0, 0)
    _call("prctl", SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a change of user clears it


def with_only(names, function, *args):
    """function(*args) with these capabilities only. Runs in a child that ends after it."""
    keep_only(*names)
    return function(*args)
