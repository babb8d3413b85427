"""The part of Redis that a queue needs: RESP2 over one socket, opened when first used and again when lost."""
import socket
import threading
import urllib.parse

CONNECT_TIMEOUT_S = 5


class RedisError(Exception):
    """Redis answered with an error."""


class Redis:
    def __init__(self, url, timeout_s=CONNECT_TIMEOUT_S):
        parts = urllib.parse.urlsplit(url)
        self._address = (parts.hostname, parts.port or 6379)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._socket = self._stream = None

    def call(self, *words):
        """Sends one command and returns its answer; OSError means the connection is gone."""
        with self._lock:
            try:
                self._open()
                self._socket.sendall(encode(words))
                return decode(self._stream)
            except OSError:
                self.close()
                raise

    def close(self):
        if self._socket:
            self._socket.close()
        self._socket = self._stream = None

    def _open(self):
        if self._socket:
            return
        self._socket = socket.create_connection(self._address, CONNECT_TIMEOUT_S)
        self._socket.settimeout(self._timeout_s)
        self._stream = self._socket.makefile("rb")


def encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def decode(stream):
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("redis hung up")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest.decode()
    if kind == b"-":
        raise RedisError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return _decode_bulk(stream, int(rest))
    if kind == b"*":
        return None if int(rest) < 0 else [decode(stream) for _ in range(int(rest))]
    raise ConnectionError(f"redis speaks something else: {line[:20]!r}")


def _decode_bulk(stream, length):
    if length < 0:
        return None
    data = stream.read(length + 2)
    if len(data) != length + 2:
        raise ConnectionError("redis hung up")
    return data[:-2].decode()
