#!/usr/bin/env python3
"""The attack items of the gateway that are about destinations, framing, TLS and connections, against a real gateway (tests/contract/stage).
Each row: item, what is sent where, what must come back, what the origin may have seen. TAP."""
import json, os, re, socket, ssl, subprocess, sys, threading, time

CA = os.environ["ASSAY_CA"]
STAGE = os.environ["STAGE"]
GATEWAY = int(os.environ["GATEWAY_PID"])
done = failed = 0


def check(name, good, note=""):
    global done, failed
    done += 1
    if good:
        print(f"ok {done} - {name}")
    else:
        failed += 1
        print(f"not ok {done} - {name}\n# {str(note)[:600]!r}")
    sys.stdout.flush()


def plain(host, port=80, timeout=15):
    connection = socket.create_connection((host, port), timeout=timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def context(**more):
    made = ssl.create_default_context(cafile=CA)
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    for name, value in more.items():
        setattr(made, name, value)
    return made


def secure(host, port=443, sni=None, made=None, connection=None):
    return (made or context()).wrap_socket(connection or plain(host, port), server_hostname=sni or host)


def whole(got):
    """Is it all of an answer that says its length?"""
    head, end, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return end and length and len(body) >= int(length.group(1))


def hear(connection, limit=1 << 22, one=False):
    """All that comes until the end, or `one` answer; what came before an error counts."""
    got = b""
    try:
        while len(got) < limit:
            piece = connection.recv(65536)
            if not piece:
                break
            got += piece
            if one and whole(got):
                break
    except (OSError, ssl.SSLError):
        pass
    connection.close()
    return got


def ask(bytes_, host="ok.test", tls=True, port=None, one=False):
    """Sends and hears all; b"" when nothing came."""
    try:
        connection = secure(host, port or 443) if tls else plain(host, port or 80)
        connection.sendall(bytes_)
        return hear(connection, one=one)
    except (OSError, ssl.SSLError) as problem:
        return b"!" + str(problem).encode()


def get(path="/", host="ok.test", fields="", method="GET", close=True):
    end = "Connection: close\r\n" if close else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}{end}\r\n".encode("utf-8", "surrogateescape")


def status(answer):
    found = re.match(rb"HTTP/1\.1 (\d\d\d) ", answer)
    return int(found.group(1)) if found else 0


def seen():
    """Server names that reached the origin."""
    try:
        return open(f"{STAGE}/names").read().split()
    except FileNotFoundError:
        return []


def proxy(line, fields="", after=b""):
    connection = plain("proxy.assay.internal", 3128)
    connection.sendall(f"{line} HTTP/1.1\r\n{fields}\r\n".encode("latin-1") + after)
    return connection


def resolves(name):
    try:
        socket.getaddrinfo(name, 443, socket.AF_INET)
        return True
    except (OSError, UnicodeError):
        return False


# ---- item 37: who is slow is not waited for, and holds nobody up: looked at again at the end ----
slow = []


def drip():
    """A head, one byte a second."""
    connection, began = secure("ok.test"), time.time()
    try:
        for byte in get("/" + "a" * 200):
            connection.sendall(bytes([byte]))
            time.sleep(1)
            connection.settimeout(0.01)
            try:
                if (said := connection.recv(4096)) is not None:
                    slow.append((time.time() - began, said))
                    return
            except TimeoutError:
                pass
    except (OSError, ssl.SSLError):
        pass
    slow.append((time.time() - began, b""))


dripping = [threading.Thread(target=drip, daemon=True) for _ in range(20)]
for thread in dripping:
    thread.start()

# ---- what works ----
answer = ask(get("/hello?x=1", fields="X-One: 1\r\nAccept-Encoding: gzip, exi, br;q=0.5\r\n"))
check("a request is sent as it was understood", status(answer) == 200 and b"GET /hello?x=1 HTTP/1.1\r\nHost: ok.test\r\nX-One: 1\r\n"
      b"Accept-Encoding: gzip,br;q=0.5\r\n" in answer, answer)
answer = ask(get("/", host="stub.test"), "stub.test")
check("a stub answers over TLS", status(answer) == 200 and b'{"stub":true}' in answer, answer)
check("a rule's paths: inside", status(ask(get("/allowed/x", "paths.test"), "paths.test")) == 200)
answer = ask(get("/other", "paths.test"), "paths.test")
check("a rule's paths: outside is refused with rule, id and reason in one line", status(answer) == 403 and answer.split(b"\r\n\r\n")[1].count(b"\n") == 1
      and b"[rule " in answer and b"id " in answer, answer)
answer = ask(get("/other", "paths.test", "Accept: application/json\r\n"), "paths.test")
body = json.loads(answer.split(b"\r\n\r\n", 1)[1] or b"{}") if status(answer) == 403 else {}
check("the same as JSON for who accepts it", {"type", "message", "rule", "id"} <= set(body.get("error", {})), answer)

# ---- destinations ----
for target in ("203.0.113.9", "198.18.9.9"):
    check(f"item 1: {target} by number, not named by a rule", ask(get(), target, True)[:1] in (b"", b"!"))
    answer = proxy(f"CONNECT {target}:443", f"Host: {target}:443\r\n")
    check(f"item 1: CONNECT {target}:443", status(hear(answer)) == 403)
for target in ("ok.test:22", "ok.test:8080", "ok.test:0", "ok.test:65536", "ok.test:443x", "ok.test:0443", "ok.test:", "ok.test"):
    check(f"item 2: CONNECT {target}", status(hear(proxy(f"CONNECT {target}", "Host: ok.test\r\n"))) in (400, 403))
before = len(seen())
for name, via in (("at the door", None), ("by CONNECT", "ok.test:443")):
    try:
        connection = plain("ok.test", 443)
        if via:
            connection = proxy(f"CONNECT {via}", f"Host: {via}\r\n")
            assert b" 200 " in connection.recv(1000)
        secure("evil.test", connection=connection)
        check(f"item 3: SNI of another host, {name}", False)
    except (OSError, ssl.SSLError):
        check(f"item 3: SNI of another host, {name}", True)
try:
    made = context(check_hostname=False)
    made.wrap_socket(plain("ok.test", 443)).sendall(get("/", "evil.test"))
    check("item 4: no SNI", False)
except (OSError, ssl.SSLError):
    check("item 4: no SNI", True)
check("items 3, 4: nothing was dialled", len(seen()) == before, seen())
check("item 5: another host inside", status(ask(get("/", "evil.test"))) == 421)
check("item 7: absolute form of another host inside", status(ask(b"GET https://evil.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n", one=True)) == 421)
check("item 7: absolute form of the same host is the plain one",
      b"GET /x HTTP/1.1" in ask(b"GET https://ok.test/x HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n"))
check("item 8: proxy request whose Host is another", status(hear(proxy("GET http://evil.test/", "Host: ok.test\r\n"), one=True)) in (400, 403, 421))
check("item 8: https in clear at the proxy", status(hear(proxy("GET https://ok.test/", "Host: ok.test\r\n"))) in (400, 421))
check("item 8: what is allowed, at the proxy", b"GET /y HTTP/1.1" in hear(proxy("GET http://ok.test/y", "Host: ok.test\r\nConnection: close\r\n")))
for head in ("Host: ok.test\r\nHost: ok.test\r\n", "Host: ok.test, evil.test\r\n", "Host : ok.test\r\n", "Host:\r\n", "", "Host: ok.test:80:80\r\n",
             "Host: ok.test@evil.test\r\n", "Host: [::1]\r\n"):
    check(f"item 9: {head!r}", status(ask(f"GET / HTTP/1.1\r\n{head}\r\n".encode(), one=True)) in (400, 421))
check("items 10, 11: OK.TeSt. is ok.test", b"Host: ok.test\r\n" in ask(get("/", "OK.TeSt.")))
check("item 10: two dots", status(ask(get("/", "ok.test.."))) in (400, 421))
for name in ("xn--k-jla.test", "xn--.test", "notok.test", "ok.test.evil.test", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "evil.test"):
    check(f"items 12, 15, 16: {name} has no address", not resolves(name) or name[0].isdigit())
for name in ("\u043ek.test", "\uff4fk.test", "ok\u3002test", "o\u00adk.test", "ok\u200d.test", "\ufeffok.test", "evil.test\0.ok.test", "ok.test%00",
             "ok.test#", "ok.test?", "ok.test/", "ok.test\\", "ok.test@evil.test", "evil.test%2eok.test", "evil.test:443.ok.test", "-", "*.ok.test",
             "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[fe80::1%25eth0]", "169.254.169.254",
             "metadata.google.internal", "0.0.0.0", "[::]", "255.255.255.255", "localhost", "100.100.100.200", "[fd00:ec2::254]",
             "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "198.18.0.2"):
    raw = name.encode("utf-8")
    connection = plain("proxy.assay.internal", 3128)
    connection.sendall(b"CONNECT " + raw + b":443 HTTP/1.1\r\nHost: " + raw + b":443\r\n\r\n")
    check(f"items 12-19: CONNECT {name!a}", status(hear(connection)) in (400, 403))
for target in ("http://ok.test@evil.test/", "http://evil.test#@ok.test/", "http://ok.test:80@evil.test/", "http://ok.test%2eevil.test/"):
    check(f"item 14: {target}", status(hear(proxy(f"GET {target}", "Host: ok.test\r\n"))) in (400, 403, 421))
check("item 20: a name that leads to a private address is not dialled", b"private address" in ask(get("/", "private.test"), "private.test", False))
answer = ask(get("/", "mixed.test"), "mixed.test", False)
check("item 20: of mixed addresses the public one is dialled", status(answer) == 200 and b"connection" in answer, answer)
for port, first in ((8446, "says nothing"), (8447, "refuses")):
    before = time.monotonic()
    answer = ask(get("/", f"raced.test:{port}"), "raced.test", False, port=port)
    check(f"an address that {first} does not keep one that answers waiting", status(answer) == 200, answer)
    print(f"# after {time.monotonic() - before:.3f} s", flush=True)
open(f"{STAGE}/rebind", "w").close()  # from now on rebind.test leads to a private address
check("item 20: a name that was public first is vetted each time it is looked up", status(ask(get("/", "rebind.test"), "rebind.test", False)) == 200)
rebind = open(f"{STAGE}/hosts-outside").read().replace("127.0.0.1 rebind.test", "10.9.9.9 rebind.test")
with open(f"{STAGE}/hosts-outside", "w") as file:  # the outside's /etc/hosts is this file
    file.write(rebind)
time.sleep(6)  # what was found is remembered for five seconds
answer = ask(get("/?2", "rebind.test", "Connection: close\r\n"), "rebind.test", False)
check("item 20: and not dialled when it is none any more", b"private address" in answer or b"X-Connection" in answer and b"GET /?2" in answer, answer)
relay = socket.create_server(("127.0.0.1", 0))  # a process of the sandbox that passes CONNECT on: what comes of it is this sandbox's


def relayed():
    inner, _ = relay.accept()
    outer = plain("proxy.assay.internal", 3128)
    outer.sendall(inner.recv(4096))
    inner.sendall(hear(outer))
    inner.close()


threading.Thread(target=relayed, daemon=True).start()
connection = socket.create_connection(relay.getsockname(), timeout=15)
connection.sendall(b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\nProxy-Authorization: Bearer of-another-environment\r\n\r\n")
check("item 25: CONNECT that a process relays is judged by its sandbox's rules, whatever token it brings", status(hear(connection)) == 403)
answer = ask(get("/redirect"))
check("item 21: a redirect is the client's to follow", status(answer) == 302 and not resolves("evil.test"))
answer = ask(get("/altsvc"))
check("item 22: Alt-Svc and hop-by-hop fields do not come back", status(answer) == 200 and b"lt-Svc" not in answer and b"X-Hop" not in answer
      and b"X-Kept: 1" in answer, answer)
check("item 23: h2 by prior knowledge", ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")[:4] in (b"", b"HTTP") and
      status(ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) in (0, 400, 405))
upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
for method in ("DELETE", "POST", "PUT"):
    answer = ask(get("/", "sockets.test", upgrade + "Content-Length: 0\r\n", method, False), "sockets.test", one=True)
    check(f"item 23: {method} is no WebSocket, whatever it says", status(answer) == 403 and b"rule default-deny" in answer, answer)
answer = ask(get("/", "sockets.test", upgrade + "Content-Length: 3\r\n", "GET", False) + b"abc", "sockets.test", one=True)
check("item 23: nor is a GET with a body", status(answer) == 403, answer)
answer = ask(get("/", fields=upgrade + "Content-Length: 0\r\n", method="DELETE", close=False), one=True)
check("item 23: where it is allowed it is a request like any other", status(answer) == 200 and b"DELETE / HTTP/1.1" in answer and b"pgrade" not in answer,
      answer)
check("item 23: HTTP/0.9", status(ask(b"GET /\r\n\r\n")) in (0, 400))
check("item 23: CONNECT inside", status(ask(b"CONNECT evil.test:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n")) in (403, 405, 421))
answer = ask(get("/", fields="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", close=False).replace(
    b"\r\n\r\n", b"\r\n\r\n") + get("/"))
check("item 23: h2c is not asked for", status(answer) == 200 and b"pgrade" not in answer and b"ttp2-" not in answer.lower(), answer)
for name, first in (("SSH", b"SSH-2.0-x\r\n"), ("SMTP", b"EHLO x\r\n"), ("garbage", bytes(range(32))), ("TLS of its own", b"\x16\x03\x01\x00\x02\x00\x00")):
    connection = proxy("CONNECT ok.test:443", "Host: ok.test:443\r\n")
    connection.recv(1000)
    connection.sendall(first)
    check(f"item 24: {name} in a tunnel", hear(connection) == b"")

# ---- paths, methods, framing ----
for path in ("/allowed/../secret", "/allowed/%2e%2e/secret", "/allowed/..;x/secret", "//evil", "/allowed\\..\\secret", "/allowed/%00", "/allowed/\x01",
             "/allowed/\u00e9", "/allowed/%zz", "/" + "a" * 9000, "/%2fsecret", "/allowed/..%2fsecret", "/allowed/%252e%252e/"):
    check(f"item 26: {path[:40]!a}", status(ask(get(path, "paths.test"), "paths.test")) in (400, 403, 414, 431))
for line in ("get / HTTP/1.1", "GET\t/ HTTP/1.1", "GET  / HTTP/1.1", "TRACE / HTTP/1.1", "TRACK / HTTP/1.1", "A" * 40 + " / HTTP/1.1",
             "GET / HTTP/1.1 ", "GET / HTTP/2.0", "GET / http/1.1", "G@T / HTTP/1.1"):
    check(f"item 27: {line[:30]!r}", status(ask(f"{line}\r\nHost: ok.test\r\n\r\n".encode())) in (400, 405))
answer = ask(get("/", fields="X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nX_HTTP_Method-Override: DELETE\r\nForwarded: host=evil.test\r\n"))
check("item 27: overrides are not passed on, whichever way they are written",
      status(answer) == 200 and b"verride" not in answer and b"riginal" not in answer and b"evil" not in answer, answer)
answer = ask(get("/", fields="Content-Length: 3\r\n") + b"abc")
check("item 28: GET with a body is one request with a body", status(answer) == 200 and b"body 3 " in answer and answer.count(b"GET / HTTP/1.1") == 1, answer)
for fields in ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: chunked, identity\r\n",
               "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: \x0bchunked\r\n", "Transfer-Encoding:\tidentity\r\n",
               "Transfer-Encoding: gzip, chunked\r\n", "Transfer_Encoding: chunked\r\n", "Content_Length: 5\r\n"):
    check(f"item 29: {fields!r}", status(ask(get("/", fields=fields, method="POST") + b"0\r\n\r\n")) == 400)
for length in ("+5", "5,5", "5,6", "0x5", "-1", "5 5", "1" * 20, "", "5\r\nContent-Length: 5", "5\r\nContent-Length: 6"):
    check(f"item 30: Content-Length: {length!r}", status(ask(get("/", fields=f"Content-Length: {length}\r\n", method="POST") + b"abcde")) == 400)
for body in (b"5;ext=" + b"x" * 100000 + b"\r\nabcde\r\n0\r\n\r\n", b"0x5\r\nabcde\r\n0\r\n\r\n", b"5 \r\nabcde\r\n0\r\n\r\n", b"\t5\r\nabcde\r\n0\r\n\r\n",
             b"5\r\nabcde0\r\n\r\n", b"5\nabcde\n0\n\n", b"5\rabcde\r\n", b"10000000000000005\r\nabcde\r\n0\r\n\r\n",
             b"0\r\nHost: evil\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n", b"0\r\nAuthorization: x\r\n\r\n"):
    answer = ask(get("/", fields="Transfer-Encoding: chunked\r\n", method="POST") + body)
    check(f"item 31: {body[:24]!r}", status(answer) in (0, 400, 431), answer)
for fields in ("X: a\r\n b\r\n", "X y: a\r\n", ": a\r\n", "X: a\0b\r\n", "X: a\rb\r\n", "X\x80: a\r\n", "no colon\r\n", " X: a\r\n"):
    check(f"item 32: {fields!r}", status(ask(get("/", fields=fields))) == 400)
check("item 32: bare line feeds", status(ask(b"GET / HTTP/1.1\nHost: ok.test\n\n")) in (0, 400))
answer = ask(get("/", fields="Connection: close, Authorization\r\nAuthorization: x\r\nProxy-Connection: x\r\nKeep-Alive: x\r\nTE: trailers\r\nTrailer: x\r\n"
             "Proxy-Authorization: x\r\n"))
check("item 34: hop-by-hop fields are not passed on", status(answer) == 200 and not re.search(
    rb"(?i)\n(authorization|proxy-connection|keep-alive|te|trailer|connection|proxy-authorization):", answer.split(b"\r\n\r\n", 1)[1]), answer)
for fields in ("X: %0d%0aHost: evil.test\r\n", "X: \\r\\nHost: evil.test\r\n"):
    answer = ask(get("/", fields=fields))
    check(f"item 33: {fields!r} stays one field, as it is", status(answer) == 200 and answer.count(b"Host:") <= 2 and fields.strip().encode() in answer, answer)
for path in ("/%0d%0aHost:%20evil.test", "/a%0d%0a%0d%0aGET%20/x"):
    check(f"item 33: a line end in {path}", status(ask(get(path))) in (400, 403))
check("item 34: Connection cannot take the length away", status(ask(get("/", fields="Connection: Content-Length\r\nContent-Length: 3\r\n", method="POST")
                                                              + b"abc")) in (200, 400))
connection = secure("ok.test")
connection.sendall(get("/", fields="Expect: 100-continue\r\nContent-Length: 3\r\n", method="POST"))
first = connection.recv(1000)
connection.sendall(b"abc")
answer = hear(connection)
check("item 35: 100 Continue, then the body", first == b"HTTP/1.1 100 Continue\r\n\r\n" and b"body 3 " in answer and b"xpect" not in answer, first + answer)
check("item 35: another expectation", status(ask(get("/", fields="Expect: x\r\n"))) == 400)
connection = secure("paths.test")
connection.sendall(get("/x", "paths.test", "Expect: 100-continue\r\nContent-Length: 3\r\n", "POST"))
check("item 35: refused before the body", status(hear(connection)) == 403)
connection = secure("paths.test")
connection.sendall(get("/allowed/1", "paths.test", close=False) + get("/secret", "paths.test", close=False) + get("/allowed/3", "paths.test"))
answer = hear(connection)
check("item 36: pipelined requests are judged alone", [int(s) for s in re.findall(rb"HTTP/1\.1 (\d\d\d) ", answer)] == [200, 403, 200] or
      re.findall(rb"(?m)^HTTP/1\.1 (\d\d\d) ", answer) == [b"200", b"403", b"200"], answer)
answer = ask(get("/", fields="Content-Length: x\r\n", close=False) + get("/second"))
check("item 36: after a framing error nothing more is read", status(answer) == 400 and b"/second" not in answer, answer)
check("item 37: 300 fields", status(ask(get("/", fields="".join(f"X-{i}: 1\r\n" for i in range(300))))) in (400, 431))
check("item 37: a field of 1 MB", status(ask(get("/", fields="X: " + "y" * (1 << 20) + "\r\n"))) in (0, 431))
check("item 37: a target of 64 KB", status(ask(get("/" + "a" * 65000))) in (0, 400, 414, 431))
for method, path, fields, body in (
    ("POST", "/attacker/repo.git/git-receive-pack", "", b"0000"), ("POST", "/app.git/git-receive-pack", "", b"0000"),
    ("GET", "/attacker/repo.git/info/refs?service=git-upload-pack", "", b""), ("PUT", "/app.git/objects/ab/cd", "", b"x"), ("MKCOL", "/app.git/refs", "", b""),
    ("POST", "/app.git/info/lfs/objects/batch", "Content-Type: application/vnd.git-lfs+json\r\n", b'{"operation":"upload"}'),
    ("POST", "/gists", "", b"{}"), ("POST", "/repos/app/issues", "", b"{}"), ("POST", "/repos/app/forks", "", b"{}")):
    answer = ask(get(path, "git.test", f"{fields}Content-Length: {len(body)}\r\n", method) + body, "git.test")
    check(f"item 60: {method} {path}", status(answer) == 403 and b"rule default-deny" in answer, answer)
check("item 60: what fetching needs is there", status(ask(get("/app.git/info/refs?service=git-upload-pack", "git.test"), "git.test")) == 200 and
      status(ask(get("/app.git/git-upload-pack", "git.test", "Content-Length: 4\r\n", "POST") + b"0000", "git.test")) == 200)
for method, path in (("PUT", "/left-pad"), ("POST", "/legacy/"), ("PUT", "/api/v1/crates/new"), ("POST", "/v2/app/blobs/uploads/"), ("PUT", "/bucket-of-another/key?X-Amz-Signature=ab"),
                     ("POST", "/hooks/1/2"), ("POST", "/telemetry")):
    answer = ask(get(path, "pkg.test", "Content-Length: 1\r\n", method) + b"x", "pkg.test")
    check(f"item 61: {method} {path}", status(answer) == 403, answer)
check("item 61: what installing needs is there", status(ask(get("/left-pad", "pkg.test"), "pkg.test")) == 200)
idle = []
for _ in range(300):  # half-open handshakes
    idle.append(plain("ok.test", 443))
    idle[-1].send(b"\x16\x03\x01")
check("item 37: half-open handshakes do not hold others up", status(ask(get("/"))) == 200)
for connection in idle:
    connection.close()
for path, good in (("/unasked101", (502,)), ("/cl-te", (502,)), ("/bighead", (502,)), ("/flood1xx", (502,)), ("/interim", (200,)), ("/untilclose", (200,))):
    answer = ask(get(path))
    check(f"item 39: {path}", status(answer) in good, answer)
answer = ask(get("/cut"))
check("item 39: a body that is cut does not look whole", b"only this" not in answer or b"Content-Length: 100" in answer)
connection = secure("ok.test")
connection.sendall(get("/twoheads", close=False))
time.sleep(0.3)
connection.sendall(get("/after"))
answer = hear(connection)
check("item 39: an answer that nobody asked for is not kept for the next", b"second" not in answer and b"/after" in answer, answer)
answer = ask(get("/early", fields="Content-Length: 5000000\r\n", method="POST") + b"x" * 100000)
check("item 39: an answer before the request was whole ends the connection", status(answer) in (0, 413), answer)

# ---- TLS and connections ----
for host in ("expired.test", "selfsigned.test", "wrongname.test"):
    answer = ask(get("/secret-path", host, "Authorization: Bearer real\r\n"), host)
    check(f"item 57: {host} gets no request", status(answer) == 502 and b"certificate" in answer, answer)
answer = ask(get("/", "ok.test:8443"), port=8443)
check("item 57: a host that speaks TLS 1.1", status(answer) == 502, answer)
check("item 57: plain HTTP where TLS was meant", status(ask(get("/"), tls=False, port=443)) in (0, 400, 403, 421, 502))
try:
    secure("ok.test", made=context(maximum_version=ssl.TLSVersion.TLSv1_1, minimum_version=ssl.TLSVersion.TLSv1))
    check("TLS 1.1 from the sandbox", False)
except (OSError, ssl.SSLError, ValueError):
    check("TLS 1.1 from the sandbox is refused", True)
check("TLS 1.2 from the sandbox", secure("ok.test", made=context(maximum_version=ssl.TLSVersion.TLSv1_2)).version() == "TLSv1.2")
numbers = {re.search(rb"X-Connection: (\d+)", ask(get("/", host), host)).group(1) for host in ("ok.test", "ok.test", "ok.test")}
check("item 58: one host's connection is used again", len(numbers) == 1, numbers)
answers = [ask(get("/closes", "ok.test")) for _ in range(3)]
check("item 58: a connection anew goes on with the host's session of TLS", b"X-Resumed: 1" in answers[2] and b"X-Connection" in answers[2], answers[2])
check("item 58: another host's is its own", b"X-Resumed: 0" in ask(get("/closes", "a.ok.test"), "a.ok.test"))
check("item 58: another host has its own", re.search(rb"X-Connection: (\d+)", ask(get("/", "two.test"), "two.test")).group(1) not in numbers)
connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    connection.connect((socket.gethostbyname("ok.test"), 443))
    connection.send(b"\xc0quic")
    connection.settimeout(2)
    connection.recv(100)
    check("item 62: UDP", False)
except ConnectionRefusedError:  # at once, so that QUIC falls back to TCP
    check("item 62: UDP is refused", True)
except TimeoutError:
    check("item 62: UDP is refused, and not swallowed", False)
for address in ("2001:db8::1", "2606:4700::1111", "fe80::1%lo"):
    for port in (80, 443):
        try:
            check(f"item 65: IPv6 to {address} port {port}", b" 200 " not in ask(get("/", "ok.test"), address, port == 443))
        except OSError:
            check(f"item 65: IPv6 to {address} port {port}", True)
for name, send in (("sendto", lambda s: s.sendto(b"x", ("203.0.113.9", 9999))), ("sendmsg", lambda s: s.sendmsg([b"x"], [], 0, ("203.0.113.9", 9999))),
                   ("connected", lambda s: (s.connect(("203.0.113.9", 9999)), s.send(b"x")))):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(1)
        try:
            send(datagrams)
            check(f"item 66: UDP by {name} is not answered", not datagrams.recv(100))
        except OSError:
            check(f"item 66: UDP by {name} is not answered", True)
connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # TXT of an allowed name, asked of our resolver: empty; of a denied one: none
connection.settimeout(5)


def lookup(name, kind):
    question = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\x00" + kind.to_bytes(2, "big") + b"\x00\x01"
    connection.sendto(question, ("127.0.0.1", 53))
    answer = connection.recv(4096)
    return answer[3] & 15, int.from_bytes(answer[6:8], "big")


for kind, name in ((16, "TXT"), (10, "NULL"), (5, "CNAME"), (65, "HTTPS"), (252, "AXFR"), (255, "ANY")):
    check(f"item 63: {name} of an allowed name says nothing", lookup("ok.test", kind)[1] == 0 or kind == 255, lookup("ok.test", kind))
check("item 63: no name that no rule allows", lookup("payload.evil.test", 16)[0] == 3)
check("item 63: nothing is asked outside for any name", not [name for name in seen() if "payload" in name])
for port in (53, 853):
    try:
        check(f"item 63: TCP {port} of an allowed host", hear(secure("ok.test", port)) == b"")
    except (OSError, ssl.SSLError):
        check(f"item 63: TCP {port} of an allowed host", True)
for kind in ("Application/DNS-Message", "application/oblivious-dns-message", "application/dns-json", "application/dns+json"):
    check(f"item 63: DNS over HTTPS that takes {kind}", status(ask(get("/dns-query?dns=AAAB", fields=f"Accept: {kind}\r\n"))) == 403)
check("item 63: DNS over HTTPS to an allowed host", status(ask(get("/dns-query?dns=AAAB", fields="Accept: application/dns-message\r\n"))) == 403 and
      status(ask(get("/dns-query", fields="Content-Type: application/dns-message\r\nContent-Length: 1\r\n", method="POST") + b"x")) == 403)
answer = ask(get("/", fields="x-OnE: 1\r\nX-TWO: 2\r\n"))
check("item 53: the case of names carries nothing", b"\r\nX-One: 1\r\nX-Two: 2\r\n" in answer, answer)
run = subprocess.run(["openssl", "s_client", "-connect", "ok.test:443", "-servername", "ok.test", "-CAfile", CA, "-tls1_3", "-sess_out", f"{STAGE}/session"],
                     input=get("/"), capture_output=True)
check("item 69: no session that early data could use", b"Max Early Data: 0" in run.stdout or b"Early data was not sent" in run.stdout, run.stdout[-800:])
try:
    secure("a.ok.test").sendall(b"")
    cert = secure("a.ok.test").getpeercert()
    check("item 73: a certificate is for its name only", cert["subjectAltName"] == (("DNS", "a.ok.test"),), cert)
except (OSError, ssl.SSLError) as problem:
    check("item 73: a certificate is for its name only", False, problem)
for name in ("*.ok.test", "a b.ok.test", "1.2.3.4"):
    try:
        made = context(check_hostname=False)
        made.wrap_socket(plain("ok.test", 443), server_hostname=name)
        check(f"item 73: SNI {name}", False)
    except (OSError, ssl.SSLError, ValueError):
        check(f"item 73: SNI {name}", True)
names = [f"n{i}.ok.test" for i in range(100)]
check("item 73: each name its own certificate", len({secure(name).getpeercert()["serialNumber"] for name in names}) == 100)
check("item 73: known names are there", status(ask(get("/"))) == 200)
made = context(check_hostname=False, verify_mode=ssl.CERT_NONE)
pem = ssl.DER_cert_to_PEM_cert(secure("pinned.test", made=made).getpeercert(True))
issuer = subprocess.run(["openssl", "x509", "-noout", "-issuer"], input=pem.encode(), capture_output=True).stdout
check("passthrough: the host's own certificate is seen", b"operator" in issuer, issuer)

# ---- size and time ----
def resident():
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{GATEWAY}/status").read()).group(1))


BIG = int(os.environ.get("EGRESS_BYTES", 100 << 20))
before = resident()
for framing in ("length", "chunked"):
    connection = secure("ok.test")
    answers = []
    reader = threading.Thread(target=lambda: answers.append(hear(connection)))
    piece = bytes(range(256)) * 256
    head = f"Content-Length: {BIG}\r\n" if framing == "length" else "Transfer-Encoding: chunked\r\n"
    connection.sendall(get("/", fields=head, method="POST"))
    for _ in range(BIG // len(piece)):
        connection.sendall(piece if framing == "length" else b"10000\r\n" + piece + b"\r\n")
    if framing == "chunked":
        connection.sendall(b"0\r\n\r\n")
    answer = hear(connection)
    check(f"an upload of {BIG} bytes, by {framing}", b"body %d " % BIG in answer, answer[-300:])
connection = secure("ok.test")
connection.sendall(get(f"/download?{BIG}"))
time.sleep(1)  # it waits where it comes from
middle = resident()
got = 0
while piece := connection.recv(1 << 18):
    got += len(piece)
check(f"a download of {BIG} bytes", got > BIG, got)
check("in flat memory", "EGRESS_BYTES" in os.environ or max(middle, resident()) - before < 16384, (before, middle, resident()))
connection = secure("ok.test")
connection.sendall(get("/sse"))
times = []
while piece := connection.recv(65536):
    for stamp in re.findall(rb"data: \d (\d+\.\d+)", piece):
        times.append(time.time() - float(stamp))
check("events come one by one", len(times) == 3 and max(times) < 0.25, times)
check("a long poll is waited for", status(ask(get("/slow"))) == 200)
connection = secure("ok.test")
connection.sendall(get("/ws", fields="Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                   "Connection: Upgrade\r\n", close=False))
head = connection.recv(4096)
connection.sendall(b"\x81\x85\0\0\0\0hello")
echo = connection.recv(100)
check("a WebSocket", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head and status(head) == 101 and echo == b"\x81\x05hello", (head, echo))
connection.close()
for thread in dripping:
    thread.join(200)
check("item 37: a head of one byte a second is answered after its time is over, with rule and id", len(slow) == 20 and all(
    took > 25 and b" 408 " in said and b"rule framing, id q" in said or not said for took, said in slow), slow)
answer = ask(b"GET / HTTP/1.1\r\nHost: ok.test\r\nAccept: application/json\r\nX y: a\r\n\r\n")
check("what cannot be read is refused in JSON, too, with rule, id and reason", status(answer) == 400 and
      {"type", "message", "rule", "id"} <= set(json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]), answer)
answer = ask(get(), "203.0.113.9", False)
check("a connection by number is refused in words", status(answer) == 403 and b"rule by-number, id q" in answer and b"egress.rules" in answer, answer)
try:
    secure("203.0.113.9", made=context(check_hostname=False))
    check("TLS to what is denied hears an alert", False)
except ssl.SSLError as problem:
    check("TLS to what is denied hears an alert", "ACCESS_DENIED" in str(problem).upper(), problem)
except OSError as problem:
    check("TLS to what is denied hears an alert", False, problem)
answers = [ask(get("/closes", close=False), one=True) for _ in range(3)]
check("a host that closes what was kept is asked again", status(ask(get("/"))) == 200)
print(f"1..{done}")
sys.exit(1 if failed else 0)
