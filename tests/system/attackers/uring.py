# tests/system/attackers/uring.py: connect and send by io_uring, so that no such system call is ever made.
# Needs no privilege; talks to the kernel directly.
import ctypes
import errno
import mmap
import os
import socket
import struct

SETUP, ENTER = 425, 426  # the same number on every architecture
OP_SENDMSG, OP_CONNECT, OP_SEND, OP_SOCKET = 9, 16, 26, 45
SETUP_SQPOLL, ENTER_GETEVENTS, ENTER_SQ_WAKEUP = 2, 1, 2
OFFSET_SQ, OFFSET_CQ, OFFSET_SQES = 0, 0x8000000, 0x10000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Ring:
    """A ring of 4 entries, which carries out one operation at a time."""

    def __init__(self, poll=False):
        parameters = bytearray(120)
        struct.pack_into("=II", parameters, 8, SETUP_SQPOLL if poll else 0, 0)
        struct.pack_into("=I", parameters, 16, 2000)  # the polling thread idles after so many ms
        buffer = (ctypes.c_char * 120).from_buffer(parameters)
        self.poll = poll
        self.handle = LIBC.syscall(SETUP, 4, buffer)
        if self.handle < 0:
            raise OSError(ctypes.get_errno(), "io_uring_setup")
        self.entries, self.completions = struct.unpack_from("=II", parameters, 0)
        # head, tail, ring_mask, ring_entries, flags, dropped, array / cqes
        self.sq = struct.unpack_from("=7I", parameters, 40)
        self.cq = struct.unpack_from("=6I", parameters, 80)
        self.submission = mmap.mmap(self.handle, self.sq[6] + self.entries * 4, offset=OFFSET_SQ)
        self.completion = mmap.mmap(self.handle, self.cq[5] + self.completions * 16,
                                    offset=OFFSET_CQ)
        self.slots = mmap.mmap(self.handle, self.entries * 64, offset=OFFSET_SQES)

    def carry_out(self, operation, handle, address=0, length=0, offset=0):
        """The result of one operation, below 0 = -errno."""
        self.slots[:64] = struct.pack("=BBHiQQIIQHHIQQ", operation, 0, 0, handle, offset, address,
                                      length, 0, 0, 0, 0, 0, 0, 0)
        struct.pack_into("=I", self.submission, self.sq[6], 0)
        tail = struct.unpack_from("=I", self.submission, self.sq[1])[0]
        struct.pack_into("=I", self.submission, self.sq[6] + (tail & (self.entries - 1)) * 4, 0)
        struct.pack_into("=I", self.submission, self.sq[1], tail + 1)
        flags = ENTER_GETEVENTS | (ENTER_SQ_WAKEUP if self.poll else 0)
        while LIBC.syscall(ENTER, self.handle, 0 if self.poll else 1, 1, flags, None, 0) < 0:
            if ctypes.get_errno() != errno.EINTR:
                raise OSError(ctypes.get_errno(), "io_uring_enter")
        head = struct.unpack_from("=I", self.completion, self.cq[0])[0]
        at = self.cq[5] + (head & (self.completions - 1)) * 16 + 8
        result = struct.unpack_from("=i", self.completion, at)[0]
        struct.pack_into("=I", self.completion, self.cq[0], head + 1)
        return result

    def close(self):
        os.close(self.handle)


def check(result, what):
    if result < 0:
        raise OSError(-result, f"{what} by io_uring: {os.strerror(-result)}")
    return result


def connect_and_send(address, port, payload, kind=socket.SOCK_DGRAM, poll=False):
    """Socket, connect and send by io_uring alone where the kernel can make sockets that way."""
    ring = Ring(poll)
    made = ring.carry_out(OP_SOCKET, socket.AF_INET, offset=kind)
    if made == -errno.EINVAL:  # before 5.19
        made = socket.socket(socket.AF_INET, kind).detach()
    with socket.socket(socket.AF_INET, kind, fileno=check(made, "socket")) as client:
        name = ctypes.create_string_buffer(struct.pack("=H", socket.AF_INET) + struct.pack(
            "!H", port) + socket.inet_aton(address) + b"\0" * 8, 16)
        body = ctypes.create_string_buffer(payload, len(payload))
        try:
            check(ring.carry_out(OP_CONNECT, client.fileno(), ctypes.addressof(name), offset=16),
                  "connect")
            check(ring.carry_out(OP_SEND, client.fileno(), ctypes.addressof(body), len(payload)),
                  "send")
        finally:
            ring.close()
    return 1


def send_message(address, port, payload, poll=False):
    """An unconnected datagram by io_uring's sendmsg."""
    ring = Ring(poll)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        name = ctypes.create_string_buffer(struct.pack("=H", socket.AF_INET) + struct.pack(
            "!H", port) + socket.inet_aton(address) + b"\0" * 8, 16)
        body = ctypes.create_string_buffer(payload, len(payload))
        vector = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(body),
                                                         len(payload)), 16)
        # struct msghdr: name, its length, vectors, their number, control, its length, flags
        message = ctypes.create_string_buffer(struct.pack(
            "=QI4xQQQQI4x", ctypes.addressof(name), 16, ctypes.addressof(vector), 1, 0, 0, 0), 56)
        try:
            check(ring.carry_out(OP_SENDMSG, client.fileno(), ctypes.addressof(message), 1),
                  "sendmsg")
        finally:
            ring.close()
    return 1
