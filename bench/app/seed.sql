CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL);
INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 1000) n;
