#!/bin/sh
# Applies the files of db/migrations that the database has not seen, in order, each in a transaction of its own.
set -eu
cd "$(dirname "$0")/migrations"
url=${DB_URL:-postgres://shop@db:5432/shop}

# The real psql, if it is where Debian puts it: its wrapper costs more than the whole of a migration with nothing to do.
psql=psql
for found in /usr/lib/postgresql/*/bin/psql; do
	if [ -x "$found" ]; then psql=$found; fi
done

query() { "$psql" "$url" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$@"; }

applied=$(PGOPTIONS='-c client_min_messages=warning' query --command \
	'CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())' \
	--command 'SELECT name FROM schema_migrations')

count=0
for file in [0-9]*.sql; do
	name=${file%.sql}
	if printf '%s\n' "$applied" | grep -qxF "$name"; then continue; fi
	query --single-transaction --file "$file" --command "INSERT INTO schema_migrations (name) VALUES ('$name')"
	echo "applied $name"
	count=$((count + 1))
done
echo "migrations: $count applied"
