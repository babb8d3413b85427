# Inside the stage: mounts the bundle as a sandbox has it, sets its variables, and tries each program that is installed.
# shellcheck shell=bash disable=SC2016
set -u
count=0 failed=0 skipped=0
ulimit -c 0
# As sandbox/local/trust.c does, in this mount namespace.
cat /etc/ssl/certs/ca-certificates.crt "$ASSAY_CA" >"$STAGE/bundle.crt" 2>/dev/null || cp "$ASSAY_CA" "$STAGE/bundle.crt"
mount --bind "$STAGE/bundle.crt" /etc/ssl/certs/ca-certificates.crt || exit 77
export HOME=$STAGE/home
mkdir -p "$HOME"
# The variables of src/sandbox/environment_exec.c, from there.
eval "$(sed -n '/^static const char \*const trust/,/^};/s/.*{"\([A-Za-z_]*\)", *\([^}]*\)}.*/\1=\2/p' "$SOURCE_ROOT/src/sandbox/environment_exec.c" |
	sed -e "s#=TRUST_BUNDLE#=/etc/ssl/certs/ca-certificates.crt#" -e "s#=TRUST_JAVA#=-Djavax.net.ssl.trustStore=$STAGE/assay.jks#" \
		-e "s#\"/etc/ssl/certs/assay.pem\"#$ASSAY_CA#" -e 's/^/export /')"

# tool NAME PROGRAM COMMAND: the command, a line of sh in which $URL stands, must succeed for the allowed host and fail for the other.
tool() {
	count=$((count + 1))
	if ! command -v "$2" >/dev/null 2>&1; then
		skipped=$((skipped + 1))
		echo "ok $count - $1 # SKIP $2 is not installed"
		return
	fi
	local good=ok
	URL=https://ok.test/hello timeout 120 sh -c "$3" >"$STAGE/out" 2>&1 || good="not ok"
	[ "$good" = ok ] && URL=https://evil.test/hello timeout 60 sh -c "$3" >"$STAGE/out2" 2>&1 && good="not ok"
	echo "$good $count - $1"
	[ "$good" = ok ] || { failed=1; sed 's/^/# /' "$STAGE/out" | tail -12; }
}

python=/usr/bin/python3
tool curl curl 'curl -fsS "$URL"'
tool wget wget 'wget -qO- --tries=1 "$URL"'
tool 'openssl s_client' openssl 'h=${URL#https://}; h=${h%/*}; echo | openssl s_client -connect "$h:443" -servername "$h" -verify_return_error -brief'
tool git git 'git -c http.followRedirects=false ls-remote "$URL" 2>&1 | tee /dev/stderr | grep -q "not valid: is this a git repository\|not found"'
tool node node 'node -e "require(\"https\").get(process.env.URL, r => process.exit(r.statusCode == 200 ? 0 : 1)).on(\"error\", e => { console.log(e); process.exit(1) })"'
tool 'node fetch' node 'node -e "fetch(process.env.URL).then(r => process.exit(r.ok ? 0 : 1), e => { console.log(e); process.exit(1) })"'
tool npm npm 'npm ping --fetch-retries=0 --registry "${URL%hello}" 2>&1 | tee /dev/stderr | grep -qi "pong"'
tool 'python urllib' $python "$python -c 'import os, urllib.request as u; u.urlopen(os.environ[\"URL\"]).read()'"
tool 'python requests' $python "$python -c 'import requests' 2>/dev/null || { [ \"\${URL#*evil}\" = \"\$URL\" ]; exit; }; $python -c 'import os, requests; requests.get(os.environ[\"URL\"]).raise_for_status()'; test \$? = 0 || exit 1; [ \"\${URL#*evil}\" = \"\$URL\" ]"
tool pip $python "$python -m pip --version >/dev/null 2>&1 || { [ \"\${URL#*evil}\" = \"\$URL\" ]; exit; }; $python -m pip download --no-deps --retries 0 --timeout 10 -d $STAGE --index-url \"\$URL\" x 2>&1 | tee /dev/stderr | grep -q 'Skipping page'"
tool ruby ruby 'ruby -ropen-uri -e "URI.open(ENV[\"URL\"]).read"'
tool php php 'php -r "exit(file_get_contents(getenv(\"URL\")) === false ? 1 : 0);"'
tool 'perl LWP' perl 'perl -MLWP::UserAgent -MLWP::Protocol::https -e1 2>/dev/null || { [ "${URL#*evil}" = "$URL" ]; exit; }; perl -MLWP::UserAgent -e "exit(LWP::UserAgent->new->get(\$ENV{URL})->is_success ? 0 : 1)"'
tool 'perl HTTP::Tiny' perl 'perl -MIO::Socket::SSL -e1 2>/dev/null || { [ "${URL#*evil}" = "$URL" ]; exit; }; perl -MHTTP::Tiny -e "my \$r = HTTP::Tiny->new(verify_SSL => 1)->get(\$ENV{URL}); print \$r->{content} if !\$r->{success}; exit(\$r->{success} ? 0 : 1)"'
tool apt apt-get 'printf "deb [trusted=yes] %s/ ./\n" "${URL%/hello}" >$STAGE/apt.list && mkdir -p $STAGE/lists/partial && apt-get update -o Dir::Etc::sourcelist=$STAGE/apt.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$STAGE/lists -o APT::Sandbox::User=root -o Acquire::Retries=0 2>&1 | tee /dev/stderr | grep -qi "signed file"'
cat >"$STAGE/get.go" <<'GO'
package main

import ("net/http"; "os")

func main() {
	r, err := http.Get(os.Getenv("URL"))
	if err != nil || r.StatusCode != 200 { println(err.Error()); os.Exit(1) }
}
GO
tool go go 'test -x $STAGE/get || (cd $STAGE && GOCACHE=$STAGE/gocache GO111MODULE=off go build -o get get.go) && $STAGE/get'
tool cargo /usr/bin/cargo 'mkdir -p $STAGE/crate/src $STAGE/crate/.cargo && cd $STAGE/crate && echo "fn main() {}" >src/main.rs && printf "[package]\nname=\"x\"\nversion=\"0.1.0\"\n[dependencies]\nabsent=\"1\"\n" >Cargo.toml && printf "[source.crates-io]\nreplace-with=\"s\"\n[source.s]\nregistry=\"%s/index\"\n[net]\nretry=0\n" "${URL%/hello}" >.cargo/config.toml && /usr/bin/cargo update 2>&1 | tee $STAGE/cargo.out; ! grep -qi "certificate\|resolve\|SSL" $STAGE/cargo.out'
cat >"$STAGE/Get.java" <<'JAVA'
import java.net.*;
public class Get { public static void main(String[] a) throws Exception { System.out.println(((HttpURLConnection) new URL(System.getenv("URL")).openConnection()).getResponseCode()); } }
JAVA
if command -v java >/dev/null 2>&1; then # the store as a room gets it
	$python "$SOURCE_ROOT/tests/egress/jks.py" "$STAGE/bundle.crt" "$STAGE/assay.jks"
fi
tool java java 'java $STAGE/Get.java'
tool maven mvn 'printf "<settings><localRepository>%s</localRepository><mirrors><mirror><id>m</id><mirrorOf>*</mirrorOf><url>%s</url></mirror></mirrors></settings>" "$STAGE/m2" "${URL%/hello}" >$STAGE/settings.xml; mvn -B -s $STAGE/settings.xml org.apache.maven.plugins:maven-dependency-plugin:3.6.0:get 2>&1 | tee $STAGE/mvn.out; ! grep -qi "PKIX\|unknown host\|unable to find valid" $STAGE/mvn.out && grep -q "Downloaded from m" $STAGE/mvn.out'
tool deno deno 'deno run -A - <<X
const r = await fetch(Deno.env.get("URL")); Deno.exit(r.ok ? 0 : 1)
X'
echo "1..$count"
echo "# $skipped of $count programs are not installed here"
exit "$failed"
