#!/bin/bash
# Sessions from elsewhere: imported, mirrored and made up, without their secrets; held out; and what is broken or far too large.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"

export ASSAY_STATE=$WORK/state HOME=$WORK
cd "$WORK" || exit 1
corpus=$SOURCE_ROOT/tests/fuzz/corpus/session_import
for file in openapi.yaml postman.json access.log login.har; do tail -c +2 "$corpus/$file" >"$file"; done # the first byte is the fuzzer's
truncate -s 1G big.har
printf '{"log": {"version": "1.2",\n "entries": [{"request": {"method": 3}}]}}' >broken.har

is 'a file of 1 GB is refused before it is read' "$(ulimit -v 1000000; "$ASSAY" session import big.har 2>&1; echo "$?")" \
	'assay session import: big.har: 1024 MiB: at most 64 MiB are read; take a part of it
1'
like 'a broken file is one line with its place' "$("$ASSAY" session import broken.har 2>&1; echo "$?")" \
	'^assay session import: broken.har: entry 1: request: .method. must be a string.1$'

ok 'a server starts' "$ASSAY" serve --listen 127.0.0.1:0 --preview 127.0.0.1:0 --background
at_end '"$ASSAY" serve --stop >/dev/null 2>&1'

ok 'a HAR file is imported' "$ASSAY" session import login.har -o clean.har --with-values
is 'without its secrets' "$(grep -c walnut clean.har) $(grep -c 'dBjftJeZ4CVPmB92K27u' clean.har)" '0 0'
like 'which are the same wherever they stood' "$(grep -o 'sid=hidden-[0-9a-f]*' clean.har | sort -u | wc -l)" '^1$'
is 'and stay with the server, sealed' "$(stat -c %a "$ASSAY_STATE/sessions/values.sealed") $(grep -c walnut "$ASSAY_STATE/sessions/values.sealed")" '600 0'
like 'the examples of an OpenAPI document are' "$("$ASSAY" session import openapi.yaml -o api.har 2>&1)" \
	'left out: GET /api/v1/users/.name.: no example of .name..*5 requests written to api.har'
like 'a Postman collection is' "$("$ASSAY" session import --postman postman.json -o postman.har 2>&1)" '2 requests written to postman.har'
like 'an access log is' "$("$ASSAY" session import --log access.log -o log.har 2>&1)" '2 requests written to log.har'
like 'what is none of them is said' "$("$ASSAY" session import --har access.log 2>&1; echo "$?")" 'access.log: not JSON: line 1.*1$'

ok 'requests that nobody asked are made' "$ASSAY" explore --openapi openapi.yaml --count 30 -o made.har
ok 'and made again' "$ASSAY" explore --openapi openapi.yaml --count 30 -o again.har
is 'the same for the same seed' "$(cmp made.har again.har && grep -c '"phase": "synthesised"' made.har)" 30

"$ASSAY" session mirror --listen 127.0.0.1:0 -o live.har --count 2 2>mirror.err &
mirror=$!
ok 'a mirror listens' until_true 20 grep -q 'to port' mirror.err
port=$(sed -n 's/.*to port \([0-9]*\);.*/\1/p' mirror.err)
is 'each request is answered with nothing' "$(curl -s -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer walnut-token-1234' "http://127.0.0.1:$port/a?x=1")" 204
is 'whatever it is' "$(curl -s -o /dev/null -w '%{http_code}' -d '{"password": "walnut-wood"}' -H 'Content-Type: application/json' "http://127.0.0.1:$port/b")" 204
ok 'it ends when it has enough' wait "$mirror"
like 'what came is a session' "$("$ASSAY" session show live.har)" 'GET .*/a\?x=1.*POST .*/b'
is 'without its secrets, too' "$(grep -c walnut live.har)" 0

mkdir shop && printf 'version: 1\nname: shop\nservices:\n  web: {run: "sleep 9", port: 8080}\n' >shop/assay.yaml
git -C shop init -q -b main && git -C shop add -A && git -C shop -c user.name=t -c user.email=t@t commit -qm first
ok 'a repository is put' "$ASSAY" repo put shop
ok 'a session is held out' "$ASSAY" session hold shop clean.har
like 'it is listed' "$("$ASSAY" session held shop)" 'clean.har'
is 'of nobody else' "$(stat -c %a "$ASSAY_STATE/sessions/shop/clean.har")" 600
ok 'it is held out no more' "$ASSAY" session release shop clean.har
like 'which can be done once' "$("$ASSAY" session release shop clean.har 2>&1; echo "$?")" 'no session of that name is held out.1$'
like 'a name that leads elsewhere is none' "$("$ASSAY" session release shop ../../x.har 2>&1; echo "$?")" '1$'
done_testing
