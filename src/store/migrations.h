/* migrations: the forms of the database, in order. A row is never changed once it was released: a new one is added. */
#ifndef ASSAY_STORE_MIGRATIONS_H
#define ASSAY_STORE_MIGRATIONS_H

#include <stddef.h>

struct store_migration {
	const char *about;
	const char *sql; /* one or more statements */
};

extern const struct store_migration store_migrations[]; /* number 1 is at index 0 */
extern const size_t store_migration_count;

#endif
