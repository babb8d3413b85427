"""The event that tells the queue about a paid order."""
import json


def event(order, lines, quote):
    items = [{"product_id": line["product_id"], "quantity": line["quantity"]} for line in lines]
    return {
        "order_id": order["id"],
        "day": order["created_at"].date().isoformat(),
        "total_cents": quote["total_cents"],
        "items": json.dumps(items, separators=(",", ":")),
    }
