# tools/lib/demo_frames.py: UDP by hand, for the demo: frames that no socket hook sees, and who receives them.
# send ADDRESS PORT COUNT: over a packet socket (CAP_NET_RAW). receive PORT FILE: writes how many have come.
import socket
import struct
import sys


def gateway():
    """Address and link address of the only neighbour."""
    with open("/proc/net/arp") as neighbours:
        fields = neighbours.readlines()[1].split()
    return fields[0], bytes.fromhex(fields[3].replace(":", ""))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def send(address, port, count):
    neighbour, mac = gateway()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((neighbour, 9))
        own = probe.getsockname()[0]
    payload = b"made by hand"
    udp = struct.pack("!4H", 40000, int(port), 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                     socket.inet_aton(own), socket.inet_aton(address))
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        frame = mac + wire.getsockname()[4] + b"\x08\x00" + ip + udp
        for _ in range(int(count)):
            wire.send(frame)
    print(f"{count} frames of {len(frame)} bytes sent")


def receive(port, path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", int(port)))
        count = 0
        while True:
            with open(path, "w") as file:
                file.write(f"{count} received\n")
            server.recv(2000)
            count += 1


if __name__ == "__main__":
    {"send": send, "receive": receive}[sys.argv[1]](*sys.argv[2:])
