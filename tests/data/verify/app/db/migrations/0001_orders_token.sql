SET client_min_messages = warning;
CREATE INDEX IF NOT EXISTS orders_token ON orders (token);
