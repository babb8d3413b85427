-- An order remembers the request that made it, so that support can find its logs.
ALTER TABLE orders ADD COLUMN IF NOT EXISTS request_id text;
