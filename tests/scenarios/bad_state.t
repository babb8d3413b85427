#!/bin/bash
# Commands that are right in themselves and wrong as things stand: each gets one line that says what is, and exit code 1.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

mkdir -p "$WORK/web" "$WORK/bare" "$WORK/unborn" "$WORK/blank"
cd "$WORK/web" || exit 1
cat >assay.yaml <<'END'
version: 1
name: web
services:
  web: {run: "python3 -m http.server $PORT", port: 8080}
workspace: {limits: {memory: 256M}}
END
repository "$WORK/web"
git -C "$WORK/unborn" init --quiet
echo text >"$WORK/blank/readme"
repository "$WORK/blank"

# refused LINE ARGUMENTS…: the command ends with 1, says exactly LINE on standard error and nothing on standard output.
refused() {
	local line=$1 out got
	shift
	out=$("$ASSAY" "$@" 2>"$WORK/err.txt" </dev/null)
	got=$?
	is "assay $*" "$got $(cat "$WORK/err.txt")$out" "1 $line"
}

# What is asked of a server, while there is none that can be.
ASSAY_STATE=/etc/passwd refused 'assay serve: cannot make the folder /etc/passwd/run: Not a directory' serve --listen 127.0.0.1:0
ASSAY_STATE=$WORK/other refused 'assay serve: --listen nonsense: `nonsense` is not an address: expected 127.0.0.1:7420 or [::1]:7420' \
	serve --listen nonsense
ASSAY_STATE=$WORK/other refused 'assay serve: --listen 192.0.2.1:1: cannot listen on 192.0.2.1:1: Cannot assign requested address' \
	serve --listen 192.0.2.1:1
ASSAY_STATE=$WORK/other ASSAY_DISK_SHARE=0 \
	refused 'assay serve: ASSAY_DISK_SHARE=0: expected a number of percent, 1 to 100' serve --listen 127.0.0.1:0 --preview 127.0.0.1:0

ok 'the server starts' serve_start
refused "assay serve: another assay serve (pid $serve_pid) uses $ASSAY_STATE" serve --listen 127.0.0.1:0 --preview 127.0.0.1:0
env=$("$ASSAY" env up --json 2>/dev/null | jq --raw-output .id)

# Repositories and commits.
refused "assay env up: no folder $WORK/none" env up "$WORK/none"
refused "assay env up: $WORK/bare is not a git repository: \`git init\` there, and a first commit, make it one" env up "$WORK/bare"
refused "assay env up: $WORK/unborn has no commit yet" env up "$WORK/unborn"
refused "assay env up: there is no commit, branch or tag \`none\` in $WORK/web" env up --at none
refused "assay env up: no blueprint (commit it, or give the project a name): no file \`assay.yaml\` in commit $(git -C "$WORK/blank" rev-parse --short=12 HEAD)" env up "$WORK/blank"
refused 'assay env up: no snapshot `none`: `assay snapshot list` shows them' env up --snapshot none
refused 'assay env up: no snapshot `none/3`: `assay snapshot list` shows them' env up --snapshot none/3

# Environments.
for command in show down url freeze thaw fork pin reset-data; do
	refused "assay env $command: no environment \`none\`: \`assay env list\` shows them" env "$command" none
done
refused 'assay env exec: environment web has no sandbox `none`' env exec --in none "$env" true
refused 'assay env query: environment web has no sandbox `db`' env query "$env" db 'SELECT 1'
refused 'assay env query: `web` is no database of environment web' env query "$env" web 'SELECT 1'
refused 'assay env logs: environment web has no sandbox `none`' env logs "$env" none
refused 'assay env deploy: the blueprint of web has no service `none`' env deploy "$env" none
refused "assay session record: cannot make a file beside $WORK/none/x.har: No such file or directory" session record "$env" -o "$WORK/none/x.har"

# Snapshots.
refused 'assay snapshot show: no snapshot `none`: `assay snapshot list` shows them' snapshot show none
refused 'assay snapshot rm: no snapshot `none/1`: `assay snapshot list` shows them' snapshot rm none/1
refused 'assay snapshot create: the blueprint web has no databases' snapshot create x --seed assay.yaml

# Runs, issues and pull requests.
for command in show stop retry; do refused "assay $command: no run \`none\`" "$command" none; done
refused 'assay message: no run `none`' message none 'a word'
refused 'assay record show: no run `none`' record show none
refused 'assay record verify: /dev/null is not a regular file' record verify /dev/null
refused 'assay issue show: no issue 9' issue show 9
refused 'assay issue comment: no issue 9' issue comment 9 'a word'
refused 'assay pull show: no pull request 9' pull show 9
refused 'assay pull merge: no pull request 9' pull merge 9

is 'what is there is as it was' "$("$ASSAY" env list --json | jq --raw-output '[.items[] | "\(.id) \(.state)"] | join(",")')" "$env ready"
done_testing
