"""Serves orders on $PORT."""
import os

from kit.client import Client
from kit.database import Database
from kit.redis import Redis
from kit.server import serve
from orders.checkout import Checkout
from orders.routes import routes
from orders.store import Store

database = Database(os.environ["DB_URL"])
database.wait()
store = Store(database)
checkout = Checkout(
    catalog=Client(os.environ.get("CATALOG_URL", "http://catalog:8001"), "catalog"),
    pricing=Client(os.environ.get("PRICING_URL", "http://pricing:8002"), "pricing"),
    bank=Client(os.environ.get("BANK_URL", "http://bank.example"), "bank"),
    queue=Redis(os.environ["CACHE_URL"]),
    store=store,
)
serve("orders", routes(store, checkout))
