"""A consumer group on the stream `orders`: at least once, in order, acknowledged after the effect.

What was delivered but not acknowledged before a crash is read first (from id 0), then what is new (from ">"). An event that can
never be applied goes to `orders:dead`, so that it does not stop those behind it.
"""
import time

from kit.database import LOST
from kit.journal import log
from kit.redis import RedisError

STREAM, GROUP, NAME = "orders", "worker", "worker-1"
BLOCK_MS = 2000
BATCH = 16


class Consumer:
    def __init__(self, queue, apply, pause=time.sleep):
        self._queue = queue
        self._apply = apply
        self._pause = pause

    def run(self):
        while True:
            try:
                self._join()
                self._drain("0")
                while True:
                    self._drain(">")
            except (OSError, RedisError, *LOST) as error:
                log("warn", "waiting for the queue or the database", reason=error)
                self._pause(0.2)

    def _join(self):
        try:
            self._queue.call("XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM")
        except RedisError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _drain(self, since):
        while True:
            batch = self._read(since)
            for entry_id, words in batch:
                self.handle(entry_id, words)
            if since == ">" or not batch:
                return

    def _read(self, since):
        answer = self._queue.call("XREADGROUP", "GROUP", GROUP, NAME, "COUNT", BATCH, "BLOCK", BLOCK_MS,
                                  "STREAMS", STREAM, since)
        return answer[0][1] if answer else []

    def handle(self, entry_id, words):
        fields = dict(zip(words[::2], words[1::2])) if words else {}
        started = time.monotonic()
        try:
            outcome = self._apply(fields)
        except (KeyError, ValueError) as error:
            log("error", "event refused", entry=entry_id, reason=f"{type(error).__name__}: {error}")
            self._queue.call("XADD", f"{STREAM}:dead", "*", "entry", entry_id, *(words or ["empty", "1"]))
            outcome = "dead"
        self._queue.call("XACK", STREAM, GROUP, entry_id)
        log("info", "event", order=fields.get("order_id", "-"), outcome=outcome,
            ms=f"{(time.monotonic() - started) * 1000:.1f}")
