#!/bin/bash
# A run whose environments are on a cluster: the scripted API server of tests/kubernetes, whose kubelet of tests runs pods as processes of this machine.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/kill9.sh
. "$SOURCE_ROOT/tests/scenarios/kill9.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

# shellcheck source=tests/scenarios/cluster.sh
. "$SOURCE_ROOT/tests/scenarios/cluster.sh"

export ASSAY_REPOSITORIES=$WORK/repositories
# As in a pod that Pod Security calls restricted: an ordinary user without any privilege, and nobody makes a user namespace.
RESTRICTED='echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"'
serve_start() {
	mkdir -p "$ASSAY_STATE" "$ASSAY_REPOSITORIES" && chown -R 1000:1000 "$ASSAY_STATE" "$ASSAY_REPOSITORIES"
	HOME=$WORK setpriv --reuid 1000 --regid 1000 --clear-groups unshare --user --map-user=1000 --map-group=1000 --keep-caps \
		sh -c "$RESTRICTED" sh "$ASSAY" serve --listen 127.0.0.1:0 --preview 127.0.0.1:0 >>"$WORK/serve.log" 2>&1 &
	serve_pid=$!
	until_true "$SERVE_START_S" serve_answers_or_ended && api GET /status >/dev/null
}
tiny_repository "$WORK/tiny"
ok 'a server starts with a cluster to make its environments on' serve_start
like 'it says who is ready' "$(curl -s --unix-socket "$ASSAY_STATE/run/serve.sock" http://assay/readyz)" 'cluster: ok'
read -r name base <<<"$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r '"\(.name) \(.commit)"')"
run=$(api POST /runs "$(jq -n --arg repository "$name" --arg base "$base" '{$repository, $base, title: "Shout", body: "Add shout() to words.py."}')" | jq -r .id)
state_is() { [ "$(api GET "/runs/$run" 2>/dev/null | jq -r .state)" = "$1" ]; }
settled() { state_is review || state_is failed || state_is 'done'; }
until_true 240 settled
is 'the run is verified and waits for a person' "$(api GET "/runs/$run" | jq -r '"\(.state), \(.verdict)"')" 'review, verified'
env=$(api GET "/runs/$run" | jq -r .environment)
is 'its environment says how it is kept in' "$(api GET "/environments/$env" | jq -r '"\(.state), \(.door_mode)"')" 'ready, explicit proxy behind NetworkPolicy'
preview() { curl --silent --show-error --max-time 60 "$(api GET "/runs/$run" | jq -r .preview)"; }
is 'the preview shows what was written' "$(preview)" 'hello, world'
is 'a program of a service answers' "$("$ASSAY" env exec --in web "$env" grep -c "def shout" words.py)" 1
like 'its logs are there' "$("$ASSAY" env logs "$env" web 2>&1)" 'GET / HTTP'

# Frozen, no pod is there; the first who comes brings them back, with their data.
api POST "/environments/$env/freeze" '{}' >/dev/null
pods() { cluster state | jq -r '[.objects[] | select(.path | startswith("/pods/"))] | length'; }
comes 'frozen, it has no pods' 0 pods
is 'who comes to the preview wakes it' "$(preview)" 'hello, world'

# A control plane that dies leaves the pods, and begins them anew.
kill -KILL "$serve_pid"
wait "$serve_pid" 2>/dev/null
ok 'after kill -9 the server starts again' serve_start
ready() { [ "$(api GET "/environments/$env" | jq -r .state)" = ready ]; }
ok 'and brings its environment back' until_true 120 ready
is 'which shows the same' "$(preview)" 'hello, world'
is 'the run waits as before' "$(api GET "/runs/$run" | jq -r '"\(.state), \(.verdict)"')" 'review, verified'

api POST "/pulls/$(api GET "/runs/$run" | jq -r .pull)/merge" '{}' >/dev/null
until_true 60 state_is 'done'
is 'it is merged and done' "$(api GET "/runs/$run" | jq -r .state)" 'done'
api DELETE "/environments/$env" >/dev/null 2>&1
comes 'nothing is left at the cluster' '' spaces
is 'the cluster was asked for nothing that its description does not have' "$(cluster state | jq -r '.wrong[]')" ''
done_testing
