#!/bin/bash
# A preview that somebody elsewhere opens: https://<env>.<domain> with a wildcard certificate from files; a signed link becomes a cookie of that one
# host and leaves the address; who has none learns nothing, or signs in at the pages; other certificates are taken as they come.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

# certificate NAME: $WORK/outer.pem for *.NAME, with its key, put there at once.
certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" -addext "subjectAltName=DNS:*.$1" \
		-keyout "$WORK/new.key" -out "$WORK/new.crt" 2>/dev/null
	cat "$WORK/new.crt" "$WORK/new.key" >"$WORK/new.pem"
	cp "$WORK/new.crt" "$WORK/authority.pem"
	mv "$WORK/new.pem" "$WORK/outer.pem"
}

# visit URL [CURL OPTION…]: as a browser elsewhere would, with its own cookies.
visit() {
	local url=$1
	shift
	curl --silent --show-error --max-time 20 --cacert "$WORK/authority.pem" --connect-to "::127.0.0.1:$port" "$@" "$url"
}

# sees URL [CURL OPTION…]: status and where it sends to.
sees() { visit "$@" --output "$WORK/body" --write-out '%{http_code} %{redirect_url}'; }

certificate preview.test
export ASSAY_PREVIEW_DOMAIN=preview.test ASSAY_PREVIEW_LISTEN=127.0.0.1:0 ASSAY_PREVIEW_CERT=$WORK/outer.pem ASSAY_PAGES=https://assay.test
is 'a certificate of another name is refused before anything starts' \
	"$(ASSAY_PREVIEW_DOMAIN=other.test timeout 30 "$ASSAY" serve --listen 127.0.0.1:0 --preview 127.0.0.1:0 2>&1 | grep -o 'the certificate is not for .*' | head -1)" \
	'the certificate is not for env.other.test'
cp -r "$SOURCE_ROOT/tests/scenarios/outer" "$WORK/outer"
repository "$WORK/outer"
cd "$WORK/outer" || exit 1
ok 'the server starts' serve_start || { sed 's/^/# /' "$WORK/serve.log"; exit 1; }
port=$(jq -r '.outer | split(":")[1]' "$ASSAY_STATE/run/serve.json")
for name in one two; do
	"$ASSAY" env up --json >"$WORK/$name.json" 2>"$WORK/up.log" || { sed "s/^/# /" "$WORK/up.log" "$WORK/$name.json"; exit 1; }
done
env=$(jq -r .id "$WORK/one.json") link=$(jq -r .preview "$WORK/one.json") host=$env.preview.test
other=$(jq -r .id "$WORK/two.json").preview.test

like 'the address is of its own host, with a signed link' "$link" "^https://$host/\?first=1&assay=l\.[0-9]{10}\.[A-Za-z0-9_-]{86}$"
is 'the link is taken out of the address' "$(sees "$link" --cookie-jar "$WORK/jar" --dump-header "$WORK/head")" "303 https://$host/?first=1"
like 'and becomes a cookie of this host, over TLS, for no script' "$(tr -d '\r' <"$WORK/head")" \
	'Set-Cookie: __Host-assay=l\.[^;]*; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age='
cookie=$(sed -n 's/^Set-Cookie: \([^;]*\).*/\1/p' "$WORK/head")
is 'with it the application answers' "$(sees "https://$host/hi?a=1" --header "Cookie: a=b; $cookie; c=d" --dump-header "$WORK/head")" '200 '
is 'which sees its own cookies only, and who is there' "$(jq -c '[.path, .headers.cookie, .headers["x-forwarded-proto"], .headers["x-forwarded-for"]]' "$WORK/body")" \
	'["/hi?a=1","a=b; c=d","https","127.0.0.1"]'
is 'no search engine keeps it, and its cookies stay at this host' "$(tr -d '\r' <"$WORK/head" | grep -iE '^(x-robots-tag|set-cookie)' | sort)" \
	'Set-Cookie: seen=1; Path=/; HttpOnly
X-Robots-Tag: noindex, nofollow'
is 'only the pages of Assay may show it within theirs' "$(tr -d '\r' <"$WORK/head" | grep -i '^content-security')" \
	"Content-Security-Policy: frame-ancestors 'self' https://assay.test"
is 'what it says before the answer does not go out' "$(sees "https://$host/early" --header "Cookie: $cookie" --dump-header "$WORK/head") $(grep -ciE '^(HTTP/1.1 103|link:|set-cookie: __Host)' "$WORK/head")" '200  0'
many=$(printf ';c%d' {1..2000})
is 'cookies without blanks are given on with them' "$(sees "https://$host/many" --header "Cookie: $cookie$many") $(jq -r '.headers.cookie | length' "$WORK/body")" '200  12891'
is 'events pass' "$(visit "https://$host/events" --header "Cookie: $cookie" | tr -d '\n')" 'data: onedata: two'
is 'an upgraded connection carries megabytes' "$(python3 upgraded.py "$port" "$host" "$WORK/authority.pem" "$cookie")" '101 3145733 True hello'
is 'a form is sent' "$(visit "https://$host/form" --header "Cookie: $cookie" --header "Origin: https://$host" --data a=1 | jq -r .method)" POST

# What is refused: another environment, a changed or another's pass, other hosts, pages of other hosts.
# shellcheck disable=SC2034 # the table's
# shellcheck disable=SC2034 # in the table
curl_navigates=(--header 'Sec-Fetch-Site: cross-site' --header 'Sec-Fetch-Mode: navigate')
while IFS='|' read -r what wanted url options; do
	eval "options=($options)"
	# shellcheck disable=SC2154
	wanted=${wanted//HOST/$host} url=${url//HOST/$host}
	is "$what" "$(sees "${url//OTHER/$other}" "${options[@]//HOST/$host}")" "$wanted"
done <<-'END'
	nobody comes in without a pass|403 |https://HOST/|
	nor learns which environments there are|403 |https://none.preview.test/|
	the cookie of one environment opens no other|403 |https://OTHER/|--header "Cookie: $cookie"
	a changed link|403 |https://HOST/?assay=l.9999999999.${cookie##*.}|
	one that ended|403 |https://HOST/?assay=l.1000000000.${cookie##*.}|
	an empty one|403 |https://HOST/?assay=|
	a link is not given to the application although there is a cookie|303 https://HOST/x?b=2|https://HOST/x?assay=l.1.x&b=2|--header "Cookie: $cookie"
	nor by a form|403 |https://HOST/x?assay=l.1.x|--header "Cookie: $cookie" --data a=1
	the domain itself|421 |https://x.preview.test/|--header "Host: preview.test"
	a name of two parts|421 |https://HOST/|--header "Host: a.HOST"
	another host than TLS was for|421 |https://HOST/|--header "Host: x.preview.test"
	an address instead of a name|421 |https://HOST/|--header "Host: 127.0.0.1"
	this machine's own way|421 |https://HOST/env/x/|--header "Host: localhost"
	a page of another origin may not send|403 |https://HOST/|--header "Cookie: $cookie" --header "Origin: https://evil.test" --data a=1
	nor one of another environment|403 |https://HOST/|--header "Cookie: $cookie" --header "Sec-Fetch-Site: same-site" --header "Sec-Fetch-Mode: no-cors"
	but may link here|200 |https://HOST/|--header "Cookie: $cookie" "${curl_navigates[@]}"
END
like 'a page says so to people' "$(visit "https://$host/" --header 'Sec-Fetch-Mode: navigate')" 'opens with the link that Assay posted'
is 'not over TLS 1.1' "$(sees "https://$host/" --tls-max 1.1 2>/dev/null)" '000 '
is 'over TLS 1.2' "$(sees "https://$host/" --tls-max 1.2)" '403 '

# A person signs in: the gateway sends the browser to the pages, and what comes back is good in that browser only.
browser=(--header 'Accept: text/html')
at=$(sees "https://$host/deep?x=1" "${browser[@]}" --dump-header "$WORK/head")
secret=$(sed -n 's/^Set-Cookie: \(__Host-assay-browser=[0-9a-f]*\);.*/\1/p' "$WORK/head")
digest=$(printf %s "${secret#*=}" | sha256sum | cut -d ' ' -f 1)
is 'a browser is sent to the pages' "$at" "303 https://assay.test/signin/preview?host=$host&to=%2Fdeep%3Fx%3D1&browser=$digest"
pages=$(jq -r .api "$ASSAY_STATE/run/serve.json")
ask=${at#303 https://assay.test}
go=/signin/preview/go${ask#/signin/preview}
page() { curl --silent --max-time 20 --header 'Host: assay.test' "$@"; }
like 'which ask again from a page of their own' "$(page "$pages$ask")" "url=/signin/preview/go\?host=$host&amp;to=%2Fdeep%3Fx%3D1&amp;browser=$digest\""
is 'who is not signed in gets no pass' "$(page --output /dev/null --write-out '%{http_code}' "$pages$go")" 403
token=$("$ASSAY" token create ann --role viewer | grep -o 'assay_[0-9a-f]*')
page --output "$WORK/body" --dump-header "$WORK/head" --header 'Origin: https://assay.test' --header 'content-type: application/json' --data "{\"token\": \"$token\"}" "$pages/signin"
session=$(sed -n 's/^Set-Cookie: \(__Host-assay_session=[0-9a-f]*\);.*/\1/p' "$WORK/head")
back=$(page --output /dev/null --write-out '%{redirect_url}' --cookie "$session" "$pages$go")
like 'who is signed in does' "$back" "^https://$host/deep\?x=1&assay=p\."
is 'another browser cannot use it' "$(sees "$back")" '403 '
is 'nor one that brings a secret of its own' "$(sees "$back" --header "Cookie: __Host-assay-browser=$(printf %064d 0)")" '403 '
is 'this one can' "$(sees "$back" --header "Cookie: $secret" --dump-header "$WORK/head")" "303 https://$host/deep?x=1"
mine=$(sed -n 's/^Set-Cookie: \(__Host-assay=[^;]*\).*/\1/p' "$WORK/head")
is 'and comes in' "$(sees "https://$host/deep" --header "Cookie: $mine; $secret")" '200 '
is 'which is no pass without the secret' "$(sees "https://$host/deep" --header "Cookie: $mine")" '403 '
is 'nor for another environment' "$(sees "https://$other/" --header "Cookie: $mine; $secret")" '403 '
is 'the pages send nobody to other hosts' "$(page --output /dev/null --write-out '%{http_code}' --cookie "$session" "$pages/signin/preview/go?host=x.evil.test&to=/&browser=$digest")" 400

# A link is taken back: who came by it is sent away, whoever signed in stays, and what is given from then on is another.
python3 held.py "$port" "$host" "$WORK/authority.pem" "$cookie" >"$WORK/held" &
held=$!
holds() { grep -q open "$WORK/held"; }
ok 'somebody holds a connection by a link' until_true 30 holds
was=$("$ASSAY" env url "$env")
like 'a link to another preview is not taken back' "$("$ASSAY" env revoke "$env" "${was/$env/$(jq -r .id "$WORK/two.json")}x" 2>&1)" 'is no link to a preview'
like 'nor one of another environment' "$("$ASSAY" env revoke "$env" "$("$ASSAY" env url "$(jq -r .id "$WORK/two.json")")" 2>&1)" "no link to the preview of $env"
now=$("$ASSAY" env revoke "$env" "$link")
like 'one is taken back, and another is given' "$now" "^https://$host/\?first=1&assay=l\.1\.[0-9]{10}\.[A-Za-z0-9_-]{86}$"
is 'what it let in is refused' "$(sees "https://$host/hi" --header "Cookie: $cookie")" '403 '
is 'it opens nothing' "$(sees "$link")" '403 '
gone() { ! kill -0 "$held" 2>/dev/null; }
ok 'the connection that it let in ends' until_true 30 gone
is 'the other one opens' "$(sees "$now" --dump-header "$WORK/head")" "303 https://$host/?first=1"
cookie=$(sed -n 's/^Set-Cookie: \(__Host-assay=[^;]*\).*/\1/p' "$WORK/head")
is 'who signed in stays' "$(sees "https://$host/deep" --header "Cookie: $mine; $secret")" '200 '
all=$("$ASSAY" env revoke "$env")
is 'all are taken back' "$(sees "$now") $(sees "https://$host/hi" --header "Cookie: $cookie")" '403  403 '
is 'another environment keeps its own' "$(sees "$("$ASSAY" env url "$(jq -r .id "$WORK/two.json")")")" "303 https://$other/?first=1"
cookie=$(visit "$all" --output /dev/null --dump-header - | sed -n 's/^Set-Cookie: \(__Host-assay=[^;]*\).*/\1/p')
is 'and the one that is given then is good' "$(sees "https://$host/hi" --header "Cookie: $cookie")" '200 '

# Certificates are taken as they come; what is wrong is said, and the one before stays.
certificate preview.test
ok 'another certificate is shown without a restart' until_true 60 visit "https://$host/" --output /dev/null
cp "$WORK/authority.pem" "$WORK/kept.pem"
certificate elsewhere.test
ok 'one of another name is not' until_true 60 grep -q 'stays as it was: the certificate is not for env.preview.test' "$WORK/serve.log"
cp "$WORK/kept.pem" "$WORK/authority.pem"
is 'what was shown still is' "$(sees "https://$host/deep" --header "Cookie: $cookie")" '200 '
kill -9 "$(pgrep -P "$serve_pid" -f 'gateway --link-fd')"
ok 'a gateway that died comes back with it, and passes are still good' until_true 60 visit "https://$host/deep" --fail --output /dev/null --header "Cookie: $cookie"
is 'and those that were taken back are not' "$(sees "$link") $(sees "$now")" '403  403 '
is 'no exchange that was kept has a pass in it' "$(api GET "/environments/$env/exchanges" | grep -cF "${cookie#*=}")" 0

# Where TLS ends before: a proxy brings requests of many visitors by one connection, each judged by itself.
serve_stop
unset ASSAY_PREVIEW_CERT
export ASSAY_PREVIEW_PLAIN=true
like 'either TLS ends before, or there is a certificate' "$(ASSAY_PREVIEW_CERT=$WORK/outer.pem timeout 30 "$ASSAY" serve --listen 127.0.0.1:0 --preview 127.0.0.1:0 2>&1)" 'preview-plain says that TLS ends before'
ok 'a server starts without a certificate' serve_start
port=$(jq -r '.outer | split(":")[1]' "$ASSAY_STATE/run/serve.json")
ready() { [ "$(api GET "/environments/$env" | jq -r .state)" = ready ]; }
ok 'its environment is there' until_true 60 ready
link=$("$ASSAY" env url "$env")
like 'its address is the same, and of https' "$link" "^https://$host/\?first=1&assay=l\."
# through HOST COOKIE: one request of the proxy's; several go by one connection.
proxied=(curl --silent --show-error --max-time 20)
cookie=$("${proxied[@]}" --output /dev/null --dump-header - --header "Host: $host" "http://127.0.0.1:$port${link#https://"$host"}" | sed -n 's/^Set-Cookie: \(__Host-assay=[^;]*\).*/\1/p')
like 'the link becomes a cookie' "$cookie" '^__Host-assay=l\.'
through() { printf '%s\n' "url = http://127.0.0.1:$port/hi" "header = \"Host: $1\"" ${2:+"header = \"Cookie: $2\""} 'output = /dev/null' 'write-out = "%{http_code}+%{num_connects} "' next; }
{ through "$host" "$cookie"; through "$host"; through "$other" "$cookie"; through "$host" "$cookie"; through localhost "$cookie"; } | sed '$d' >"$WORK/many"
is 'of one connection only those come in who have a pass for where they want to' "$("${proxied[@]}" --config "$WORK/many")" '200+1 403+0 403+0 200+0 421+0 '
is 'the application is told of https' "$("${proxied[@]}" --header "Host: $host" --header "Cookie: $cookie" "http://127.0.0.1:$port/hi" | jq -r '.headers["x-forwarded-proto"]')" https
done_testing
