"""HTTP/2 frames (RFC 9113) as the tests write and read them: no more is checked than what a test asks for. HPACK is python3-hpack's."""
import collections, socket, ssl, struct, threading

import hpack

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL, INTERNAL, REFUSED, CANCEL, CALM = 0, 1, 2, 7, 8, 11


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def number(value):
    return struct.pack(">I", value)


class Frames:
    """Both ends: sends frames, reads them one by one, keeps the windows."""

    def __init__(self, connection):
        self.connection, self.rest = connection, b""
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder(max_header_list_size=1 << 24)
        self.lock, self.counts = threading.Lock(), threading.Lock()
        self.window, self.windows, self.initial = 65535, {}, 65535

    def send(self, *frames):
        with self.lock:
            self.connection.sendall(b"".join(frames))

    def headers(self, stream, fields, end=False):
        block = self.encoder.encode(fields, huffman=False)
        pieces = [block[i:i + 16384] for i in range(0, len(block), 16384)] or [b""]
        made = [frame(HEADERS, (END_STREAM if end else 0) | (END_HEADERS if len(pieces) == 1 else 0), stream, pieces[0])]
        made += [frame(CONTINUATION, END_HEADERS if i == len(pieces) - 1 else 0, stream, piece) for i, piece in enumerate(pieces) if i]
        self.send(*made)

    def read(self):
        """(kind, flags, stream, payload), None at the end."""
        def exactly(length):
            while len(self.rest) < length:
                piece = self.connection.recv(1 << 16)
                if not piece:
                    return None
                self.rest += piece
            taken, self.rest = self.rest[:length], self.rest[length:]
            return taken

        head = exactly(9)
        if head is None:
            return None
        payload = exactly(int.from_bytes(head[:3], "big"))
        if payload is None:
            return None
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7fffffff
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                if name == 4:
                    for known in self.windows:
                        self.windows[known] += value - self.initial
                    self.initial = value
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == WINDOW:
            with self.counts:
                if stream:
                    self.windows[stream] = self.windows.get(stream, self.initial) + int.from_bytes(payload, "big")
                else:
                    self.window += int.from_bytes(payload, "big")
        return kind, flags, stream, payload

    def room(self, stream):
        return min(self.window, self.windows.get(stream, self.initial), 16384)

    def data(self, stream, bytes_, end=False):
        with self.counts:
            self.window -= len(bytes_)
            self.windows[stream] = self.windows.get(stream, self.initial) - len(bytes_)
        self.send(frame(DATA, END_STREAM if end else 0, stream, bytes_))


class Answer:
    def __init__(self):
        self.fields, self.body, self.trailers, self.reset, self.whole, self.informational = None, bytearray(), None, None, False, []

    @property
    def status(self):
        return int(dict(self.fields)[":status"]) if self.fields else 0

    def __repr__(self):
        return f"status={self.status} reset={self.reset} whole={self.whole} fields={self.fields} trailers={self.trailers} body={self.body[:300]!r}"


class Client(Frames):
    """A client of one host, with as many streams as wanted."""

    def __init__(self, connection, host, scheme="https"):
        super().__init__(connection)
        self.host, self.scheme, self.next = host, scheme, 1
        self.answers = collections.defaultdict(Answer)
        self.goaway, self.ended, self.keeps = None, False, True
        self.block = b""
        self.send(PREFACE, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 20)), frame(WINDOW, 0, 0, number(1 << 24)))

    def request(self, path="/", method="GET", fields=(), end=True, pseudo=None):
        stream = self.next
        self.next += 2
        if pseudo is None:
            pseudo = [(":method", method), (":scheme", self.scheme), (":authority", self.host), (":path", path)]
        self.headers(stream, list(pseudo) + list(fields), end)
        return stream

    def step(self):
        """Takes one frame; False at the end."""
        try:
            got = self.read()
        except TimeoutError:
            return False
        except (OSError, ssl.SSLError):
            got = None
        if got is None:
            self.ended = True
            return False
        kind, flags, stream, payload = got
        answer = self.answers[stream] if stream else None
        if kind in (HEADERS, CONTINUATION):
            self.block += payload
            if flags & END_STREAM and kind == HEADERS:
                answer.whole = True
            if flags & END_HEADERS:
                fields = [(str(n), str(v)) for n, v in self.decoder.decode(self.block)]
                self.block = b""
                if dict(fields).get(":status", "200")[0] == "1":
                    answer.informational.append(int(dict(fields)[":status"]))
                elif answer.fields is None:
                    answer.fields = fields
                else:
                    answer.trailers = fields
        elif kind == DATA:
            answer.body += payload
            answer.whole = answer.whole or bool(flags & END_STREAM)
            if payload and self.keeps:
                self.send(frame(WINDOW, 0, stream, number(len(payload))), frame(WINDOW, 0, 0, number(len(payload))))
        elif kind == RST:
            answer.reset = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")
        return True

    def wait(self, *streams, timeout=20):
        """Until these have ended, or the connection has; the last one's answer."""
        self.connection.settimeout(timeout)
        while not all(self.answers[s].whole or self.answers[s].reset is not None for s in streams):
            if not self.step():
                break
        return self.answers[streams[-1]]

    def until(self, done, timeout=20):
        self.connection.settimeout(timeout)
        while not done():
            if not self.step():
                return False
        return True

    def upload(self, stream, bytes_, trailers=None):
        at = 0
        while at < len(bytes_):
            if not self.until(lambda: self.room(stream) > 0 or self.answers[stream].reset is not None or self.answers[stream].whole):
                return
            if self.answers[stream].reset is not None or self.answers[stream].whole:
                return
            piece = bytes_[at:at + self.room(stream)]
            at += len(piece)
            self.data(stream, piece, at == len(bytes_) and not trailers)
        if trailers:
            self.headers(stream, trailers, True)

    def ask(self, path="/", method="GET", fields=(), body=None, trailers=None, pseudo=None, timeout=20):
        try:
            stream = self.request(path, method, fields, body is None and not trailers, pseudo)
            if body is not None or trailers:
                self.upload(stream, body or b"", trailers)
                if body == b"" and not trailers:
                    self.data(stream, b"", True)
            return self.wait(stream, timeout=timeout)
        except (OSError, ssl.SSLError):
            self.ended = True
            return Answer()

    def close(self):
        self.connection.close()
