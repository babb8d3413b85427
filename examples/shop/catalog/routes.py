"""The catalog's HTTP interface."""
from catalog import present
from catalog.store import PAGE_ITEMS
from kit.server import Refused

PROMOTION_IDS_MAX = 100


def routes(store):
    def health(_request):
        store.ping()
        return 200, {"ok": True}

    def products(request):
        number = request.integer("page", 1, 1, 10_000)
        rows, total = store.page(number, request.query.get("q", ""), request.query.get("category", ""))
        return 200, present.page(rows, number, total, PAGE_ITEMS)

    def product(request):
        row = store.product(int(request.arguments[0]))
        if row is None:
            raise Refused(404, "no such product")
        return 200, present.product(row)

    def promotions(request):
        ids = [int(word) for word in request.query.get("ids", "").split(",") if word.isdigit()]
        if len(ids) > PROMOTION_IDS_MAX:
            raise Refused(400, "too many ids")
        return 200, {"promotions": store.promotions(ids)}

    def categories(_request):
        return 200, {"categories": store.categories()}

    return [
        ("GET", "/healthz", health),
        ("GET", "/products", products),
        ("GET", r"/products/(\d{1,9})", product),
        ("GET", "/promotions", promotions),
        ("GET", "/categories", categories),
    ]
