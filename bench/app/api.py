"""The API of the bench's application: what PostgreSQL holds, as JSON."""
import json
import os
import signal
import socketserver
import sys
import time

import psycopg2

URL = os.environ.get("DATABASE_URL", "postgres://app@db:5432/app")
RETRY_S = 0.005


class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        request = self.rfile.readline().decode()
        if not request:
            return  # somebody only looked whether the port is open
        while self.rfile.readline().strip():
            pass
        body = json.dumps(self.server.items() if request.split()[1] == "/items" else {"ok": True}).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                         b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


class Server(socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 128

    def items(self):
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT id, name FROM items ORDER BY id LIMIT 20")
            return [{"id": row[0], "name": row[1]} for row in cursor.fetchall()]


def connected():
    """A connection, once the server takes one."""
    while True:
        try:
            return psycopg2.connect(URL, connect_timeout=5)
        except psycopg2.OperationalError:
            time.sleep(RETRY_S)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
connection = connected()
connection.autocommit = True
server = Server(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Answer)
server.connection = connection
server.serve_forever()
