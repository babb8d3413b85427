#!/bin/bash
# Two commits without an agent: verified, failed, and could not tell; sessions recorded and shown; records that others signed.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"

export ASSAY_STATE=$WORK/state HOME=$WORK
cd "$WORK" || exit 1

# ---- a record of somebody else's making: no code of ours signs it, and no server is asked

openssl genpkey -algorithm ed25519 -out key.pem 2>/dev/null
openssl pkey -in key.pem -pubout -out public.pem
openssl genpkey -algorithm ed25519 2>/dev/null | openssl pkey -pubout -out other.pem
cat >statement.json <<'JSON'
{"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "shop", "digest": {"gitCommit": "0123456789abcdef0123456789abcdef01234567"}}],
 "predicateType": "https://assay.dev/verification/v1",
 "predicate": {"verdict": "verified", "reason": "5 of 5 gates passed", "gates": [{"name": "deploy", "title": "deploys", "status": "pass", "ms": 12}],
  "findings": [], "not_covered": ["service pricing: no exchange of the sessions reaches it"], "started_ms": 1795294515000}}
JSON
type='application/vnd.in-toto+json'
printf 'DSSEv1 %d %s %d ' ${#type} $type "$(stat -c %s statement.json)" | cat - statement.json >signed-bytes
openssl pkeyutl -sign -rawin -inkey key.pem -in signed-bytes -out signature
envelope() { printf '{"payloadType": "%s", "payload": "%s", "signatures": [{"keyid": "k", "sig": "%s"}]}\n' $type "$(base64 -w0 "$1")" "$(base64 -w0 signature)"; }
envelope statement.json >good.json
sed 's/verified/veri1ied/' statement.json >changed
envelope changed >bad.json

like 'a record is verified with a key alone' "$("$ASSAY" record verify good.json --key public.pem 2>&1; echo "exit $?")" \
	'the signature is good.*0123456789ab of shop is verified.exit 0$'
like 'a changed record is refused' "$("$ASSAY" record verify bad.json --key public.pem 2>&1; echo "exit $?")" \
	'the signature is wrong: the record was changed, or signed with another key.exit 1$'
like 'so is one of another key' "$("$ASSAY" record verify good.json --key other.pem 2>&1; echo "exit $?")" 'the signature is wrong.*exit 1$'
like 'a key that is none is said' "$("$ASSAY" record verify good.json --key statement.json 2>&1; echo "exit $?")" \
	'expected an Ed25519 public key in PEM form.*exit 1$'
like 'a record is shown' "$("$ASSAY" record show good.json)" 'record of shop 0123456789ab.*✓ deploys.*not covered.*service pricing.*✓ verified'
is 'nobody started a server' "$(ls "$ASSAY_STATE" 2>/dev/null)" ''

# ---- usage

is 'without --base it is a wrong usage' "$("$ASSAY" verify 2>&1; echo "$?")" \
	'assay verify: --base is needed: the commit to compare with, e.g. --base main
64'

# ---- the real thing

if [ "$(id -u)" -ne 0 ]; then
	skip 'two commits are verified' 'sandboxes need root'
	done_testing
	exit 0
fi
git() { command git -c user.name=t -c user.email=t@t "$@"; }
cp -r "$SOURCE_ROOT/tests/data/verify/app" app
git -C app init -q -b main
git -C app add -A && git -C app commit -qm base
git -C app checkout -q -b good && sed -i 's/"payment": status,/"payment": status, "currency": "EUR",/' app/store/server.py
git -C app commit -qam good
git -C app checkout -q -b bad main && sed -i 's/self.send(201, order_make/self.send(200, order_make/' app/store/server.py
git -C app commit -qam bad
git -C app checkout -q --orphan bare main && git -C app rm -q --cached assay.yaml && git -C app commit -qm bare
git -C app checkout -qf main

ok 'a server starts' "$ASSAY" serve --listen 127.0.0.1:0 --preview 127.0.0.1:0 --background
at_end '"$ASSAY" serve --stop >/dev/null 2>&1'

"$ASSAY" verify --repo app --base main --head good >good.txt 2>&1
is 'a field more is verified' "$? $(grep -c '✓' good.txt)" '0 8'
"$ASSAY" verify --repo app --base main --head bad >bad.txt 2>&1
is 'another status fails' "$?" 1
like 'it says what, and how to see it' "$(cat bad.txt)" 'POST /api/orders: answers 200 instead of 201.*reproduce.*assay-env http POST'
# ---- one finding of a record again

id=$(grep -o 'answers 200 instead of 201.*f-[0-9a-f]*' bad.txt | grep -o 'f-[0-9a-f]*$' | head -n 1)
record_of() { # HEAD: a record as a colleague has it, of the finding above
	local payload
	payload=$(printf '{"predicate": {"base": {"gitCommit": "%s"}, "head": {"gitCommit": "%s"}, "snapshot": null, "findings": [{"id": "%s", "gate": "replay", "severity": "block",
		"title": "POST /api/orders: answers 200 instead of 201", "session": "sessions/order.har", "entry": %s}]}}' \
		"$(git -C app rev-parse main)" "$(git -C app rev-parse "$1")" "$id" "$ENTRY" | base64 -w0)
	printf '{"payloadType": "%s", "payload": "%s", "signatures": []}\n' $type "$payload"
}
ENTRY=$("$ASSAY" session show app/sessions/order.har | awk '/POST +201/ {print $1 - 1; exit}')
record_of bad >again.json
record_of good >gone.json
"$ASSAY" reproduce "again.json#$id" --repo app >again.txt 2>again.err
like 'a finding of a record is seen again' "$? $(cat again.txt)" "^1 .*POST /api/orders: answers 200 instead of 201.*$id.*expected.*got.*201.*200"
like 'one that is mended is gone' "$("$ASSAY" reproduce "gone.json#$id" --repo app 2>/dev/null; echo "$?")" "$id is gone.*0\$"
like 'one that is none is said' "$("$ASSAY" reproduce again.json#f-000000000000 --repo app 2>&1; echo "$?")" 'the record has no finding f-000000000000.*2$'

"$ASSAY" verify --repo app --base main --head bad --declare 'POST /api/orders status' >meant.txt 2>&1
like 'a difference that is declared is shown, and does not block' "$? $(cat meant.txt)" '^0 .*meant .*POST /api/orders: answers 200 instead of 201.*declared by .*✓ verified.*; differences: 1 declared by'
like 'what would declare everything is refused' "$("$ASSAY" verify --repo app --base main --head bad --declare 'POST *' 2>&1; echo "$?")" 'declares too much.*2$'
# A rule of the base's blueprint says what such a difference is; one that the change brings says nothing of it.
rule() { sed -i 's/^verify: {/verify: {rules: [{match: "POST \/api\/orders status", as: inform, because: clients read no more than 2xx}], /' app/assay.yaml; }
git -C app checkout -q -b ruled main && rule && git -C app commit -qam ruled
git -C app checkout -q -b ruled-bad && git -C app cherry-pick bad >/dev/null
git -C app checkout -q -b own-rule bad && rule && git -C app commit -qam own
git -C app checkout -qf main
"$ASSAY" verify --repo app --base ruled --head ruled-bad --json >ruled.txt 2>&1
is 'a difference that a rule lets be is told, and does not block' "$? $(jq -c '[.findings[] | select(.ruled) | [.severity, .ruled.as, .ruled.match]] | unique' ruled.txt)" '0 [["info","inform","POST /api/orders status"]]'
like 'by which rule, and why' "$("$ASSAY" verify --repo app --base ruled --head ruled-bad --all 2>&1)" 'POST /api/orders: answers 200 instead of 201.*rule +inform: POST /api/orders status: clients read no more than 2xx'
"$ASSAY" verify --repo app --base main --head own-rule --json >own.txt 2>&1
is 'no change judges itself by a rule of its own' "$? $(jq -c '[.findings[] | select(.ruled)]' own.txt)" '1 []'
"$ASSAY" verify --repo app --base bare --head good --json >bare.txt 2>&1
like 'a base without a blueprint cannot be judged' "$? $(tr -d '\n' <bare.txt)" '^2 .*assay.yaml'
is 'nothing is left of it' "$("$ASSAY" env list --json | tr -d ' \n')" '{"items":[]}'

# ---- a session of one's own

env=$("$ASSAY" env up app --json 2>/dev/null | sed -n 's/.*"id": "\(e[0-9a-z]*\)".*/\1/p' | head -n 1)
url=$("$ASSAY" env url "$env")
host=${url#http://} host=${host%/}
ok 'its preview answers' curl -fsS --resolve "$host:127.0.0.1" "${url%/}/api/items"
ok 'what was asked of it becomes a session' "$ASSAY" session record "$env" -o app/sessions/mine.har
like 'the session is shown' "$("$ASSAY" session show app/sessions/mine.har)" 'GET +200 .*/api/items'
like 'and listed with the others' "$("$ASSAY" session list --repo app)" 'sessions/mine.har +1.*'
ok 'the environment goes' "$ASSAY" env down "$env"
done_testing
