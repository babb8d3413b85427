"""Works through the queue until SIGTERM."""
import os
import signal
import sys

from kit.database import Database
from kit.journal import log
from kit.redis import Redis
from worker.consumer import BLOCK_MS, Consumer
from worker.effects import apply


def stop(*_):
    log("info", "stopped", service="worker")
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
database = Database(os.environ["DB_URL"])
database.wait()
queue = Redis(os.environ["CACHE_URL"], timeout_s=BLOCK_MS / 1000 + 5)
log("info", "working", service="worker")
Consumer(queue, lambda fields: database.run(lambda cursor: apply(cursor, fields))).run()
