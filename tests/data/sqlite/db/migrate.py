import sqlite3

db = sqlite3.connect("/srv/kiosk/kiosk.sqlite3", timeout=10)
if "note" not in [row[1] for row in db.execute("PRAGMA table_info(sales)")]:
    db.execute("ALTER TABLE sales ADD COLUMN note TEXT")
db.commit()
