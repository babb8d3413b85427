CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, stock INTEGER NOT NULL);
CREATE TABLE sales (id INTEGER PRIMARY KEY, item_id INTEGER NOT NULL REFERENCES items (id), count INTEGER NOT NULL, buyer TEXT);
INSERT INTO items VALUES (1, 'postcard', 40), (2, 'umbrella', 60), (3, 'map', 12);
