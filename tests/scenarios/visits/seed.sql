CREATE TABLE guests (name text PRIMARY KEY);
INSERT INTO guests SELECT 'guest ' || number FROM generate_series(1, 1000) AS number;
