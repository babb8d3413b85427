import contextlib
import json
import os
import sqlite3
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = os.environ["DB_URL"].removeprefix("sqlite:///")


def connect():
    return sqlite3.connect(PATH, timeout=10, isolation_level=None)


def items():
    with contextlib.closing(connect()) as db:
        rows = db.execute("SELECT id, name, stock FROM items ORDER BY id").fetchall()
    return [{"id": row[0], "name": row[1], "stock": row[2]} for row in rows]


def sell(db, order):
    db.execute("BEGIN IMMEDIATE")
    stock = db.execute("SELECT stock FROM items WHERE id = ?", (order["item"],)).fetchone()[0]
    if stock < order["count"]:
        db.execute("ROLLBACK")
        return 409, {"error": "sold out"}
    time.sleep(0.01)  # the till prints
    db.execute("UPDATE items SET stock = stock - ? WHERE id = ?", (order["count"], order["item"]))
    db.execute("INSERT INTO sales (item_id, count, buyer) VALUES (?, ?, ?)", (order["item"], order["count"], order["buyer"]))
    db.execute("COMMIT")
    return 201, {"sold": order["count"]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer(200, {} if self.path == "/healthz" else {"items": items()})

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with contextlib.closing(connect()) as db:
            self.answer(*sell(db, order))

    def log_message(self, *arguments):
        pass


ThreadingHTTPServer(("", 8080), Handler).serve_forever()
