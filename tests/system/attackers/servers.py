# tests/system/attackers/servers.py: honest servers, each run in a place by Place.serve(). Each tells its
# port first. None connects to anyone.
import select
import socket
import struct

SO_RCVBUFFORCE = 33


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp_echo(pipe, address, port=0, protocol=0):
    """Echoes what each connection sends. Serves many at once; never returns."""
    listener = socket.socket(family_of(address), socket.SOCK_STREAM, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if protocol == 0:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    listener.bind((address, port))
    listener.listen(64)
    pipe.send(listener.getsockname()[1])
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    sockets = {}
    while True:
        for number, _ in poller.poll():
            if number == listener.fileno():
                connection, _ = listener.accept()
                sockets[connection.fileno()] = connection
                poller.register(connection, select.POLLIN)
                continue
            try:
                data = sockets[number].recv(65536)
                if data:
                    sockets[number].sendall(data)
                    continue
            except OSError:
                pass
            poller.unregister(number)
            sockets.pop(number).close()


def udp_echo(pipe, address, port=0):
    """Answers each datagram with itself; never returns."""
    server = socket.socket(family_of(address), socket.SOCK_DGRAM)
    server.bind((address, port))
    pipe.send(server.getsockname()[1])
    while True:
        data, sender = server.recvfrom(65536)
        try:
            server.sendto(data, sender)
        except OSError:
            pass


def udp_sink(pipe, address, port=0):
    """Counts datagrams. Answers every message of the test with [(payload, sender), ...] so far."""
    server = socket.socket(family_of(address), socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    server.bind((address, port))
    pipe.send(server.getsockname()[1])
    seen = []
    while True:
        ready, _, _ = select.select([server, pipe], [], [])
        if server in ready:
            seen.append(server.recvfrom(65536))
        elif pipe in ready:
            pipe.recv()
            pipe.send(list(seen))


def udp_counter(pipe, address, port=0):
    """Counts payload bytes and datagrams, as fast as it can. Answers with (bytes, datagrams)."""
    server = socket.socket(family_of(address), socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    server.bind((address, port))
    server.setblocking(False)
    pipe.send(server.getsockname()[1])
    buffer = bytearray(65536)
    count_bytes = count = 0
    while True:
        ready, _, _ = select.select([server, pipe], [], [])
        if server in ready:
            try:
                while True:
                    count_bytes += server.recv_into(buffer)
                    count += 1
            except BlockingIOError:
                pass
        if pipe in ready:
            pipe.recv()
            pipe.send((count_bytes, count))


def tcp_sink(pipe, address, port=0, buffer_bytes=0):
    """Swallows what every connection sends. Answers with the payload bytes so far."""
    listener = socket.socket(family_of(address), socket.SOCK_STREAM)
    if buffer_bytes:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    listener.bind((address, port))
    listener.listen(64)
    pipe.send(listener.getsockname()[1])
    buffer = bytearray(1 << 20)
    connections = []
    total = 0
    while True:
        ready, _, _ = select.select([pipe, listener] + connections, [], [])
        for one in ready:
            if one is pipe:
                pipe.recv()
                pipe.send(total)
            elif one is listener:
                connections.append(listener.accept()[0])
            else:
                try:
                    size = one.recv_into(buffer)
                except OSError:
                    size = 0
                total += size
                if not size:
                    connections.remove(one)
                    one.close()


def join_group(pipe, group, port, device="eth0"):
    """Listens to a multicast group. Answers every message with the payloads so far."""
    server = socket.socket(family_of(group), socket.SOCK_DGRAM)
    server.bind(("", port))
    index = socket.if_nametoindex(device)
    if ":" in group:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                          socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index))
    else:
        server.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                          socket.inet_aton(group) + struct.pack("=4si", b"\0" * 4, index))
    pipe.send(port)
    seen = []
    while True:
        ready, _, _ = select.select([server, pipe], [], [])
        if server in ready:
            seen.append(server.recv(65536))
        elif pipe in ready:
            pipe.recv()
            pipe.send(list(seen))


def raw_sink(pipe, family, protocol):
    """Sees every packet of a protocol that reaches this namespace. Answers with what it saw."""
    server = socket.socket(family, socket.SOCK_RAW, protocol)
    pipe.send(0)
    seen = []
    while True:
        ready, _, _ = select.select([server, pipe], [], [])
        if server in ready:
            seen.append(server.recvfrom(65536))
        elif pipe in ready:
            pipe.recv()
            pipe.send(list(seen))
