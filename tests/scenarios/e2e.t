#!/bin/bash
# A suite from end to end, by Playwright and Chromium in the sandbox: what it recorded is beside the verdict.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

command -v "${CHROME_BIN:-chromium}" >/dev/null || skip_all 'chromium is not installed'
playwright=$SOURCE_ROOT/tests/browser/node_modules/playwright-core
[ -d "$playwright" ] || skip_all 'playwright-core is not there: npm ci --prefix tests/browser'

cp -r "$SOURCE_ROOT/tests/data/e2e" "$WORK/door"
mkdir "$WORK/door/vendor" && cp -r "$playwright" "$WORK/door/vendor/"
printf '\x89PNG\r\n\x1a\nof the agent' >"$WORK/door/results-of-the-agent.png"
repository "$WORK/door"
cd "$WORK/door" || exit 1
ok 'a server starts' "$ASSAY" serve --background --listen 127.0.0.1:0 --preview 127.0.0.1:0
at_end '"$ASSAY" serve --stop >/dev/null 2>&1'

"$ASSAY" run 'Ask politely' >out.txt 2>&1
is 'the change is verified' "$?" 0 || sed 's/^/# /' out.txt
like 'by the suite, too' "$(cat out.txt)" '✓ the base.s tests on the new code'
run=$("$ASSAY" runs --json | jq -r '.items[0].id')
api GET "/runs/$run/pictures" >pictures.json
is 'what it recorded is kept, and the page before and after; what the agent left there is not' \
	"$(jq -r '.items | map([.source, .type, .name] | join(" ")) | sort | .[]' pictures.json)" \
	'verify image/png /, after
verify image/png /, before
verify image/png e2e: results/pages/knocked.png
verify video/webm e2e: results/visit.webm'
url=$(jq -r '.items[] | select(.type == "video/webm").url' pictures.json)
curl -s -o video.webm -D headers.txt "$url"
like 'the recording is served as one' "$(cat headers.txt)" 'ontent-[Tt]ype: video/webm'
is 'it is a whole WebM' "$(head -c 4 video.webm | od -An -tx1)" ' 1a 45 df a3'
picture=$(jq -r '.items[] | select(.name == "/, after").url' pictures.json)
is 'a picture is one' "$(curl -s "$picture" | head -c 8 | od -An -tx1)" ' 89 50 4e 47 0d 0a 1a 0a'
like 'the artefacts have what is neither' "$(api GET "/runs/$run/report")" 'tests/e2e/results/notes.txt'

done_testing
