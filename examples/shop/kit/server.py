"""A small JSON server: a table of routes, a log line per request, a clean end on SIGTERM.

A handler takes a Request and returns (status, body). It refuses by raising Refused. Whatever else it raises is a 500, logged
with its reason and answered without it.
"""
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kit.journal import log

BODY_BYTES_MAX = 64 * 1024
CLIENT_TIMEOUT_S = 30
PROPAGATED = ("traceparent", "tracestate", "baggage", "x-request-id", "idempotency-key")


class Refused(Exception):
    """A request we understand and will not do."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Request:
    def __init__(self, path, query, headers, raw, arguments):
        self.path = path
        self.query = query
        self.headers = headers
        self.arguments = arguments
        self._raw = raw

    @property
    def context(self):
        """The headers that every call made on behalf of this request carries on."""
        return {name: self.headers[name] for name in PROPAGATED if self.headers.get(name)}

    def json(self):
        try:
            body = json.loads(self._raw or b"{}")
        except ValueError:
            raise Refused(400, "the body is not JSON") from None
        if not isinstance(body, dict):
            raise Refused(400, "the body is not an object")
        return body

    def integer(self, name, default, low, high):
        try:
            value = int(self.query.get(name, default))
        except ValueError:
            raise Refused(400, f"{name} is not a number") from None
        return max(low, min(high, value))


def serve(name, routes):
    """Serves `routes`, rows of (method, pattern, handler), on $PORT until SIGTERM."""
    server = _Server(("0.0.0.0", int(os.environ["PORT"])), _handler(routes))
    stop = lambda *_: threading.Thread(target=server.shutdown).start()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log("info", "listening", service=name, port=server.server_address[1])
    server.serve_forever(poll_interval=0.05)
    log("info", "stopped", service=name)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


def _handler(routes):
    table = [(method, re.compile(pattern), handle) for method, pattern, handle in routes]

    class Handler(BaseHTTPRequestHandler):
        timeout = CLIENT_TIMEOUT_S

        def log_message(self, *_):
            pass

        def _answer(self):
            started = time.monotonic()
            status, body = _dispatch(table, self)
            _write(self, status, body)
            elapsed_ms = (time.monotonic() - started) * 1000
            log("info", "request", method=self.command, path=self.path, status=status, ms=f"{elapsed_ms:.1f}",
                request=self.headers.get("x-request-id", "-"))

        do_GET = do_POST = do_PUT = do_DELETE = _answer

    return Handler


def _dispatch(table, http):
    try:
        return _route(table, http)
    except Refused as refused:
        return refused.status, {"error": str(refused)}
    except Exception as error:  # pylint: disable=broad-except
        log("error", "request failed", path=http.path, reason=f"{type(error).__name__}: {error}")
        return 500, {"error": "internal error"}


def _route(table, http):
    url = urllib.parse.urlsplit(http.path)
    raw = _body(http)
    known = False
    for method, pattern, handle in table:
        match = pattern.fullmatch(url.path)
        known = known or match is not None
        if match and method == http.command:
            query = dict(urllib.parse.parse_qsl(url.query))
            return handle(Request(url.path, query, http.headers, raw, match.groups()))
    raise Refused(405 if known else 404, "no such method here" if known else "not found")


def _body(http):
    length = http.headers.get("content-length", "0")
    if not length.isdigit():
        raise Refused(400, "bad content-length")
    if int(length) > BODY_BYTES_MAX:
        raise Refused(413, "the body is too large")
    return http.rfile.read(int(length))


def _write(http, status, body):
    data = json.dumps(body, separators=(",", ":")).encode()
    head = (f"HTTP/1.1 {status} {http.responses.get(status, ('',))[0]}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\nconnection: close\r\n\r\n")
    http.close_connection = True
    try:
        http.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        http.wfile.write(head.encode() + data)  # one write, so one packet, so no delayed acknowledgement
    except OSError:
        pass  # the client has gone
