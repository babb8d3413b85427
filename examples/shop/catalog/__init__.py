"""The catalog: products, search, promotions."""
