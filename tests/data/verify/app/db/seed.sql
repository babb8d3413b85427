CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, price_cents int NOT NULL, stock int NOT NULL);
INSERT INTO items SELECT n, 'item ' || n, 100 + n * 10, 50 FROM generate_series(1, 500) n;
CREATE TABLE orders (id serial PRIMARY KEY, token text NOT NULL, total_cents int NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE order_lines (order_id int REFERENCES orders, item_id int REFERENCES items, quantity int NOT NULL);
