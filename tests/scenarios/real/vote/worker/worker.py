"""Takes votes from Redis and keeps one per voter in PostgreSQL."""
import json

import psycopg2
from redis import Redis

SCHEMA = "CREATE TABLE IF NOT EXISTS votes (id text PRIMARY KEY, vote text NOT NULL)"
KEEP = "INSERT INTO votes (id, vote) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET vote = excluded.vote"


def main():
    redis = Redis(host="redis")
    database = psycopg2.connect(host="db", user="postgres", password="postgres", dbname="postgres")
    database.autocommit = True
    cursor = database.cursor()
    cursor.execute(SCHEMA)
    print("worker: waiting for votes")
    while True:
        vote = json.loads(redis.blpop("votes")[1])
        cursor.execute(KEEP, (vote["voter_id"], vote["vote"]))
        print("worker: kept a vote for", vote["vote"])


main()
