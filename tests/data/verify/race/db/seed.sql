CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, stock int NOT NULL);
INSERT INTO items SELECT n, 'item ' || n, 500 FROM generate_series(1, 20) n;
CREATE TABLE sales (id serial PRIMARY KEY, item_id int NOT NULL REFERENCES items, quantity int NOT NULL);
CREATE TABLE members (id serial PRIMARY KEY, email text NOT NULL);
CREATE TABLE visits (page text PRIMARY KEY, count int NOT NULL);
INSERT INTO visits VALUES ('front', 7);
CREATE TABLE purses (owner text PRIMARY KEY, cents int NOT NULL);
INSERT INTO purses VALUES ('ada', 10000), ('bob', 10000);
CREATE TABLE tickets (id serial PRIMARY KEY, number int NOT NULL);
