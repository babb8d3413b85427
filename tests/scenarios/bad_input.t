#!/bin/bash
# Wrong flags, wrong commands, wrong files: each gets one line that says what to do, and the exit code 2 or 1.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"

cd "$WORK" || exit 1
mkdir empty folder good
printf 'version: 1\nname: shop\nservices:\n  front:\n    run: x\n    prot: 80\n' >folder/assay.yaml
printf 'version: 1\nname: shop\nservices: {front: {run: x, port: 80}}\n' >good/assay.yaml
printf 'web: ./serve\n' >good/Procfile
printf '\377\376binary\0' >binary.yaml
head -c 300000 /dev/zero | tr '\0' '#' >large.yaml
mkdir unreadable.yaml

# refused CODE LINE ARGUMENTS…: the command ends with CODE, says exactly LINE on standard error and nothing on standard output.
refused() {
	local code=$1 line=$2 out got
	shift 2
	out=$("$ASSAY" "$@" 2>err.txt </dev/null)
	got=$?
	is "assay $*: refused with one line" "$got $(cat err.txt)$out" "$code $line"
}

refused 2 'assay: unknown command `chekc`: did you mean `check`?' chekc
refused 2 'assay: unknown command `frobnicate`: `assay help` lists them' frobnicate
refused 2 'assay: unknown command `versoin`: did you mean `version`?' help versoin
refused 2 'assay: unknown command `--verbos`: `assay help` lists them' --verbos
refused 2 'assay check: unknown option `--jsn`: did you mean `--json`?' check --jsn
refused 2 'assay check: unknown option `--frobnicate`: `assay check --help` lists them' check --frobnicate
refused 2 'assay check: unknown option `-x`: `assay check --help` lists them' check -x
refused 2 'assay check: --json takes no value' check --json=yes
refused 2 'assay check: unexpected argument `b`: usage: assay check [FILE] [--json]' check a b
refused 2 'assay version: unexpected argument `now`: usage: assay version' version now
refused 1 'assay check: cannot open empty/assay.yaml: No such file or directory' check empty
refused 1 'assay check: cannot open absent.yaml: No such file or directory' check absent.yaml
refused 1 'assay check: assay.yaml:6:5: unknown key `prot` in services.front: did you mean `port`?' check folder
refused 1 'assay check: cannot open -json: No such file or directory' check -- -json
refused 1 'assay check: large.yaml: more than 262144 bytes' check large.yaml
like 'a file that is no text is refused' "$("$ASSAY" check binary.yaml 2>&1; echo "$?")" 'binary.yaml: not UTF-8 text: .*1$'
refused 1 'assay check: cannot open unreadable.yaml/assay.yaml: No such file or directory' check unreadable.yaml
refused 1 'assay check: /dev/null is not a regular file' check /dev/null
refused 2 'assay init: absent is not a folder' init absent
refused 2 'assay init: unknown option `--forse`: did you mean `--force`?' init --forse
refused 2 'assay init: good/assay.yaml is there already: --force replaces it, --stdout prints' init good
refused 1 'assay init: no compose.yaml, Procfile or package.json in empty: write assay.yaml by hand (see doc/blueprint.md)' init empty

# The same of every command: nothing is started for an argument that is not understood.
export ASSAY_STATE=$WORK/state
refused 2 'assay env: unknown command `upp`: did you mean `up`?' env upp
refused 2 'assay env: unknown command `frobnicate`: `assay env help` lists them' env frobnicate
refused 2 'assay env up: unknown option `--att`: did you mean `--at`?' env up --att x
refused 2 'assay env up: --at needs a value: --at COMMIT' env up --at
refused 2 'assay env down: too few arguments: usage: assay env down ENV [--json]' env down
refused 2 'assay run: unknown option `--isue`: did you mean `--issue`?' run --isue 3
refused 2 'assay run: --issue: expected a number, not `x`' run --issue x
refused 2 'assay run: say what should be different: exactly one of "TEXT", --issue N, --file FILE' run
refused 2 'assay message: too few arguments: usage: assay message RUN TEXT' message r1
refused 2 'assay stop: too few arguments: usage: assay stop RUN' stop
refused 2 'assay retry: too few arguments: usage: assay retry RUN' retry
refused 2 'assay runs: unknown option `--jsn`: did you mean `--json`?' runs --jsn
refused 2 'assay snapshot: unknown command `crate`: did you mean `create`?' snapshot crate
refused 2 'assay snapshot create: unknown option `--sed`: did you mean `--seed`?' snapshot create x --sed f
refused 2 'assay snapshot create: --seed: no file a' snapshot create x --seed a
refused 2 'assay issue: unknown command `nw`: did you mean `new`?' issue nw
refused 2 'assay pull: unknown command `mergee`: did you mean `merge`?' pull mergee
refused 2 'assay repo: unknown command `pt`: did you mean `put`?' repo pt
refused 2 'assay serve: unknown option `--lisen`: did you mean `--listen`?' serve --lisen x
refused 2 'assay status: unknown option `--jsn`: did you mean `--json`?' status --jsn
refused 2 'assay doctor: unknown option `--jsn`: did you mean `--json`?' doctor --jsn
refused 2 'assay record: unknown command `shw`: did you mean `show`?' record shw
refused 2 'assay session: unknown command `recrd`: did you mean `record`?' session recrd
refused 64 'assay verify: unknown option `--bas`: did you mean `--base`?' verify --bas x
refused 64 'assay verify: --base is needed: the commit to compare with, e.g. --base main' verify
is 'no server was started for any of it' "$(ls "$WORK/state" 2>/dev/null)" ''

is 'a wrong blueprint as JSON' "$("$ASSAY" check folder --json | jq -r '[.ok, .kind, .error] | join(" ")')" \
	'false invalid assay.yaml:6:5: unknown key `prot` in services.front: did you mean `port`?'
is 'a good blueprint says what is in it' "$("$ASSAY" check good)" 'good/assay.yaml is good: shop: 1 service, preview of front'
is 'a good blueprint as JSON' "$("$ASSAY" check --json good | jq -r '[.ok, .name, .preview, (.services | join(","))] | join(" ")')" \
	'true shop front front'
is 'init writes what check accepts' "$("$ASSAY" init good --force && "$ASSAY" check good)" \
	'good/assay.yaml is written: read it, then `assay check`
good/assay.yaml is good: good: 1 service, preview of web'
like 'init --stdout writes nothing' "$(cd good && rm assay.yaml && "$ASSAY" init --stdout && ls)" 'name: good.*Procfile$'
like 'help lists the commands' "$("$ASSAY" help)" 'check +checks a blueprint'
like 'help of a command says its usage' "$("$ASSAY" help check)" '^usage: assay check \[FILE\] \[--json\]'
is 'help of a command is the same by --help' "$("$ASSAY" check --help)" "$("$ASSAY" help check)"
like 'the version is printed' "$("$ASSAY" --version)" '^assay [0-9]+\.[0-9]+\.[0-9]+$'

done_testing
