"""Calls to the neighbours: JSON over HTTP, a deadline, one more try when nobody answered a read."""
import http.client
import json
import time
import urllib.parse

TIMEOUT_S = 5
READ_TRIES = 3


class Unreachable(Exception):
    """The neighbour did not answer, or did not answer in JSON."""


class Client:
    def __init__(self, base, name):
        parts = urllib.parse.urlsplit(base)
        self._host, self._port = parts.hostname, parts.port or 80
        self._name = name

    def get(self, path, context):
        for attempt in range(READ_TRIES):
            try:
                return self._call("GET", path, None, context)
            except Unreachable:
                if attempt == READ_TRIES - 1:
                    raise
                time.sleep(0.05 * 2 ** attempt)

    def post(self, path, body, context):
        return self._call("POST", path, json.dumps(body), context)

    def _call(self, method, path, data, context):
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        headers = {"content-type": "application/json", "connection": "close", **context}
        try:
            connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Unreachable(f"{self._name}: {error}") from error
        finally:
            connection.close()
