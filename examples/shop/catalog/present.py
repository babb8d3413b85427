"""What a product looks like to those who ask for it."""


def product(row):
    return {
        "id": row["id"],
        "sku": row["sku"],
        "name": row["name"],
        "category": row["category"],
        "price_cents": row["price_cents"],
        "stock": row["stock"],
        "rating": float(row["rating"]),
    }


def page(rows, number, total, size):
    return {
        "items": [product(row) for row in rows],
        "page": number,
        "pages": max(1, -(-total // size)),
        "total": total,
    }
