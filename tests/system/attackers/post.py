# tests/system/attackers/post.py: the receiver of the adversarial tests: every frame that reaches eth0 of a
# namespace, and what its sockets were given. Answers the honest, sends nothing else.
import select
import socket
import time

from attackers.servers import SO_RCVBUFFORCE

ALL_PROTOCOLS = 3
OUTGOING = 4
OPEN, CLOSED = 5001, 5002  # open: by the policy. Servers listen on both


def listen(pipe):
    """Messages: "clear" forgets all; "frames" and "payloads" answer with lists of bytes so far."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(ALL_PROTOCOLS))
    tap.bind(("eth0", ALL_PROTOCOLS))
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    tap.setblocking(False)
    udp, listeners, connections = {}, [], []
    for port in (OPEN, CLOSED):
        one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        one.bind(("::", port))
        udp[one] = port
        one = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        listeners.append(one)
    frames, payloads = [], []
    pipe.send("listens")
    while True:
        ready, _, _ = select.select([tap, pipe, *udp, *listeners, *connections], [], [])
        # The tap first, so that who asks is told of all that came before the question.
        drain(tap, frames)
        for one in ready:
            if one in udp:
                data, sender = one.recvfrom(65536)
                payloads.append(data)
                answer(one, data, sender)
            elif one in listeners:
                connections.append(one.accept()[0])
                payloads.append(b"accepted")
            elif one in connections:
                if not serve(one, payloads):
                    connections.remove(one)
        if pipe in ready:
            what = pipe.recv()
            if what == "clear":
                frames.clear()
                payloads.clear()
            pipe.send(list(payloads if what == "payloads" else frames))


def drain(tap, frames):
    try:
        while True:
            frame, address = tap.recvfrom(65536)
            if address[2] != OUTGOING:
                frames.append(frame)
    except BlockingIOError:
        pass


def answer(server, data, sender):
    try:
        server.sendto(data, sender)
    except OSError:
        pass  # a forged sender may be nobody's, or one that it may not answer


def serve(connection, payloads):
    """Echoes; false at the end of the connection."""
    try:
        data = connection.recv(65536)
        if data:
            payloads.append(data)
            connection.sendall(data)
            return True
    except OSError:
        pass
    connection.close()
    return False


def pulse(pipe, address, timeout=3):
    """The honest flow: a datagram and a line over one TCP connection, again and again, each answered.
    Every message is answered with (answered, lost) so far, after one more round."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.settimeout(timeout)
    udp.connect((address, OPEN))
    tcp = socket.create_connection((address, OPEN), timeout)
    answered = lost = 0
    pipe.send("beats")
    asked = False
    while True:
        for one in (udp, tcp):
            try:
                one.send(b"honest")
                if one.recv(64) != b"honest":
                    raise OSError("another answer")
                answered += 1
            except OSError:
                lost += 1
                time.sleep(0.01)  # no loop at full speed where nothing passes
        if asked:
            pipe.send((answered, lost))
        asked = bool(select.select([pipe], [], [], 0 if asked else 0.02)[0])
        if asked:
            pipe.recv()
