-- "Who bought this product?" without reading every line ever written.
CREATE INDEX IF NOT EXISTS order_lines_product ON order_lines (product_id);
