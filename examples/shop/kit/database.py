"""PostgreSQL: a few connections, kept; a lost one is replaced and the work done again if it had not been committed."""
import queue
import time

import psycopg2
import psycopg2.extras

from kit.journal import log

POOLED_MAX = 8
TRIES = 4
LOST = (psycopg2.OperationalError, psycopg2.InterfaceError)


class Database:
    def __init__(self, url):
        self._url = url
        self._idle = queue.LifoQueue(POOLED_MAX)

    def wait(self):
        """Returns once the server answers, however long that takes."""
        pause = 0.05
        while True:
            try:
                return self.run(lambda cursor: cursor.execute("SELECT 1"), tries=1)
            except LOST as error:
                log("warn", "waiting for the database", reason=str(error).split("\n")[0])
            time.sleep(pause)
            pause = min(pause * 1.5, 1)

    def run(self, work, tries=TRIES):
        """Runs work(cursor) in one transaction and returns what it returns."""
        for attempt in range(tries):
            connection = None
            try:
                connection = self._take()
                with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                    result = work(cursor)
            except LOST:
                self._drop_all(connection)
                if attempt == tries - 1:
                    raise
                time.sleep(0.1 * 2 ** attempt)
                continue
            except BaseException:
                self._undo(connection)
                raise
            return self._commit(connection, result)

    def rows(self, statement, values=()):
        def work(cursor):
            cursor.execute(statement, values)
            return cursor.fetchall()
        return self.run(work)

    def row(self, statement, values=()):
        found = self.rows(statement, values)
        return found[0] if found else None

    def _take(self):
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return psycopg2.connect(self._url, connect_timeout=5)

    def _give(self, connection):
        try:
            self._idle.put_nowait(connection)
        except queue.Full:
            connection.close()

    def _commit(self, connection, result):
        try:
            connection.commit()  # never tried again: a lost answer does not mean a lost commit
        except BaseException:
            connection.close()
            raise
        self._give(connection)
        return result

    def _undo(self, connection):
        try:
            connection.rollback()
            self._give(connection)
        except LOST:
            connection.close()

    def _drop_all(self, connection):
        while connection is not None:
            connection.close()
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = None
