# tests/system/attackers/xdp.py: one frame through an AF_XDP socket in copy mode, which no queueing
# discipline of the sender's device sees. Needs CAP_NET_RAW; talks to the kernel directly.
import ctypes
import mmap
import os
import socket
import struct

from attackers.frames import IP4, own_mac

AF_XDP, SOL_XDP = 44, 283
MMAP_OFFSETS, TX_RING, UMEM_REG, UMEM_FILL, UMEM_COMPLETION = 1, 3, 4, 5, 6
PGOFF_TX = 0x80000000
XDP_COPY = 2
FRAME_BYTES, FRAMES = 4096, 4
LIBC = ctypes.CDLL(None, use_errno=True)


def _set(handle, option, value):
    if LIBC.setsockopt(handle, SOL_XDP, option, value, len(value)):
        raise OSError(ctypes.get_errno(), f"AF_XDP option {option}")


def send_one(body, to, ethertype=IP4, device="eth0"):
    """Sends one frame with that body to the MAC `to`."""
    frame = to + own_mac(device) + struct.pack("!H", ethertype) + body
    memory = mmap.mmap(-1, FRAME_BYTES * FRAMES)
    memory[:len(frame)] = frame
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    with socket.socket(AF_XDP, socket.SOCK_RAW, 0) as raw:
        handle = raw.fileno()
        _set(handle, UMEM_REG, struct.pack("=QQIIII", start, FRAME_BYTES * FRAMES, FRAME_BYTES, 0,
                                           0, 0))
        for option in (UMEM_FILL, UMEM_COMPLETION, TX_RING):
            _set(handle, option, struct.pack("=I", FRAMES))
        offsets = raw.getsockopt(SOL_XDP, MMAP_OFFSETS, 128)  # rx, tx, fill, completion: 4 words
        producer, _, descriptors, _ = struct.unpack_from("=4Q", offsets, 32)
        ring = mmap.mmap(handle, descriptors + FRAMES * 16, offset=PGOFF_TX)
        # struct sockaddr_xdp: family, flags, interface, queue, shared descriptor
        name = struct.pack("=HHIII", AF_XDP, XDP_COPY, socket.if_nametoindex(device), 0, 0)
        if LIBC.bind(handle, name, len(name)):
            raise OSError(ctypes.get_errno(), "bind an AF_XDP socket: " +
                          os.strerror(ctypes.get_errno()))
        struct.pack_into("=QII", ring, descriptors, 0, len(frame), 0)
        struct.pack_into("=I", ring, producer, 1)
        if LIBC.sendto(handle, None, 0, socket.MSG_DONTWAIT, None, 0) < 0:
            raise OSError(ctypes.get_errno(), "send through an AF_XDP socket")
    return 1
