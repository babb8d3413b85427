#!/bin/bash
# Environments on several clusters of one server: each new one goes to the cluster that has fewer, and a fork may go to another one.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/cluster.sh
. "$SOURCE_ROOT/tests/scenarios/cluster.sh"

# The other cluster, beside that of cluster.sh, which is `x` in the kubeconfig.
FIRST=$API
exec {second_life}> >(UNTIL_STDIN_ENDS=1 exec node "$SOURCE_ROOT/tests/kubernetes/api.mjs" >"$WORK/api2" 2>"$WORK/api2.log")
at_end "exec $second_life>&-"
at_end serve_stop
until_true 20 test -s "$WORK/api2"
SECOND=$(head -n 1 "$WORK/api2")
# at URL WORDS…: with that cluster.
at() { API=$1 "${@:2}"; }
at "$SECOND" cluster set "$(jq -n --arg base "$WORK/node2" --arg assay "$ASSAY" '{kubelet: {base: $base, programs: {"assay:test": $assay}}}')" >/dev/null
at "$SECOND" cluster set "$role" >/dev/null
cat >"$WORK/kubeconfig" <<END
clusters: [{name: c, cluster: {server: '$FIRST'}}, {name: d, cluster: {server: '$SECOND'}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}, {name: y, context: {cluster: d, user: u}}]
current-context: x
END
count() { at "$1" spaces | wc -l; }

ok 'a cluster that is named twice is refused' eval '! ASSAY_KUBERNETES_CONTEXT="x x" "$ASSAY" serve --check >/dev/null 2>&1'
like 'which says so' "$(ASSAY_KUBERNETES_CONTEXT='x x' "$ASSAY" serve --check 2>&1)" 'kubernetes-context: x is named twice'
like 'and one that the kubeconfig has not' "$(ASSAY_KUBERNETES_CONTEXT='x z' "$ASSAY" serve --check 2>&1)" '[^a-z]z[^a-z]'
like 'pods of one cluster are nobody to another' "$(ASSAY_KUBERNETES_CONTEXT='x y' ASSAY_KUBERNETES_PODS=ns/a=b "$ASSAY" serve --check 2>&1)" 'kubernetes-pods.*kubernetes-address'
export ASSAY_KUBERNETES_CONTEXT='x y'
like 'a check is of one' "$("$ASSAY" kubernetes check 2>&1)" 'context: one of the clusters that kubernetes-context names: x y'
ok 'which it is told' "$ASSAY" kubernetes check --context y

cp -r "$SOURCE_ROOT/tests/data/sqlite" "$WORK/kiosk"
repository "$WORK/kiosk"
cd "$WORK/kiosk" || exit 1
ok 'a server starts with both' serve_start
like 'it says of each what it can' "$(api GET /doctor | jq -c '[.items[] | .. | strings | select(test("API server"))]')" '"x: API server".*"y: API server"'

ok 'an environment comes up' "$ASSAY" env up --name one
ok 'and another one' "$ASSAY" env up --name two
is 'one at each' "$(count "$FIRST") $(count "$SECOND")" '1 1'
buy() { curl -s -H 'content-type: application/json' -d '{"item": 1, "count": 2, "buyer": "ann"}' "$("$ASSAY" env url "$1")/sales"; }
like 'both are reached' "$(buy one)$(buy two)" '"sold": 2.*"sold": 2'

ok 'a third one comes up' "$ASSAY" env up --name three
"$ASSAY" env fork two >fork.txt 2>&1
is 'and with the fork of one both have two' "$(count "$FIRST") $(count "$SECOND")" '2 2'
is 'which has its data' "$("$ASSAY" env query two-fork db 'SELECT count(*) AS n FROM sales' --json 2>/dev/null | grep -o '[0-9]\+' | head -n 1)" 1

kill -KILL "$serve_pid"
wait "$serve_pid" 2>/dev/null
ok 'a server that comes after a death finds all of them' serve_start
is 'each' "$("$ASSAY" env list --json | jq -c '[.items[].name] | sort')" '["one","three","two","two-fork"]'
like 'and they answer' "$(buy one)$(buy two)" '"sold": 2.*"sold": 2'

for name in one two three two-fork; do ok "$name goes" "$ASSAY" env down "$name"; done
gone() { [ "$(count "$FIRST") $(count "$SECOND")" = '0 0' ]; }
ok 'and nothing is left at either' until_true 30 gone

done_testing
