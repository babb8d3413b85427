#!/usr/bin/env python3
"""Items 69 and 70 of the attacks, against a real gateway (tests/contract/stage): what is open dies by a kill whatever it is doing, also under pressure;
descriptors and memory that run out close nothing that is open and open nothing that is closed. TAP."""
import os, resource, select, signal, socket, ssl, sys, time

CA, STAGE, GATEWAY, KEEPER = os.environ["ASSAY_CA"], os.environ["STAGE"], int(os.environ["GATEWAY_PID"]), os.getppid()
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
UPLOAD = 100 << 20
DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # the gateway has as many
done = failed = 0


def check(name, good, note=""):
    global done, failed
    done += 1
    failed += not good
    print(f"ok {done} - {name}" if good else f"not ok {done} - {name}\n# {str(note)[:600]!r}", flush=True)


def until(true, seconds=30):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if true():
            return True
        time.sleep(0.02)
    return False


def secure(host="ok.test", wrap=True):
    plain = socket.create_connection((host, 443), timeout=60)
    return ssl.create_default_context(cafile=CA).wrap_socket(plain, server_hostname=host) if wrap else plain


def head(connection):
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(65536)
        if not piece:
            break
        got += piece
    return got


def ask(connection, bytes_=b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n"):
    connection.sendall(bytes_)
    got = head(connection)
    length = int(got.lower().split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in got.lower() else 0
    body = got.split(b"\r\n\r\n", 1)[1]
    while len(body) < length:
        body += connection.recv(65536)
    return got


def dead(connection):
    """It was reset, or ended: nothing more comes, and nothing goes."""
    try:
        connection.settimeout(20)
        while connection.recv(65536):
            pass
        return True
    except (ConnectionError, ssl.SSLError):
        return True
    except OSError as problem:
        return not isinstance(problem, TimeoutError)


def switch(undo=False):
    name = os.path.join(STAGE, "undone" if undo else "killed")
    if os.path.exists(name):
        os.unlink(name)
    os.kill(KEEPER, signal.SIGUSR2 if undo else signal.SIGUSR1)
    return until(lambda: os.path.exists(name) and os.path.getsize(name)) and int(open(name).read().split()[0]) >= 0


def memory():
    return int(next(line for line in open(f"/proc/{GATEWAY}/status") if line.startswith("VmRSS")).split()[1])


def descriptors():
    return len(os.listdir(f"/proc/{GATEWAY}/fd"))


WEBSOCKET = (b"GET /ws HTTP/1.1\r\nHost: ok.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")

# A large upload does not grow the gateway.
connection = secure()
ask(connection)
peak = before = memory()
connection.sendall(f"POST /sink HTTP/1.1\r\nHost: ok.test\r\nContent-Length: {UPLOAD}\r\n\r\n".encode())
piece = b"words of an upload " * 3450
sent = 0
while sent < UPLOAD:
    connection.sendall(piece[: UPLOAD - sent])
    sent += len(piece[: UPLOAD - sent])
    peak = max(peak, memory())
check("100 MB up: they arrive", b" 200 " in head(connection)[:16])
check("100 MB up: in flat memory", peak - before < 24 << 10, f"{before} KB before, {peak} KB at most")
connection.close()

# Item 69: every kind of connection.
opened = {}
opened["idle"] = secure()
ask(opened["idle"])
opened["half-closed"] = secure(wrap=False)
opened["half-closed"].shutdown(socket.SHUT_WR)
opened["before its handshake"] = secure(wrap=False)
opened["WebSocket"] = secure()
opened["WebSocket"].sendall(WEBSOCKET)
check("item 69: a WebSocket is open", b" 101 " in head(opened["WebSocket"])[:16])
opened["upload under way"] = secure()
opened["upload under way"].sendall(b"POST /sink HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 50000000\r\n\r\n" + piece)
opened["events"] = secure()
opened["events"].sendall(b"GET /sse HTTP/1.1\r\nHost: ok.test\r\n\r\n")
head(opened["events"])
opened["in the middle of a head"] = secure()
opened["in the middle of a head"].sendall(b"GET / HTTP/1.1\r\nHost: ok")
check("item 69: the kill is answered", switch())
for name, connection in opened.items():
    check(f"item 69: {name} is reset", dead(connection))
try:
    ask(secure())
    check("item 69: nothing new is let out", False)
except (OSError, ssl.SSLError, IndexError):
    check("item 69: nothing new is let out", True)
check("item 69: undone", switch(undo=True))
check("item 69: and then it is", until(lambda: b" 200 " in ask(secure())[:16]))

# Item 70: an environment has three quarters of the descriptors at most; what it asks for beyond that is reset.
kept = secure()
ask(kept)
flood = []
reset = 0  # before we were told that it was there
for _ in range(DESCRIPTORS - 40):
    try:
        flood.append(socket.create_connection(("ok.test", 443), timeout=60))
    except ConnectionResetError:
        reset += 1
    except OSError:
        pass
check("item 70: no environment takes all descriptors", until(lambda: descriptors() < DESCRIPTORS - 20), descriptors())
check("item 70: connections over its share are reset", until(lambda: reset + sum(bool(select.select([one], [], [], 0)[0]) for one in flood) > 5))
check("item 70: what is open goes on", b" 200 " in ask(kept)[:16])
check("item 70: a kill is answered", switch())
check("item 70: and resets", dead(kept) and all(dead(one) for one in flood))
check("item 70: undone", switch(undo=True))
for one in flood:
    one.close()
check("item 70: with descriptors again there is a way out", until(lambda: b" 200 " in ask(secure())[:16]))

# Item 70: bodies that are kept until their requests are let out have a maximum in all.
refused = 0
bodies = []
for _ in range(90):
    connection = secure()
    bodies.append(connection)
    connection.sendall(b"POST /sink HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 4000000\r\n\r\n")
    left = 3900000
    try:
        while left > 0:
            connection.sendall(piece[:left])
            left -= len(piece[:left])
            if select.select([connection], [], [], 0)[0]:
                refused += b" 503 " in head(connection)[:16]
                break
    except (OSError, ssl.SSLError):
        refused += 1
    if refused > 2:
        break
# On a busy machine the answer comes behind the last of them.
until(lambda: refused > 0 or any(select.select([one], [], [], 0)[0] for one in bodies))
refused += sum(bool(select.select([one], [], [], 0)[0]) for one in bodies)
check("item 70: too many bodies at once are refused", refused > 0 and len(bodies) > 50, f"{len(bodies)} sent, {refused} refused, {memory()} KB")
for connection in bodies:
    connection.close()
check("item 70: and then there is room again", until(lambda: b" 200 " in ask(secure())[:16]))
print(f"1..{done}")
sys.exit(1 if failed else 0)
