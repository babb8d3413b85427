"""A host outside that speaks HTTP/2, well or as badly as the path asks for. Used by origin.py for names that begin with "h2."."""
import hashlib, struct, threading, time

from frames import *

refused = set()  # paths whose first request was refused
MANY = 3000


def fields_of(pairs):
    return [(str(name), str(value)) for name, value in pairs]


class Stream:
    def __init__(self, number_, fields):
        self.number, self.fields, self.length, self.digest, self.kept = number_, fields, 0, hashlib.sha256(), b""
        self.trailers, self.asked = [], dict(fields)
        self.path, _, self.query = self.asked.get(":path", "/").partition("?")


def text_of(connection, stream):
    lines = "".join(f"{name}: {value}\n" for name, value in stream.fields + [("trailer " + n, v) for n, v in stream.trailers])
    return f"h2 connection {connection.number}\n{lines}body {stream.length} {stream.digest.hexdigest()}\n".encode() + stream.kept


def send_body(connection, stream, size, piece=b"x" * 16384):
    """As the windows let it; frames that come meanwhile are taken by the connection's own thread."""
    sent = 0
    while sent < size and not connection.over:
        connection.moved.clear()
        room = connection.room(stream.number)
        if room <= 0:
            connection.moved.wait(5)
            continue
        length = min(room, size - sent, len(piece))
        sent += length
        connection.data(stream.number, piece[:length], sent == size)


def begun(connection, stream):
    """What is answered before the body came. True: the rest of the request does not matter."""
    s, path = stream.number, stream.path
    ok = [(":status", "200"), ("content-type", "text/plain")]
    if path == "/early":
        connection.headers(s, [(":status", "413")])
        connection.data(s, b"too large", True)
    elif path == "/refused" and (path, stream.query) not in refused:
        refused.add((path, stream.query))
        connection.send(frame(RST, 0, s, number(REFUSED)))
    elif path == "/goaway" and (path, stream.query) not in refused:
        refused.add((path, stream.query))
        connection.send(frame(GOAWAY, 0, 0, number(max(s - 2, 0)) + number(NO_ERROR)))
    elif path == "/reset":
        connection.headers(s, ok)
        connection.data(s, b"some")
        connection.send(frame(RST, 0, s, number(int(stream.query or CANCEL))))
    elif path == "/reset-first":
        connection.send(frame(RST, 0, s, number(int(stream.query or INTERNAL))))
    elif path == "/101":
        connection.headers(s, [(":status", "101")])
        connection.headers(s, ok, True)
    elif path == "/flood1xx":
        for _ in range(100):
            connection.headers(s, [(":status", "103"), ("link", "<x>")])
        connection.headers(s, ok, True)
    elif path == "/bighead":
        connection.headers(s, ok + [(f"x-{i}", "y" * 900) for i in range(100)], True)
    elif path == "/manyfields":
        connection.headers(s, ok + [(f"x-{i}", "y") for i in range(400)], True)
    elif path == "/length":
        connection.headers(s, ok + [("content-length", "10")])
        connection.data(s, b"five.", True)
    elif path == "/upper":
        connection.headers(s, ok + [("X-Upper", "1")], True)
    elif path == "/crlf":
        connection.headers(s, ok + [("x-one", "a\r\nset-cookie: b")], True)
    elif path == "/hop":
        connection.headers(s, ok + [("connection", "close")], True)
    elif path == "/push":
        connection.send(frame(PUSH, END_HEADERS, s, number(2) + connection.encoder.encode([(":method", "GET")])))
        connection.headers(s, ok, True)
    elif path == "/settings":
        connection.send(*[frame(SETTINGS, 0, 0)] * MANY)
        connection.headers(s, ok, True)
    elif path == "/pings":
        connection.send(*[frame(PING, 0, 0, b"12345678")] * MANY)
        connection.headers(s, ok, True)
    elif path == "/continuations":
        connection.send(frame(HEADERS, 0, s, connection.encoder.encode(ok)), *[frame(CONTINUATION, 0, s, b"")] * MANY)
    elif path == "/garbage":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    elif path == "/silent":
        pass
    elif path == "/echo":  # while it still listens, as gRPC's streams do
        connection.headers(s, ok)
        return False
    else:
        return False
    return True


def ended(connection, stream):
    s, path = stream.number, stream.path
    ok = [(":status", "200"), ("content-type", "text/plain")]
    if path == "/trailers":
        connection.headers(s, ok)
        connection.data(s, text_of(connection, stream))
        connection.headers(s, [("grpc-status", "0"), ("x-echo", stream.asked.get("x-echo", "")), ("set-cookie", "a=b")], True)
    elif path == "/v1/messages":  # a model's answer, in events
        connection.headers(s, [(":status", "200"), ("content-type", "text/event-stream")])
        for event in ('{"type":"message_start","message":{"model":"claude-x","usage":{"input_tokens":1234,"output_tokens":1}}}',
                      '{"type":"message_delta","usage":{"output_tokens":56}}'):
            for i in range(0, len(event) + 8, 9):
                connection.data(s, f"data: {event}\n\n"[i:i + 9].encode())
        connection.data(s, b"", True)
    elif path == "/only-trailers":
        connection.headers(s, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5")], True)
    elif path == "/echo":
        connection.headers(s, [("grpc-status", "0")], True)
    elif path == "/interim":
        for _ in range(3):
            connection.headers(s, [(":status", "103"), ("link", "<x>")])
        connection.headers(s, ok)
        connection.data(s, b"ok", True)
    elif path == "/download":
        connection.headers(s, ok)
        threading.Thread(target=send_body, args=(connection, stream, int(stream.query)), daemon=True).start()
    elif path == "/sse":
        connection.headers(s, [(":status", "200"), ("content-type", "text/event-stream")])

        def events():
            for i in range(3):
                connection.data(s, b"data: %d %f\n\n" % (i, time.time()), i == 2)
                time.sleep(0.3)
        threading.Thread(target=events, daemon=True).start()
    elif stream.asked.get(":method") == "HEAD":
        connection.headers(s, ok + [("content-length", "77")], True)
    else:
        text = text_of(connection, stream)
        connection.headers(s, ok + [("alt-svc", 'h3=":443"'), ("content-length", str(len(text)))])
        while connection.room(s) < len(text) and connection.moved.wait(5):
            connection.moved.clear()
        connection.data(s, text, True)


def serve_h2(plain, number_):
    connection = Frames(plain)
    connection.number, connection.over, connection.moved = number_, False, threading.Event()
    streams, block = {}, b""
    while len(connection.rest) < len(PREFACE):
        piece = plain.recv(1 << 16)
        if not piece:
            return
        connection.rest += piece
    connection.rest = connection.rest[len(PREFACE):]
    connection.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 20) + struct.pack(">HI", 3, 100)), frame(WINDOW, 0, 0, number(1 << 20)))
    try:
        while got := connection.read():
            kind, flags, s, payload = got
            if kind in (WINDOW, SETTINGS):
                connection.moved.set()
            stream = streams.get(s)
            if kind in (HEADERS, CONTINUATION):
                if kind == HEADERS:
                    last = bool(flags & END_STREAM)
                    payload = payload[5:] if flags & 0x20 else payload
                block += payload
                if not flags & END_HEADERS:
                    continue
                fields, block = fields_of(connection.decoder.decode(block)), b""
                if stream:
                    stream.trailers = fields
                else:
                    stream = streams[s] = Stream(s, fields)
                    if begun(connection, stream):
                        streams[s] = stream = None
                if stream and last:
                    ended(connection, stream)
            elif kind == DATA:
                if payload and (not stream or stream.path != "/stuck"):
                    connection.send(frame(WINDOW, 0, 0, number(len(payload))))
                    if stream:
                        connection.send(frame(WINDOW, 0, s, number(len(payload))))
                if not stream:
                    continue
                stream.length += len(payload)
                stream.digest.update(payload)
                stream.kept += payload[:max(0, 4096 - len(stream.kept))]
                if stream.path == "/echo" and payload:
                    connection.data(s, payload)
                if flags & END_STREAM:
                    ended(connection, stream)
            elif kind == RST and stream:
                streams.pop(s)
                with open("resets", "a") as file:
                    file.write(f"{stream.path} {int.from_bytes(payload, 'big')}\n")
    finally:
        connection.over = True
