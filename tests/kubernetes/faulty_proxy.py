# tests/kubernetes/faulty_proxy.py: stands between an agent and the API server and does harm when asked to. TcpProxy
# passes bytes on, so HTTP/2 goes through it; HttpProxy ends TLS itself and may rewrite what the server says.
import http.client
import http.server
import json
import socket
import ssl
import subprocess
import threading


class TcpProxy:
    """Listens on `port` of loopback. `connections` counts what was accepted."""

    def __init__(self, target):
        self.target = target
        self.connections = 0
        self.pairs = []
        self.flowing = threading.Event()
        self.flowing.set()
        self.lock = threading.Lock()
        self.listener = None
        self.port = 0
        self.listen()

    def listen(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.pairs.append((near, far))
            flowing = self.flowing
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=(source, sink, flowing), daemon=True).start()

    @staticmethod
    def pass_on(source, sink, flowing):
        try:
            while data := source.recv(65536):
                flowing.wait()
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """All connections end; new ones are welcome."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for one in pair:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                one.close()

    def stall(self):
        """What is connected stays so, and not a byte more comes through. New connections work."""
        self.flowing.clear()
        self.flowing = threading.Event()
        self.flowing.set()

    def refuse(self):
        """Nobody listens any more."""
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        self.cut()

    def stop(self):
        self.refuse()


class HttpProxy:
    """HTTP/1.1 with a certificate of its own, in `folder`. A request is passed on, unless fault(request) has answered
    it; a line of a watch goes through events(line), which returns those to send, and a list through page(text)."""

    def __init__(self, target, tls, folder):
        self.target = target
        self.target_tls = tls
        self.fault = lambda handler: False
        self.events = lambda line: [line]
        self.page = lambda text: text
        self.authority = folder / "proxy.crt"
        key = folder / "proxy.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", key,
                        "-out", self.authority, "-subj", "/CN=proxy", "-addext", "subjectAltName=IP:127.0.0.1"],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority, key)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def handler(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def serve(self):
                length = int(self.headers.get("Content-Length", 0))
                self.body = self.rfile.read(length)
                try:
                    if not proxy.fault(self):
                        self.pass_on()
                except OSError:
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = serve

            def is_watch(self):
                return "watch=1" in self.path

            def answer(self, status, body, **headers):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def pass_on(self):
                far = http.client.HTTPSConnection("127.0.0.1", proxy.target, context=proxy.target_tls)
                try:
                    self.answer_from(far)
                finally:
                    far.close()

            def answer_from(self, far):
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                far.request(self.command, self.path, self.body or None, headers)
                with far.getresponse() as reply:
                    if not self.is_watch() or reply.status != 200:
                        text = reply.read()
                        self.answer(reply.status, proxy.page(text) if "limit=" in self.path else text)
                        return
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    while line := reply.readline():
                        for sent in proxy.events(line):
                            self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent))
                            self.wfile.flush()
                    self.wfile.write(b"0\r\n\r\n")

        return Handler
