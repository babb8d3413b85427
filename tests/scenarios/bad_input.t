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
