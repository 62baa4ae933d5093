# tests/bench/cluster_writer.py: writes to an API server with several kept connections at a time. What concerns one object is
# written in order.
import http.client
import json
import queue
import ssl
import threading
import time
import zlib

CONNECTIONS = 12
IDLE_SECONDS = 20
MERGE = "application/merge-patch+json"


class Write:
    """One request; `before` is called right before it is sent, `after` with the object that came back."""

    def __init__(self, method, path, body=None, kind="application/json", good=(200, 201), before=None, after=None):
        self.method = method
        self.path = path
        self.body = body
        self.kind = kind
        self.good = good
        self.before = before
        self.after = after


class Writer:
    """Takes writes from any thread. finish() waits for all of them, and fails with the first that was refused."""

    def __init__(self, server, token):
        self.tls = ssl.create_default_context(cafile=server.folder / "certs/apiserver.crt")
        self.port = server.port
        self.headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self.failures = []
        self.done = 0
        self.queues = [queue.Queue() for _ in range(CONNECTIONS)]
        for one in self.queues:
            threading.Thread(target=self._work, args=(one,), daemon=True).start()

    def put(self, write, key=None):
        """`key`: what it is about; writes with the same one keep their order."""
        at = zlib.crc32((key or write.path).encode()) % len(self.queues)
        self.queues[at].put(write)

    def finish(self, progress=None):
        while any(one.unfinished_tasks for one in self.queues) and not self.failures:
            if progress:
                progress(self.done)
            time.sleep(0.2)
        if self.failures:
            raise RuntimeError(self.failures[0])

    def waiting(self):
        return sum(one.unfinished_tasks for one in self.queues)

    def _work(self, writes):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=60)
        used = 0.0
        while True:
            write = writes.get()
            try:
                if self.failures:
                    continue
                # The server ends connections that have been idle for a minute or two; the next request opens one.
                if time.monotonic() - used > IDLE_SECONDS:
                    connection.close()
                self._send(connection, write)
                used = time.monotonic()
            except Exception as error:  # told by finish()
                self.failures.append(f"{write.method} {write.path}: {error!r}")
            finally:
                writes.task_done()

    def _send(self, connection, write):
        body = None if write.body is None else json.dumps(write.body)
        if write.before:
            write.before()
        connection.request(write.method, write.path, body, {**self.headers, "Content-Type": write.kind})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in write.good:
            self.failures.append(f"{write.method} {write.path}: {answer.status}: {text[:300]!r}")
        elif write.after:
            write.after(json.loads(text))
        self.done += 1
