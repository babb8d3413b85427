"""Serves the catalog on $PORT."""
import os

from catalog.routes import routes
from catalog.store import Store
from kit.database import Database
from kit.server import serve

database = Database(os.environ["DB_URL"])
database.wait()
serve("catalog", routes(Store(database)))
