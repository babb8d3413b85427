"""Says hello to as many guests as the database has, and counts in Redis how often."""
import http.server
import os
import socket

import psycopg2

import greeting


def visits():
    with socket.create_connection(("cache", 6379)) as cache:
        cache.sendall(b"INCR visits\r\n")
        return int(cache.recv(64)[1:])


def guests():
    database = psycopg2.connect(host="db", user="postgres", dbname="visits")
    with database, database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM guests")
        count = cursor.fetchone()[0]
    database.close()
    return count


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{greeting.hello()} to {guests()} guests, {'for the first time' if visits() == 1 else 'again'}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
