#!/bin/bash
# A certificate for *.<domain> by ACME: a client of Debian's (uacme) asks a real server (pebble), answers its challenge in DNS by the hook of doc/previews.md,
# and what it writes is shown, the next one too, without a restart.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/outside.sh
. "$SOURCE_ROOT/tests/scenarios/outside.sh"

for program in uacme pebble pebble-challtestsrv; do
	command -v "$program" >/dev/null || skip_all "needs $program"
done
outside_alone "$0"
address=127.78.$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1))
export HOOK_DNS=http://$address:8055 ACME=$WORK/acme

# The server, and the DNS that it asks; its own certificate is one that this machine trusts, in this story only.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=pebble -addext "subjectAltName=IP:$address" \
	-keyout "$WORK/pebble.key" -out "$WORK/pebble.crt" 2>/dev/null
cat /etc/ssl/certs/ca-certificates.crt "$WORK/pebble.crt" >"$WORK/trusted.pem"
mount --bind "$WORK/trusted.pem" /etc/ssl/certs/ca-certificates.crt
at_end umount /etc/ssl/certs/ca-certificates.crt
cat >"$WORK/pebble.json" <<END
{"pebble": {"listenAddress": "$address:14000", "managementListenAddress": "$address:15000", "certificate": "$WORK/pebble.crt", "privateKey": "$WORK/pebble.key",
  "httpPort": 5002, "tlsPort": 5001, "ocspResponderURL": "", "externalAccountBindingRequired": false}}
END
pebble-challtestsrv -dns01 "$address:8053" -management "$address:8055" -http01 '' -https01 '' -tlsalpn01 '' >"$WORK/dns.log" 2>&1 &
at_end "kill $! 2>/dev/null"
PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 pebble -config "$WORK/pebble.json" -dnsserver "$address:8053" >"$WORK/pebble.log" 2>&1 &
at_end "kill $! 2>/dev/null"
serves() { curl --silent --fail --output /dev/null "https://$address:14000/dir" && curl --silent --output /dev/null "$HOOK_DNS"; }
until_true 20 serves || { sed 's/^/# /' "$WORK/pebble.log" "$WORK/dns.log"; exit 1; }

# The hook of the page, for the DNS of this story.
sed -n '/^    #!\/bin\/sh/,/^    esac/s/^    //p' "$SOURCE_ROOT/doc/previews.md" >"$WORK/hook"
chmod +x "$WORK/hook"
like 'the page has a hook' "$(cat "$WORK/hook")" '_acme-challenge'
mkdir "$WORK/bin"
cat >"$WORK/bin/dns-update" <<'END'
#!/bin/sh
case $1 in
add) exec curl --silent --fail --data "{\"host\": \"$2.\", \"value\": \"$3\"}" "$HOOK_DNS/set-txt" ;;
*) exec curl --silent --fail --data "{\"host\": \"$2.\"}" "$HOOK_DNS/clear-txt" ;;
esac
END
chmod +x "$WORK/bin/dns-update"
PATH=$WORK/bin:$PATH
asks() { uacme -y -t EC -c "$ACME" -a "https://$address:14000/dir" "$@"; }
ok 'an account is made' asks new
ok 'a certificate is given for all environments' asks -h "$WORK/hook" issue '*.preview.test' || { sed 's/^/# /' "$WORK/pebble.log" | tail -20; exit 1; }

export ASSAY_PREVIEW_DOMAIN=preview.test ASSAY_PREVIEW_LISTEN=$address:0
export ASSAY_PREVIEW_CERT=$ACME/preview.test/cert.pem ASSAY_PREVIEW_KEY=$ACME/private/preview.test/key.pem
ok 'the server starts with it' serve_start || { sed 's/^/# /' "$WORK/serve.log"; exit 1; }
port=$(jq -r '.outer | split(":")[1]' "$ASSAY_STATE/run/serve.json")
shown() { openssl s_client -connect "$address:$port" -servername env.preview.test </dev/null 2>/dev/null | openssl x509 -noout "$@"; }
like 'which is shown' "$(shown -issuer -ext subjectAltName)" 'CN = Pebble Intermediate CA.*DNS:\*\.preview\.test'
like 'with those above it' "$(openssl s_client -showcerts -connect "$address:$port" -servername env.preview.test </dev/null 2>/dev/null | grep -c 'BEGIN CERT')" '^[2-9]$'
before=$(shown -serial)
ok 'another is asked for in time' asks -h "$WORK/hook" -f issue '*.preview.test'
renewed() { [ "$(shown -serial)" ] && [ "$(shown -serial)" != "$before" ]; }
ok 'and is shown without a restart' until_true 20 renewed
serve_stop
is 'nothing is left' "$(left_behind)" ''
done_testing
