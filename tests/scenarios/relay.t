#!/bin/bash
# Where no port can be opened: visitors come to a relay, which reads a name and forwards bytes. TLS ends at the machine, both sides may die, and only who
# has the domain's token stands behind it.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

address=127.77.$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1)) # nobody else's: its ports are free again when the relay is
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=preview.test -addext 'subjectAltName=DNS:*.preview.test' \
	-keyout "$WORK/outer.key" -out "$WORK/outer.crt" 2>/dev/null
openssl rand -hex 32 >"$WORK/token"
openssl rand -hex 32 >"$WORK/wrong"
printf 'other.test %s\npreview.test %s\n' "$(openssl rand -hex 32)" "$(cat "$WORK/token")" >"$WORK/tokens"
chmod 600 "$WORK/tokens" "$WORK/token" "$WORK/wrong"

# relay_start VISITORS MACHINES: ports; says them in $visitors and $machines.
relay_start() {
	"$ASSAY" relay --tokens "$WORK/tokens" --listen "$address:$1" --machines "$address:$2" >"$WORK/relay.log" 2>&1 &
	relay_pid=$!
	until_true 20 grep -q 'visitors at port' "$WORK/relay.log" || { cat "$WORK/relay.log"; return 1; }
	read -r visitors machines < <(sed -n 's/.*visitors at port \([0-9]*\), machines at port \([0-9]*\).*/\1 \2/p' "$WORK/relay.log")
}
relay_pid=
at_end '[ -z "$relay_pid" ] || kill "$relay_pid" 2>/dev/null'

visit() {
	local url=$1
	shift
	curl --silent --show-error --max-time 20 --cacert "$WORK/outer.crt" --connect-to "::$address:$visitors" "$@" "$url"
}
answers() { [ "$(visit "https://$host/" --output /dev/null --write-out '%{http_code}' --header "Cookie: $cookie" 2>/dev/null)" = 200 ]; }
way() { pgrep -P "$serve_pid" -f 'relay --to'; }
way_changed() { [ "$(way)" ] && [ "$(way)" != "$1" ]; }

# Ports that the kernel gives nobody by itself: they are free again, too, when the relay is started again.
port=$((20000 + RANDOM % 12000))
ok 'a relay starts' relay_start "$port" $((port + 1)) || exit 1
is 'which is nobody, and has no key' "$(stat --format %U "/proc/$relay_pid")" nobody
export ASSAY_PREVIEW_DOMAIN=preview.test ASSAY_PREVIEW_CERT=$WORK/outer.crt ASSAY_PREVIEW_KEY=$WORK/outer.key
export ASSAY_PREVIEW_RELAY=$address:$machines ASSAY_PREVIEW_RELAY_TOKEN=$WORK/token
cp -r "$SOURCE_ROOT/tests/scenarios/outer" "$WORK/outer"
repository "$WORK/outer"
cd "$WORK/outer" || exit 1
ok 'a server starts that opens no port' serve_start || { sed 's/^/# /' "$WORK/serve.log"; exit 1; }
"$ASSAY" env up --json >"$WORK/up.json" 2>"$WORK/up.log" || { sed 's/^/# /' "$WORK/up.log"; exit 1; }
host=$(jq -r .id "$WORK/up.json").preview.test link=$(jq -r .preview "$WORK/up.json")
ok 'it is known at the relay' until_true 20 grep -q 'domain=preview.test msg="a machine is there"\|domain=preview.test.*a machine is there' "$WORK/relay.log"

visit "$link" --output /dev/null --dump-header "$WORK/head"
cookie=$(sed -n 's/^Set-Cookie: \([^;]*\).*/\1/p' "$WORK/head")
like 'a link opens, with the certificate of the machine' "$cookie" '^__Host-assay=l\.'
ok 'a page comes through' answers
is 'megabytes do' "$(python3 upgraded.py "$visitors" "$host" "$WORK/outer.crt" "$cookie" "$address")" '101 3145733 True hello'
is 'many at once do' "$(for _ in {1..20}; do visit "https://$host/" --output /dev/null --write-out '%{http_code}\n' --header "Cookie: $cookie" & done | sort | uniq -c | tr -s ' ')" ' 20 200'

# What it forwards to nobody.
like 'a name that nobody is behind' "$(visit https://x.other.test/ 2>&1)" 'unrecognized name'
like 'the domain itself' "$(visit https://preview.test/ 2>&1)" 'unrecognized name'
like 'a name of two parts' "$(visit "https://a.$host/" 2>&1)" 'unrecognized name'
like 'what is no TLS' "$(visit "http://$host/" 2>&1)" 'Empty reply|reset by peer'
"$ASSAY" relay --to "$address:$machines" --domain preview.test --token-file "$WORK/wrong" --forward 127.0.0.1:9 >"$WORK/thief.log" 2>&1 &
thief=$!
ok 'who has another token is refused' until_true 20 grep -q 'refused by the relay' "$WORK/thief.log"
kill "$thief"
wait "$thief" 2>/dev/null
ok 'and takes nothing away' answers
is 'frames that are none end their connection' "$(python3 - "$address" "$machines" <<'END'
import os, socket, struct, sys
def ask(*pieces):
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as peer:
        heard = b""
        try:
            for piece in pieces:
                peer.sendall(piece)
            while part := peer.recv(4096):
                heard += part
        except ConnectionError:
            pass
        return heard
def frame(kind, body):
    return struct.pack("<BBH", 1, kind, len(body)) + body
register = frame(1, b"preview.test")
answers = [ask(b"GET / HTTP/1.1\r\n\r\n"), ask(frame(9, b"")), ask(frame(1, b"no_domain")), ask(frame(1, b"x" * 191)), ask(frame(7, os.urandom(48))),
           ask(frame(3, os.urandom(32))), ask(register + register)[:4], ask(register + frame(3, os.urandom(32)) + frame(7, os.urandom(48)))[36:40]]
print(*(answer.hex() or "-" for answer in answers))
END
)" '- - - - - - 01022000 01051e00'

# Either side dies.
kill -9 "$relay_pid"
wait "$relay_pid" 2>/dev/null
ok 'a relay that died starts again' relay_start "$visitors" "$machines"
ok 'and the machine comes back to it' until_true 60 answers
before=$(way)
kill -9 "$before"
ok 'the way to the relay is started again' until_true 20 way_changed "$before"
ok 'and leads there' until_true 30 answers
last=$(way)
kill -9 "$serve_pid"
wait "$serve_pid" 2>/dev/null
serve_pid=
gone() { ! kill -0 "$last" 2>/dev/null; }
ok 'with the server its way ends' until_true 20 gone
ok 'which the relay knows' until_true 20 grep -q 'the machine is gone' "$WORK/relay.log"
ok 'a server starts again' serve_start
serve_stop
kill "$relay_pid"
wait "$relay_pid"
relay_pid=
is 'nothing is left' "$(left_behind)" ''
done_testing
