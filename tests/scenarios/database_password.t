#!/bin/bash
# The password of a database that no sandbox holds: psql in a sandbox logs in with a placeholder, the gateway with the password, at a real PostgreSQL
# outside (SCRAM-SHA-256, MD5, in clear over TLS) and at a database of the environment. Another password, another database, a server that cannot
# prove itself or speaks no TLS get nothing.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/egress/stage.sh
STAGE_PROGRAM=none . "$SOURCE_ROOT/tests/egress/stage.sh"
[ "$(id -u)" = 0 ] || skip_all 'needs root: a name of the machine for the server outside'
[ -x /usr/bin/psql ] || skip_all 'needs psql'
if [ -z "${DATABASE_INSIDE:-}" ]; then
	DATABASE_INSIDE=1 exec unshare --mount --propagation private bash "$0"
fi
address=127.63.$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1))
printf '127.0.0.1 localhost\n%s pg.outside.test plain.outside.test pg.example.com plain.example.com\n' "$address" >"$WORK/hosts"
mount --bind "$WORK/hosts" /etc/hosts
at_end umount /etc/hosts
egress_authority "$WORK"
export ASSAY_REACH=$address ASSAY_AUTHORITIES=$WORK/operator.pem

# The server outside: one with TLS at 5432, one without at 5433; the same roles and rules.
password=hunter2-REALREALREAL-7f3a
bin=$(find /usr/lib/postgresql/*/bin -maxdepth 0 | sort -V | tail -n 1)
as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
(
	cd "$WORK" || exit 1
	printf 'subjectAltName=DNS:pg.outside.test,DNS:pg.example.com\n' >pg.ext
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=pg -keyout pg.key -out pg.csr
	openssl x509 -req -in pg.csr -CA operator.pem -CAkey operator.key -CAcreateserial -days 30 -extfile pg.ext -out pg.crt
	install -d -o postgres -g postgres -m 700 "$WORK/outside"
	install -o postgres -g postgres -m 600 pg.key pg.crt "$WORK/outside"
	chmod 711 "$WORK"
) >/dev/null 2>&1
outside_start() { # FOLDER PORT SSL
	(
		cd / || exit 1
		as_postgres "$bin/initdb" --pgdata "$WORK/outside/$1" --auth=trust --username=postgres --no-sync
		cat >"$WORK/outside/$1/pg_hba.conf" <<'RULES'
local all all trust
host all md5er all md5
host all clear all password
host all all all scram-sha-256
RULES
		as_postgres "$bin/pg_ctl" --pgdata "$WORK/outside/$1" --wait --log "$WORK/outside/$1.log" \
			--options "-c listen_addresses=$address -c port=$2 -c unix_socket_directories=$WORK/outside -c ssl=$3 \
			-c ssl_cert_file=$WORK/outside/pg.crt -c ssl_key_file=$WORK/outside/pg.key -c fsync=off -c shared_buffers=4MB -c log_connections=on" start
	) >"$WORK/pg-$1.out" 2>&1
	at_end "cd / && setpriv --reuid postgres --regid postgres --clear-groups $bin/pg_ctl --pgdata $WORK/outside/$1 --mode immediate stop >/dev/null 2>&1"
	psql --quiet --host "$WORK/outside" --port "$2" --username postgres postgres <<-SQL
		CREATE ROLE app LOGIN PASSWORD '$password';
		CREATE ROLE clear LOGIN PASSWORD '$password';
		SET password_encryption = 'md5';
		CREATE ROLE md5er LOGIN PASSWORD '$password';
		CREATE DATABASE shop;
		CREATE DATABASE other;
	SQL
}
if ! outside_start tls 5432 on || ! outside_start plain 5433 off; then
	cat "$WORK"/pg-*.out
	skip_all 'PostgreSQL does not start outside'
fi

mkdir "$WORK/app"
cat >"$WORK/app/assay.yaml" <<'BLUEPRINT'
version: 1
name: base
services:
  web: {run: "sleep 100000"}
databases:
  db: {engine: postgres, database: base, user: owner, seed: seed.sql}
secrets:
  DBPASS: dbpass
  OWNPASS: ownpass
egress:
  rules:
    - {id: pg, host: pg.outside.test, port: 5432, action: allow}
    - {id: plain, host: plain.outside.test, port: 5433, action: allow}
    - {id: world, host: plain.example.com, port: 5433, action: allow}
    - {id: ask, host: pg.example.com, port: 5432, action: approve}
BLUEPRINT
# The environment's server asks who comes over the network for a password, as a production snapshot's may.
cat >"$WORK/app/seed.sql" <<SEED
CREATE ROLE app LOGIN PASSWORD '$password';
CREATE TABLE things (name text);
INSERT INTO things VALUES ('own');
GRANT SELECT ON things TO app;
DO \$\$ BEGIN EXECUTE format('COPY (SELECT line FROM (VALUES (1, ''local all all trust''), (2, ''host all owner all trust''), (3, ''host all all all scram-sha-256'')) AS lines (n, line) ORDER BY n) TO %L', current_setting('hba_file')); END \$\$;
SEED
repository "$WORK/app"
cd "$WORK/app" || exit 1
serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
ok 'a password is kept for databases; where it goes needs no word' \
	sh -c "printf %s '$password' | \"\$ASSAY\" secret set dbpass --for postgres://pg.outside.test/shop --for postgres://plain.outside.test:5433/shop \
		--for postgres://plain.example.com:5433/shop --for postgres://pg.example.com/shop"
printf %s "$password" | "$ASSAY" secret set ownpass --for postgres://db/base --in password >/dev/null
"$ASSAY" env up --name base >"$WORK/up.log" 2>&1 || { tap_line 'not ok' 'an environment comes up'; sed 's/^/# /' "$WORK/up.log" "$WORK/serve.log"; exit 1; }
env=$(api GET /environments | jq -r '.items[] | select(.name == "base") | .id')
inside() { "$ASSAY" env exec "$env" -- sh -c "$1" 2>&1; }
# sql PASSWORD CONNECTION [SQL]
sql() { inside "PGPASSWORD=$1 PGCONNECT_TIMEOUT=25 psql --no-psqlrc --tuples-only --no-align --no-password '$2' --command \"${3:-SELECT current_user}\""; }
held=$(inside 'printf %s "$DBPASS"')
like 'a sandbox sees a placeholder' "$held" '^xAssay0'
is 'and the password nowhere' "$(inside "env; cat /proc/*/environ 2>/dev/null; grep -rs . /etc /workspace; true" | grep -acF "$password")" 0

for role in app md5er clear; do
	is "$role logs in outside with the placeholder" "$(sql "$held" "host=pg.outside.test user=$role dbname=shop")" $role
done
is 'also where TLS is a must for the program, and verified' "$(sql "$held" 'host=pg.outside.test user=app dbname=shop sslmode=verify-full sslrootcert=/etc/ssl/certs/ca-certificates.crt')" app
is 'also where it wants none' "$(sql "$held" 'host=pg.outside.test user=app dbname=shop sslmode=disable')" app
is 'the server saw TLS' "$(sql "$held" 'host=pg.outside.test user=app dbname=shop sslmode=disable' 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')" t
is 'a long answer comes whole' "$(sql "$held" 'host=pg.outside.test user=app dbname=shop' "SELECT sum(length(x)) FROM (SELECT repeat('y', 1000) x FROM generate_series(1, 20000)) t")" 20000000
is 'without TLS a host of one'"'"'s own gets proofs' "$(sql "$held" 'host=plain.outside.test port=5433 user=app dbname=shop')" app
like 'and never the password itself' "$(sql "$held" 'host=plain.outside.test port=5433 user=clear dbname=shop')" 'FATAL: +assay: .*wants the password itself'
like 'a host of the world without TLS gets nothing' "$(sql "$held" 'host=plain.example.com port=5433 user=app dbname=shop')" 'FATAL: +assay: .*does not speak TLS'
like 'another password does not go there' "$(sql of-the-attacker 'host=pg.outside.test user=app dbname=shop')" 'FATAL: +assay: .*rule broker:foreign-credential, id q[0-9a-f]+'
like 'nor the placeholder to another database' "$(sql "$held" 'host=pg.outside.test user=app dbname=other')" 'rule broker:foreign-credential'
like 'what the server says of a login is passed on' "$(sql "$held" 'host=pg.outside.test user=nobody dbname=shop')" 'password authentication failed for user .*nobody'
like 'replication of everything is refused' "$(sql "$held" 'host=pg.outside.test user=app dbname=shop replication=true' 'IDENTIFY_SYSTEM')" 'replication reads every database'
like 'the placeholder is no password elsewhere' "$(inside "curl --silent --noproxy '*' --max-time 20 -d k=\$DBPASS http://pg.outside.test:5432/; echo \$?")" '(28|52|56|1|8)$'

sql "$held" 'host=pg.example.com user=app dbname=shop' >"$WORK/asked" &
asked=$!
waits() { [ "$(api GET /holds | jq -r '.items[0] | "\(.method) \(.host)\(.path)"')" = 'login pg.example.com/shop' ]; }
ok 'a login waits for a person where rules say so' until_true 60 waits
"$ASSAY" approve "$(api GET /holds | jq -r '.items[0].id')" >/dev/null
wait "$asked"
is 'and goes on' "$(cat "$WORK/asked")" app

own=$(inside 'printf %s "$OWNPASS"')
is 'a database of the environment takes a placeholder, too' "$(sql "$own" 'host=db user=app dbname=base' 'SELECT name FROM things')" own
like 'and no other password' "$(sql "$password-not" 'host=db user=app dbname=base')" 'rule broker:foreign-credential'

rows() { "$ASSAY" ledger search --env "$env" --json "$@" | jq .items; }
is 'logins are in the ledger: before, the release, after' "$(rows --host pg.outside.test | jq -r '[.[] | select(.method == "login") | .kind] | unique | join(" ")')" 'intent outcome release verdict'
statements() { api GET "/environments/$env/exchanges?limit=1000" | jq -r '.items[] | select(.proto == "postgres" and .to == "pg.outside.test") | .request.command' | sort -u | tr '\n' ' '; }
like 'statements are read along' "$(statements)" 'login query'
is 'no log and no file has the password' "$(grep -rlaF --exclude-dir=pool --exclude='pool.img' --exclude='tree.tar' -e "$password" "$ASSAY_STATE" "$WORK/serve.log" | wc -l)" 0

"$ASSAY" secret rm dbpass >/dev/null
like 'one that was removed logs nobody in' "$(sql "$held" 'host=pg.outside.test user=app dbname=shop')" 'FATAL: +assay: .*(not-released|foreign-credential|no rule)'
"$ASSAY" kill "$env" --because test >/dev/null
like 'nor does what was killed' "$(sql "$own" 'host=db user=app dbname=base')" '(assay|closed|failed|refused|reset)'
done_testing
