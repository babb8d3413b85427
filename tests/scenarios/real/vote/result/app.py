"""The result: how many votes PostgreSQL holds for each option."""
import os

import psycopg2
from flask import Flask, jsonify

app = Flask(__name__)


@app.route("/")
def result():
    with psycopg2.connect(dbname="postgres", connect_timeout=5) as database, database.cursor() as cursor:
        cursor.execute("SELECT vote, count(*) FROM votes GROUP BY vote")
        counts = dict(cursor.fetchall())
    return jsonify(a=counts.get("a", 0), b=counts.get("b", 0))


app.run(host="0.0.0.0", port=int(os.environ["PORT"]))
