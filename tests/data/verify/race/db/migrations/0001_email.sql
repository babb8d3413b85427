CREATE UNIQUE INDEX IF NOT EXISTS members_email ON members (email);
