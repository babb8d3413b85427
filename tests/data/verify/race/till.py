"""A till: every request is safe to be asked at once with others."""
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2


def connect():
    return psycopg2.connect(os.environ["DB_URL"])


def buy(cursor, body):
    cursor.execute(
        "UPDATE items SET stock = stock - %s WHERE id = %s AND stock >= %s",
        (body["quantity"], body["item"], body["quantity"]),
    )
    if not cursor.rowcount:
        return 409, {"error": "sold out"}
    cursor.execute("INSERT INTO sales (item_id, quantity) VALUES (%s, %s)", (body["item"], body["quantity"]))
    return 201, {"sold": body["quantity"]}


def join(cursor, body):
    cursor.execute("INSERT INTO members (email) VALUES (%s) ON CONFLICT DO NOTHING", (body["email"],))
    return (201, {"member": body["email"]}) if cursor.rowcount else (409, {"error": "a member already"})


def visit(cursor, body):
    cursor.execute("UPDATE visits SET count = count + 1 WHERE page = %s", (body["page"],))
    return 200, {"page": body["page"]}


def pay(cursor, body):
    cursor.execute("SELECT cents FROM purses WHERE owner = 'ada' FOR UPDATE")
    cents = cursor.fetchone()[0]
    if cents < body["cents"]:
        return 402, {"error": "not enough"}
    cursor.execute("UPDATE purses SET cents = %s WHERE owner = 'ada'", (cents - body["cents"],))
    cursor.execute("UPDATE purses SET cents = cents + %s WHERE owner = 'bob'", (body["cents"],))
    return 200, {"paid": body["cents"]}


def ticket(cursor, body):
    cursor.execute("LOCK TABLE tickets IN SHARE ROW EXCLUSIVE MODE")
    cursor.execute("INSERT INTO tickets (number) SELECT coalesce(max(number), 0) + 1 FROM tickets")
    return 201, {"ticket": True}


def check(cursor):
    cursor.execute("SELECT (SELECT sum(500 - stock) FROM items) = (SELECT coalesce(sum(quantity), 0) FROM sales)")
    return cursor.fetchone()[0]


POSTS = {"/buy": buy, "/join": join, "/visit": visit, "/pay": pay, "/ticket": ticket}


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
        if self.path == "/healthz":
            return self.send(200, {"ok": True})
        with connect() as db, db.cursor() as cursor:
            self.send(200 if check(cursor) else 500, {})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        try:
            with connect() as db, db.cursor() as cursor:
                status, answer = POSTS[self.path](cursor, body)
        except psycopg2.Error as problem:
            status, answer = 500, {"error": type(problem).__name__}
        self.send(status, answer)


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Whoever asked has gone."""


Server(("", int(os.environ["PORT"])), Handler).serve_forever()
