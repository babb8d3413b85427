#!/bin/bash
# The configuration file, what a service manager is told, and the privileges that the unit leaves.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

unset ASSAY_STATE
config=$WORK/assay.conf
export ASSAY_CONFIG=$config

# says CODE LINE CONFIG: what `--check` answers to this file.
says() {
	printf '%b' "$3" >"$config"
	local out
	out=$("$ASSAY" serve --check 2>&1)
	is "${3//$'\n'/ | }" "$? $out" "$1 $2"
}

says 0 'the configuration is right' ''
says 0 'the configuration is right' 'listen: 127.0.0.1:0\nwarm: true\n'
says 1 "assay: $config:1:1: unknown key \`listn\`: did you mean \`listen\`?" 'listn: 127.0.0.1:0\n'
says 1 "assay: $config:1:7: warm: expected true or false" 'warm: yes\n'
says 1 "assay: $config:2:13: disk-share: expected a number from 1 to 100" 'warm: true\ndisk-share: 101\n'
says 1 "assay: $config:1:13: rate-token: expected a number" 'rate-token: many\n'
says 1 'assay serve: oidc-client is missing: the name by which the provider knows this server' 'oidc-issuer: https://id.example.com\n'
says 1 'assay serve: oidc-roles: expected CLAIM:VALUE=ROLE, not `dev`' 'oidc-issuer: https://id.example.com\noidc-client: a\noidc-roles: dev\n'
says 1 "assay: $config:1:9: listen: expected a text" 'listen: [1]\n'
says 1 "assay: $config:1:1: expected a mapping of keys to values" '- listen\n'
says 1 "assay serve: cannot open $WORK/none.yaml: No such file or directory" "policy: $WORK/none.yaml\n"
says 1 'assay serve: provider: expected local or kubernetes, not `cloud`' 'provider: cloud\n'
says 1 "assay serve: kubernetes-assay-image: say by what name the cluster's nodes find Assay's own image (deploy/image makes it)" 'provider: kubernetes\n'
says 1 'assay serve: kubernetes-address: `assay.example.com` is no address in numbers, and pods have nobody to ask for a name' \
	'provider: kubernetes\nkubernetes-assay-image: assay:1\nkubernetes-address: assay.example.com:7430\n'
says 1 'assay serve: kubernetes-pods: expected NAMESPACE/LABEL=VALUE, not `app=assay`' \
	'provider: kubernetes\nkubernetes-assay-image: assay:1\nkubernetes-pods: app=assay\n'
chmod 666 "$config"
is 'a file that others may write decides nothing' "$("$ASSAY" status 2>&1)" \
	"assay: $config: others than its owner may write it: chown it to yourself and chmod 644"
rm "$config"
is 'a file that is named must be there' "$("$ASSAY" status 2>&1)" "assay: cannot read $config: No such file or directory"

printf 'state: %s\nlisten: 127.0.0.1:0\npreview: 127.0.0.1:0\n' "$WORK/state" >"$config"
chmod 644 "$config"
is 'what counts is said, and by whom' "$(ASSAY_LISTEN=127.0.0.1:1 "$ASSAY" serve --dump | grep -E '^[a-z]')" \
	"state: \"$WORK/state\"
listen: \"127.0.0.1:1\"  # by the environment
preview: \"127.0.0.1:0\""
ok 'a dump is a configuration' sh -c '"$0" serve --dump >"$1" && "$0" serve --config "$1" --check' "$ASSAY" "$WORK/dumped"

# The manager's socket, as systemd has it, and the privileges of the unit.
python3 - "$WORK/notify" >"$WORK/told" <<'END' &
import socket, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(sys.argv[1])
while True:
    print(manager.recv(100).decode(), flush=True)
END
manager=$!
until_true 60 test -S "$WORK/notify"
capabilities=$(sed -n 's/^CapabilityBoundingSet=//p' "$SOURCE_ROOT/data/assay.service" | tr '[:upper:]' '[:lower:]' | sed 's/cap_//g; s/ /,+/g')
NOTIFY_SOCKET=$WORK/notify setpriv --bounding-set="-all,+$capabilities" --inh-caps=-all --no-new-privs "$ASSAY" serve >>"$WORK/serve.log" 2>&1 &
serve_pid=$!
ok 'the manager is told when it is ready' until_true 60 grep -qx READY=1 "$WORK/told"
ok 'a command finds the server by the same file' "$ASSAY" status
cp -r "$SOURCE_ROOT/tests/scenarios/tiny" "$WORK/visits"
cp "$SOURCE_ROOT"/tests/scenarios/visits/* "$WORK/visits"
repository "$WORK/visits"
cd "$WORK/visits" || exit 1
ok 'an environment comes up with the privileges of the unit' "$ASSAY" env up --name unit
is 'and answers' "$(curl --silent --output /dev/null --write-out '%{http_code}' "$("$ASSAY" env url unit)")" 200
is 'and is governed with them' "$("$ASSAY" kill unit >/dev/null && "$ASSAY" kill unit --undo >/dev/null; "$ASSAY" env down unit >/dev/null; "$ASSAY" env list --json | jq -c .items)" '[]'
printf 'state: %s\nlisten: 127.0.0.1:1\npreview: 127.0.0.1:0\nrate-token: 5\n' "$WORK/state" >"$config"
is 'the configuration is read again, and what changed is said' "$("$ASSAY" serve --reload)" "rate-token: counts from now on
listen: counts from the next start"
token=$("$ASSAY" token create reader --role viewer)
is 'it counts at once' "$(curl -s -o /dev/null -D - -H "Authorization: Bearer $token" "$("$ASSAY" status --json | jq -r .pages)/api/v1/status" | tr -d '\r' | sed -n 's/^ratelimit-policy: //Ip')" '"token";q=5;w=60'
printf 'rate-tokn: 6\n' >"$config"
is 'what is wrong changes nothing' "$("$ASSAY" serve --reload 2>&1)" "assay: $config:1:1: unknown key \`rate-tokn\`: did you mean \`rate-token\`?"
printf 'state: %s\nlisten: 127.0.0.1:1\npreview: 127.0.0.1:0\nrate-token: 7\n' "$WORK/state" >"$config"
kill -HUP "$serve_pid"
ok 'a signal does it, too' until_true 60 grep -q 'read again: 1 keys count from now on, 0 from' "$WORK/serve.log"
is 'and the server is the same one' "$("$ASSAY" status --json | jq .pid)" "$serve_pid"
kill -TERM "$serve_pid"
wait "$serve_pid"
serve_pid=
kill "$manager"
is 'and when it stops' "$(tail -n 1 "$WORK/told")" STOPPING=1
done_testing
