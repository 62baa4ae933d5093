# tools/lib/cluster_call.py: runs a command on a node of the test cluster, through its serial port: needs no network
# there. Usage: cluster_call.py SOCKET COMMAND...; prints the output and ends with the command's exit code.
import base64
import os
import pathlib
import socket
import sys


def read(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the node ended the connection")
        data += part
    return data


def call(path, command, timeout_s=600):
    """Output and exit code of a shell command on the node whose port is this socket. Fails with OSError when there is
    no such node, or when it does not answer in time."""
    path = pathlib.Path(path)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        # The path of a socket has at most 107 characters; by way of its folder it is always short.
        folder = os.open(path.parent, os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        connection.sendall(base64.b64encode(command.encode()) + b"\n")
        header = b""
        while not header.endswith(b"\n"):
            header += read(connection, 1)
        code, length = map(int, header.split())
        return read(connection, length), code


if __name__ == "__main__":
    output, code = call(sys.argv[1], " ".join(sys.argv[2:]))
    sys.stdout.buffer.write(output)
    sys.exit(code)
