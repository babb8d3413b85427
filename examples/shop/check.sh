#!/bin/sh
# Checks the example by itself, without Assay: a throwaway PostgreSQL and Redis, every service on free loopback ports, the tests,
# the recorded sessions, and the demo agent with each of its mistakes. Writes TAP; leaves nothing behind. About half a minute.
set -eu
cd "$(dirname "$0")"

bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
dir=$(mktemp -d "${TMPDIR:-/tmp}/shop-check.XXXXXX")
chmod 755 "$dir"
mkdir "$dir/pg"
as=
if [ "$(id -u)" = 0 ]; then # PostgreSQL does not run as root
	as="setpriv --reuid=nobody --regid=nogroup --clear-groups"
	chown nobody:nogroup "$dir/pg"
fi
redis= check=

cleanup() {
	status=$?
	trap - EXIT INT TERM
	if [ -n "$check" ]; then kill "$check" 2>/dev/null && wait "$check" 2>/dev/null || true; fi
	if [ -n "$redis" ]; then kill "$redis" 2>/dev/null || true; wait "$redis" 2>/dev/null || true; fi
	(cd "$dir/pg" && $as "$bin/pg_ctl" -D "$dir/pg/data" -m immediate -w stop >/dev/null 2>&1) || true
	rm -rf "$dir"
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

now_ms() { date +%s%3N; }
ports=$(node --input-type=module -e "import { freePort } from './tests/system.mjs'; console.log(await freePort(), await freePort())")
pg_port=${ports% *}
redis_port=${ports#* }

(cd "$dir/pg" && $as "$bin/initdb" -D data -U shop --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8 >"$dir/initdb.log" &&
	$as "$bin/pg_ctl" -D data -l log -w -o "-p $pg_port -k $dir/pg -c listen_addresses=127.0.0.1 -c fsync=off" start >/dev/null) ||
	{ cat "$dir/initdb.log" "$dir/pg/log"; exit 1; }
redis-server --port "$redis_port" --bind 127.0.0.1 --save '' --appendonly no --dir "$dir" >"$dir/redis.log" 2>&1 &
redis=$!

server=postgres://shop@127.0.0.1:$pg_port
"$bin/createdb" -h 127.0.0.1 -p "$pg_port" -U shop shop
began=$(now_ms)
"$bin/psql" "$server/shop" --no-psqlrc --quiet --file db/seed.sql
echo "# seeded in $(($(now_ms) - began)) ms"
began=$(now_ms)
DB_URL=$server/shop sh db/migrate.sh >/dev/null
echo "# nothing to migrate, found in $(($(now_ms) - began)) ms"

CHECK_DIR=$dir/work CHECK_PG=$server CHECK_CACHE=redis://127.0.0.1:$redis_port CHECK_SEED=shop node tests/check.mjs &
check=$!
wait "$check"
