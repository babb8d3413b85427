#!/bin/bash
# Wrong use of the commands that speak to a server: one line each, code 2, and no server is started for it.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"

export ASSAY_STATE=$WORK/state
cd "$WORK" || exit 1
: >empty.md
mkdir -p plain repo/sub
git -C repo init --quiet

# refused CODE LINE ARGUMENTS…
refused() {
	local code=$1 line=$2 out got
	shift 2
	out=$("$ASSAY" "$@" 2>err.txt </dev/null)
	got=$?
	is "assay $*" "$got $(cat err.txt)$out" "$code $line"
}

one='say what should be different: exactly one of "TEXT", --issue N, --file FILE'
refused 2 "assay run: $one" run
refused 2 "assay run: $one" run text --issue 1
refused 2 "assay run: $one" run --issue 1 --file a.md
refused 2 "assay run: $one" run --issue 0
refused 2 'assay run: --issue: expected a number, not `-1`' run --issue -1
refused 2 'assay run: --issue: expected a number, not `one`' run --issue=one
refused 2 'assay run: --file needs a value: --file FILE' run --file
refused 2 'assay run: unknown option `--wiat`: did you mean `--wait`?' run text --wiat
refused 2 'assay run: unexpected argument `b`: usage: assay run "TEXT" | --issue N | --file FILE' run a b
refused 2 'assay show: too few arguments: usage: assay show RUN [--follow [--until STATE]] [--json]' show
refused 2 'assay show: --until is of --follow' show r1 --until review
refused 2 'assay show: --until: `happy` is no state of a run' show r1 --follow --until happy
refused 2 'assay message: too few arguments: usage: assay message RUN TEXT' message r1
refused 2 'assay message: the message is empty' message r1 '  '
refused 2 'assay stop: too few arguments: usage: assay stop RUN' stop
refused 2 'assay retry: unexpected argument `b`: usage: assay retry RUN' retry a b
refused 2 'assay runs: unexpected argument `x`: usage: assay runs [--state S] [--repository R] [--agent A] [--text T] [--asks] [--all] [--json]' runs x
refused 2 'assay issue: unknown command `nwe`: did you mean `new`?' issue nwe
refused 2 'assay issue new: the title is empty' issue new ' '
refused 2 'assay issue new: --body and --file are one too many' issue new a --body b --file c
refused 1 'assay issue new: cannot open none.md: No such file or directory' issue new a --file none.md
refused 2 'assay issue comment: too few arguments: usage: assay issue comment N TEXT' issue comment 1
refused 2 'assay pull: unknown command `marge`: did you mean `merge`?' pull marge
refused 2 'assay pull review: say one of --approve, --changes TEXT, --comment TEXT' pull review 1
refused 2 'assay pull review: say one of --approve, --changes TEXT, --comment TEXT' pull review 1 --approve --changes x
refused 2 'assay pull review: say one of --approve, --changes TEXT, --comment TEXT' pull review 1 --changes x --comment y
refused 2 'assay pull merge: --force takes no value' pull merge 1 --force=yes
refused 2 'assay repo: unknown command `jump`: `assay repo help` lists them' repo jump
refused 1 "assay repo put: $WORK/plain is not in a git checkout: run this in one, or say --repo DIR" repo put plain
refused 1 'assay repo put: none: No such file or directory' repo put none
refused 2 'assay serve: --background and --stop are one too many' serve --background --stop
refused 2 'assay doctor: unknown option `--jason`: did you mean `--json`?' doctor --jason
refused 1 "assay status: no server runs here ($ASSAY_STATE/run/serve.sock): start it with \`assay serve\`" status
refused 1 "assay serve: no server runs here ($ASSAY_STATE/run/serve.sock): start it with \`assay serve\`" serve --stop
is 'no server was started for any of it' "$(find "$ASSAY_STATE" 2>/dev/null)" ''

for command in run runs show message stop retry 'issue list' 'issue show' 'issue new' 'issue comment' 'issue close' 'issue reopen' 'pull list' \
	'pull show' 'pull diff' 'pull review' 'pull merge' 'pull close' 'repo list' 'repo put' serve status doctor; do
	# shellcheck disable=SC2086
	like "assay $command --help says its usage" "$("$ASSAY" $command --help)" "^usage: assay $command"
done

done_testing
