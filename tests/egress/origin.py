#!/usr/bin/env python3
"""The hosts outside: an authority, and HTTP and HTTPS origins that say what they were sent. origin.py FOLDER NAME..."""
import base64, hashlib, json, os, shutil, socket, ssl, subprocess, sys, threading, time, zlib

FOLDER, NAMES = sys.argv[1], sys.argv[2:]


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def certificates():
    """operator.pem is what the gateway is told to trust; each kind of host has a certificate that is good or wrong in one way."""
    os.chdir(FOLDER)
    for name in ("operator.pem", "operator.key"):  # made before the gateway was started
        if "AUTHORITY" in os.environ:
            shutil.copy(os.path.join(os.environ["AUTHORITY"], name), name)
    for name in ("operator", "stranger"):
        if name == "operator" and os.path.exists("operator.pem"):
            continue
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")
    for name in NAMES:
        signer = "stranger" if name.startswith("selfsigned.") else "operator"
        with open(f"{name}.ext", "w") as file:
            file.write(f"subjectAltName=DNS:{'other.test' if name.startswith('wrongname.') else name}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
                f"{name}.csr")
        days = ["-not_before", "20200101000000Z", "-not_after", "20200201000000Z"] if name.startswith("expired.") else ["-days", "30"]
        if name.startswith("expired."):  # OpenSSL 3.0's x509 knows no dates: by `ca`
            with open("ca.cnf", "w") as file:
                file.write("[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
                           "[p]\ncommonName=supplied\n")
            open("index.txt", "w").close()
            with open("serial", "w") as file:
                file.write("01\n")
            openssl("ca", "-batch", "-config", "ca.cnf", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-cert", "operator.pem",
                    "-keyfile", "operator.key", "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext", "-extfile", f"{name}.ext")
        else:
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial", *days, "-extfile",
                    f"{name}.ext", "-out", f"{name}.pem")


class Reader:
    def __init__(self, connection):
        self.connection, self.rest = connection, b""

    def until(self, end):
        while end not in self.rest:
            piece = self.connection.recv(65536)
            if not piece:
                return None
            self.rest += piece
        at = self.rest.index(end) + len(end)
        taken, self.rest = self.rest[:at], self.rest[at:]
        return taken

    def exactly(self, length, sink):
        while length:
            if not self.rest:
                self.rest = self.connection.recv(262144)
                if not self.rest:
                    return False
            piece, self.rest = self.rest[:length], self.rest[length:]
            length -= len(piece)
            sink(piece)
        return True


connections = 0


def body_read(reader, fields):
    digest, length, kept, trailers = hashlib.sha256(), 0, b"", ""

    def sink(piece):
        nonlocal length, kept
        digest.update(piece)
        length += len(piece)
        if len(kept) < 4096:
            kept += piece

    if fields.get("transfer-encoding"):
        while True:
            line = reader.until(b"\r\n")
            size = int(line.strip(), 16)
            if size == 0:
                while (line := reader.until(b"\r\n")) != b"\r\n":
                    trailers += "trailer " + line.decode("latin-1").replace("\r", "")
                break
            reader.exactly(size, sink)
            reader.until(b"\r\n")
    else:
        reader.exactly(int(fields.get("content-length", 0)), sink)
    return digest.hexdigest(), length, kept, trailers


RAW = {  # answers that no one should pass on
    "/unasked101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw",
    "/twoheads": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond",
    "/cl-te": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "/bighead": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 900) for i in range(100)) + b"\r\n",
    "/flood1xx": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000,
    "/altsvc": b"HTTP/1.1 200 OK\r\nAlt-Svc: h3=\":443\"\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok",
    "/redirect": b"HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n",
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "/untilclose": b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "/interim": b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}
CLOSING = {"/unasked101", "/twoheads", "/cl-te", "/cut", "/untilclose", "/flood1xx", "/bighead"}


def websocket(connection, reader, fields, deflate):
    """Echoes each message, unmasked, in one frame; keeps in FOLDER/messages what it heard, control frames too, as JSON lines. `deflate` agrees to
    permessage-deflate where it is offered, and answers compressed, with one context."""
    key = base64.b64encode(hashlib.sha1((fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    deflate = deflate and "permessage-deflate" in fields.get("sec-websocket-extensions", "")
    agreed = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if deflate else ""
    connection.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n{agreed}\r\n".encode())
    packer = zlib.compressobj(wbits=-15)
    unpacker = zlib.decompressobj(wbits=-15)
    message = b""

    def exactly(length):
        pieces = []
        return b"".join(pieces) if reader.exactly(length, pieces.append) else None

    while head := exactly(2):
        length = head[1] & 127
        if length > 125:
            length = int.from_bytes(exactly(2 if length == 126 else 8), "big")
        mask = exactly(4)
        text = bytes(c ^ mask[i % 4] for i, c in enumerate(exactly(length)))
        opcode = head[0] & 15
        packed = bool(head[0] & 0x40)
        if opcode < 8:
            message += text
        if opcode < 8 and not head[0] & 0x80:
            continue
        if opcode < 8:
            text, message = message, b""
        if packed:
            text = unpacker.decompress(text + b"\x00\x00\xff\xff")
        with open("messages", "a") as file:
            file.write(json.dumps({"opcode": opcode, "text": text[:4096].decode("latin-1"), "bytes": len(text)}) + "\n")
        if opcode == 8:
            connection.sendall(bytes([0x88, len(text)]) + text)
            return
        first = 0x80 | (10 if opcode == 9 else opcode)
        if deflate and opcode < 8:
            text = (packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
            first |= 0x40
        size = bytes([len(text)]) if len(text) < 126 else b"\x7e" + len(text).to_bytes(2, "big") if len(text) < 65536 else (
            b"\x7f" + len(text).to_bytes(8, "big"))
        connection.sendall(bytes([first]) + size + text)


def requests(connection, number):
    reader = Reader(connection)
    while True:
        head = reader.until(b"\r\n\r\n")
        if head is None:
            return
        line, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in lines if row)}
        path = target.split("?")[0]
        if path in RAW:
            connection.sendall(RAW[path])
            if path in CLOSING:
                return
            continue
        if path in ("/ws", "/ws-deflate"):
            return websocket(connection, reader, fields, path == "/ws-deflate")
        if path == "/early":  # answers before the body was read
            connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge")
            time.sleep(0.5)
            return
        if path == "/sse":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(3):
                piece = b"data: %d %f\n\n" % (i, time.time())
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                time.sleep(0.3)
            connection.sendall(b"0\r\n\r\n")
            continue
        if path == "/slow":
            time.sleep(2)
        if path == "/trailers":
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\n\r\n")
            continue
        if path == "/download":
            size = int(target.partition("?")[2])
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            piece = bytes(range(256)) * 1024
            for at in range(0, size, len(piece)):
                connection.sendall(piece[: size - at])
            continue
        digest, length, kept, trailers = body_read(reader, fields)
        text = f"connection {number}\n{head.decode('latin-1')}{trailers}body {length} {digest}\n".encode() + kept
        if method == "HEAD":
            text = b""
        resumed = bool(getattr(connection, "session_reused", False))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Connection: %d\r\nX-Resumed: %d\r\nContent-Length: %d\r\n\r\n"
                           % (number, resumed, len(text)) + text)
        if path == "/closes":
            return


def serve(listener, context, prior=False):
    global connections
    while True:
        plain, _ = listener.accept()
        connections += 1

        def run(plain=plain, number=connections):
            connection = plain
            try:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = context.wrap_socket(plain, server_side=True) if context else plain
                if prior or (context and connection.selected_alpn_protocol() == "h2"):
                    from origin_h2 import serve_h2

                    serve_h2(connection, number)
                else:
                    requests(connection, number)
                connection.close()
            except (OSError, ValueError):
                plain.close()

        threading.Thread(target=run, daemon=True).start()


def context_make():
    contexts = {}
    for name in NAMES:
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[name].load_cert_chain(f"{name}.pem", f"{name}.key")
        if name.startswith("h2."):
            contexts[name].set_alpn_protocols(["h2"])

    def choose(sock, name, _):
        with open("names", "a") as file:
            file.write(f"{name}\n")
        if name in contexts:
            sock.context = contexts[name]

    first = contexts[NAMES[0]]
    first.sni_callback = choose
    return first


if __name__ == "__main__":
    certificates()
    for port, context in ((80, None), (443, context_make())):
        listener = socket.create_server(("127.0.0.1", port), backlog=512)
        threading.Thread(target=serve, args=(listener, context), daemon=True).start()
    if any(name.startswith("h2.") for name in NAMES):
        listener = socket.create_server(("127.0.0.1", 50051), backlog=512)
        threading.Thread(target=serve, args=(listener, None, True), daemon=True).start()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # item 57: nothing newer than TLS 1.1
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.load_cert_chain(f"{NAMES[0]}.pem", f"{NAMES[0]}.key")
    listener = socket.create_server(("127.0.0.1", 8443))
    threading.Thread(target=serve, args=(listener, old), daemon=True).start()
    silent = socket.create_server(("127.0.0.1", 8446), backlog=0)  # raced.test: its first address says nothing, the other one answers
    full = [socket.socket() for _ in range(4)]
    for connection in full:
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", 8446))
    for port in (8446, 8447):  # and at 8447 the first one refuses
        listener = socket.create_server(("127.0.0.2", port))
        threading.Thread(target=serve, args=(listener, None), daemon=True).start()
    open("ready", "w").close()
    threading.Event().wait()
