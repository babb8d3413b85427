"""From a cart to a paid order: look up, price, charge, write, tell the queue."""
from kit.client import Unreachable
from kit.journal import log
from kit.redis import RedisError
from kit.server import Refused
from orders.event import event

LINES_MAX = 50
QUANTITY_MAX = 99


class Checkout:
    def __init__(self, catalog, pricing, bank, queue, store):
        self._catalog = catalog
        self._pricing = pricing
        self._bank = bank
        self._queue = queue
        self._store = store

    def place(self, customer_id, wanted, context):
        """Places the order; returns its row and its lines."""
        customer = self._store.customer(customer_id)
        if customer is None:
            raise Refused(404, "no such customer")
        lines = self._priced_lines(check(wanted), context)
        quote = self._quote(lines, customer["country"], context)
        charge = self._charge(customer, quote, context)
        order = self._store.save(customer_id, lines, quote, charge["id"], context.get("x-request-id"))
        self._publish(event(order, lines, quote))
        return order

    def _priced_lines(self, wanted, context):
        percents = self._promotions([line["product_id"] for line in wanted], context)
        return [self._priced_line(line, percents, context) for line in wanted]

    def _priced_line(self, line, percents, context):
        status, product = self._ask(self._catalog.get, f"/products/{line['product_id']}", context)
        if status == 404:
            raise Refused(422, f"product {line['product_id']} does not exist")
        expect(status, 200, "catalog", product)
        if product["stock"] < line["quantity"]:
            raise Refused(409, f"only {product['stock']} left of {product['name']}")
        return {
            "product_id": line["product_id"],
            "quantity": line["quantity"],
            "unit_cents": product["price_cents"],
            "discount_percent": percents.get(line["product_id"], 0),
        }

    def _promotions(self, product_ids, context):
        ids = ",".join(str(product_id) for product_id in product_ids)
        status, answer = self._ask(self._catalog.get, f"/promotions?ids={ids}", context)
        expect(status, 200, "catalog", answer)
        return {row["product_id"]: row["percent"] for row in answer["promotions"]}

    def _quote(self, lines, country, context):
        status, quote = self._ask(self._pricing.post, "/quote", {"country": country, "lines": lines}, context)
        expect(status, 200, "pricing", quote)
        return quote

    def _charge(self, customer, quote, context):
        body = {"amount_cents": quote["total_cents"], "currency": quote["currency"], "customer": customer["id"]}
        status, charge = self._ask(self._bank.post, "/v1/charges", body, context)
        if status == 402:
            raise Refused(402, "the bank declined the payment")
        expect(status, 201, "bank", charge)
        return charge

    def _publish(self, fields):
        words = [word for pair in fields.items() for word in pair]
        for last in (False, True):
            try:
                self._queue.call("XADD", "orders", "*", *words)
                return
            except (OSError, RedisError) as error:
                if last:
                    log("error", "order not announced", order=fields["order_id"], reason=error)

    def _ask(self, call, *arguments):
        try:
            return call(*arguments)
        except Unreachable as error:
            log("error", "neighbour unreachable", reason=error)
            raise Refused(503, "a service that checkout needs is not answering") from error


def check(wanted):
    """The lines of a request, refused unless they are exactly {product_id, quantity} in range."""
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= LINES_MAX:
        raise Refused(422, "an order has 1 to 50 lines")
    for line in wanted:
        product_id, quantity = line.get("product_id"), line.get("quantity")
        if not isinstance(product_id, int) or not isinstance(quantity, int) or not 1 <= quantity <= QUANTITY_MAX:
            raise Refused(422, "a line needs a product_id and a quantity of 1 to 99")
    return wanted


def expect(status, wanted, name, answer):
    """A neighbour that answers something else is broken, or we asked it nonsense: a bad gateway either way."""
    if status != wanted:
        log("error", "neighbour refused", neighbour=name, status=status, reason=answer.get("error", "-"))
        raise Refused(502, f"{name} answered {status}")
