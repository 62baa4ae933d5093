# tools/lib/demo_dns.py: the demo's name server: answers each question for an A record with one address. UDP only.
import socket
import struct
import sys


def answer(question, address):
    """The reply to a query of one question: its name, class IN, this address, 60 s."""
    end = question.index(b"\0", 12) + 5
    head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address)
    return head + question[12:end] + record


def main():
    own, address = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((own, 53))
        while True:
            question, client = server.recvfrom(4096)
            server.sendto(answer(question, address), client)


if __name__ == "__main__":
    main()
