CREATE TABLE notes (id serial PRIMARY KEY, body text NOT NULL, created timestamptz NOT NULL DEFAULT now());
INSERT INTO notes (body) VALUES ('water the plants'), ('call the dentist');
