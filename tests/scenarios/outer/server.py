"""Tells what it was asked, with early hints for /early; sends events; on an upgraded connection sends 3 MiB, then whatever it hears."""
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/socket":
            self.send_response_only(101)
            self.send_header("Upgrade", "blob")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(b"x" * (3 << 20))
            while byte := self.rfile.read(1):
                self.wfile.write(byte)
            self.close_connection = True
            return
        if self.path == "/early":
            for _ in range(3):
                self.send_response_only(103)
                self.send_header("Link", "</early.css>; rel=preload")
                self.send_header("Set-Cookie", "__Host-assay=early; Path=/; Secure")
                self.end_headers()
                self.flush_headers()
        if self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for event in ("one", "two"):
                self.wfile.write(f"data: {event}\n\n".encode())
                self.wfile.flush()
            return
        body = json.dumps({"path": self.path, "method": self.command,
                           "headers": {name.lower(): value for name, value in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Robots-Tag", "all")
        self.send_header("Set-Cookie", "seen=1; Path=/; Domain=preview.test; HttpOnly")
        self.send_header("Set-Cookie", "__Host-assay=mine; Path=/; Secure")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
