#!/bin/bash
# An application over a SQLite file: forked, verified and migrated as over any other database.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

export HOME=$WORK
cd "$WORK" || exit 1
git() { command git -c user.name=t -c user.email=t@t "$@"; }
cp -r "$SOURCE_ROOT/tests/data/sqlite" app
git -C app init -q -b main
git -C app add -A && git -C app commit -qm base
change() { # BRANCH FILE SED…: one commit more than main
	local branch=$1 file=app/$2
	shift 2
	git -C app checkout -q -b "$branch" main && sed -i "$@" "$file" && git -C app commit -qam "$branch"
}
change tidy server.py 's/"id": row\[0\], "name": row\[1\]/"name": row[1], "id": row[0]/'
change buyer server.py 's/order\["count"\], order\["buyer"\]))/order["count"], "guest"))/'
change race server.py -e '/BEGIN IMMEDIATE/d' -e '/ROLLBACK/d' -e '/COMMIT/d'
git -C app checkout -q -b paid main
cat >>app/db/migrate.py <<'PY'
if "paid" not in [row[1] for row in db.execute("PRAGMA table_info(sales)")]:
    db.execute("ALTER TABLE sales ADD COLUMN paid INTEGER")
db.execute("""CREATE TRIGGER IF NOT EXISTS must_be_paid BEFORE INSERT ON sales WHEN NEW.paid IS NOT 1
              BEGIN SELECT RAISE(ABORT, 'not paid'); END""")
db.commit()
PY
sed -i -e 's/(item_id, count, buyer) VALUES (?, ?, ?)/(item_id, count, buyer, paid) VALUES (?, ?, ?, 1)/' app/server.py
git -C app commit -qam 'what is sold is paid'
git -C app checkout -qf main

ok 'a server starts' serve_start

verdict() { # HEAD: verified and compared with main
	"$ASSAY" verify --repo app --base main --head "$1" >"$1.txt" 2>&1
	echo $?
}
is 'what changes nothing is verified' "$(verdict tidy)" 0

is 'another row fails' "$(verdict buyer)" 1
like 'it is the row' "$(cat buyer.txt)" 'rows of db.sales: .*buyer "kim" → "guest"'
is 'what is sold twice at once fails' "$(verdict race)" 1
like 'by the invariant that SQL states' "$(cat race.txt)" 'nothing is sold twice. does not hold after copies sent at once'
is 'a migration that the old code cannot live with fails' "$(verdict paid)" 1
like 'it says so' "$(cat paid.txt)" 'block .*old code'

# ---- an environment of it, by hand

cd app || exit 1
ok 'an environment comes up' "$ASSAY" env up --name kiosk
url=$("$ASSAY" env url kiosk)
like 'a visitor buys' "$(curl -s -H 'content-type: application/json' -d '{"item": 1, "count": 2, "buyer": "ann"}' "$url/sales")" '"sold": 2'
like 'it is in the file' "$("$ASSAY" env query kiosk db 'SELECT buyer, count FROM sales' 2>&1)" 'ann'
ok 'it is set back' "$ASSAY" env reset-data kiosk
like 'as it was' "$(curl -s "$url/items")" '"stock": 40'

done_testing
