"""Items and orders in PostgreSQL; the bank is asked for every order."""
import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import psycopg2


def connect():
    return psycopg2.connect(os.environ["DB_URL"])


def charge(order_id, cents):
    body = json.dumps({"order": order_id, "amount_cents": cents}).encode()
    headers = {"content-type": "application/json", "idempotency-key": "order-%d" % order_id}
    request = urllib.request.Request("http://bank.example/v1/charges", body, headers)
    with urllib.request.urlopen(request, timeout=1) as reply:
        return json.load(reply)["status"]


def items(limit):
    with connect() as db, db.cursor() as cursor:
        cursor.execute("SELECT id, name, price_cents, stock FROM items ORDER BY id LIMIT %s", (limit,))
        return [{"id": r[0], "name": r[1], "price_cents": r[2], "stock": r[3]} for r in cursor.fetchall()]


def item(number):
    with connect() as db, db.cursor() as cursor:
        cursor.execute("SELECT id, name, price_cents, stock FROM items WHERE id = %s", (number,))
        row = cursor.fetchone()
        return {"id": row[0], "name": row[1], "price_cents": row[2], "stock": row[3]}


def order_make(body):
    with connect() as db, db.cursor() as cursor:
        total = sum(item(line["item"])["price_cents"] * line["quantity"] for line in body["lines"])
        cursor.execute("INSERT INTO orders (token, total_cents) VALUES (%s, %s) RETURNING id, created_at", (body["token"], total))
        number, created = cursor.fetchone()
        for line in body["lines"]:
            cursor.execute("INSERT INTO order_lines VALUES (%s, %s, %s)", (number, line["item"], line["quantity"]))
        status = charge(number, total)
        return {"id": number, "total_cents": total, "payment": status, "created_at": created.isoformat()}


def order_show(number):
    with connect() as db, db.cursor() as cursor:
        cursor.execute("SELECT id, total_cents, created_at FROM orders WHERE id = %s", (number,))
        row = cursor.fetchone()
        if not row:
            return None
        return {"id": row[0], "total_cents": row[1], "created_at": row[2].isoformat()}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if url.path == "/healthz":
            self.send(200, {"ok": True})
        elif url.path == "/items":
            self.send(200, {"items": items(int(parse_qs(url.query).get("limit", ["3"])[0]))})
        elif parts[0] == "items":
            self.send(200, item(int(parts[1])))
        elif parts[0] == "orders":
            order = order_show(int(parts[1]))
            self.send(200 if order else 404, order or {"error": "no such order"})
        else:
            self.send(404, {"error": "no such page"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        self.send(201, order_make(body))


ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
