/*
 * Brings a store to the newest form, and refuses one that another program made.
 *
 * The table `store_form` says which forms were made, with a checksum of each one's text: a store whose forms were other ones than this
 * program's has tables that its statements were not written for. Stores of before that table have their number alone.
 */
#include "base/digest.h"
#include "base/scope.h"
#include "store/migrations.h"
#include "store/store_priv.h"

static const char form_table[] = "CREATE TABLE store_form (number INTEGER PRIMARY KEY, about TEXT NOT NULL, checksum TEXT NOT NULL,"
				 " time_ms INTEGER NOT NULL) STRICT;";

static int form_add(struct store_tx *tx, size_t number, struct err *err)
{
	const struct store_migration *form = &store_migrations[number - 1];
	struct digest checksum = digest_of(view_of(form->sql));

	return store_run(tx, "INSERT INTO store_form (number, about, checksum, time_ms) VALUES (?, ?, ?, ?)",
			 VALUES(V((int64_t)number), V(form->about), V(checksum.text), V(world_now_ms(world_real))), err);
}

/* Are the forms that were made the ones that we know? */
static int forms_check(struct store_tx *tx, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT number, about, checksum FROM store_form ORDER BY number", NO_VALUES, err))
		return -1;
	while (store_rows_next(&rows)) {
		int64_t number = store_rows_number(&rows, 0);
		struct digest checksum;

		if (number < 1 || number > (int64_t)store_migration_count)
			continue; /* too new: told by its number */
		checksum = digest_of(view_of(store_migrations[number - 1].sql));
		if (strcmp(checksum.text, store_rows_text(&rows, 2)) != 0)
			return err_set(err, ERR_BROKEN,
				       "form %lld (%s) is not the one that this program makes: run the program that wrote it",
				       (long long)number, store_rows_text(&rows, 1));
	}
	return store_rows_finish(&rows, err);
}

/* The number of the newest form that is there, 0 for a new store. */
static int form_get(struct store_tx *tx, int64_t *form, struct err *err)
{
	int64_t listed = 0;

	if (tx->store->ops->form(tx, form, err))
		return -1;
	if (tx->store->ops->has_table(tx, "store_form")) {
		if (forms_check(tx, err) || store_number_get(tx, &listed, 0, "SELECT max(number) FROM store_form", NO_VALUES, err))
			return -1;
	} else {
		if (*form < 0)
			return err_set(err, ERR_BROKEN, "it holds tables of another program");
		if (tx->store->ops->script(tx, form_table, err))
			return -1;
		for (listed = 0; listed < *form && listed < (int64_t)store_migration_count; listed++)
			if (form_add(tx, (size_t)listed + 1, err))
				return -1;
		tx->wrote = true;
	}
	if (listed > *form)
		*form = listed;
	return 0;
}

int store_migrate(struct store *store, struct err *err)
{
	int64_t form;
	AUTO_TX tx = {0};

	if (store_begin(store, &tx, err) || form_get(&tx, &form, err))
		return -1;
	if (form > (int64_t)store_migration_count)
		return err_set(err, ERR_INVALID, "it has form %lld, this program knows %zu: run the newer program that wrote it",
			       (long long)form, store_migration_count);
	for (size_t number = (size_t)form + 1; number <= store_migration_count; number++)
		if (store->ops->script(&tx, store_migrations[number - 1].sql, err) || form_add(&tx, number, err))
			return err_prefix(err, "migration %zu (%s)", number, store_migrations[number - 1].about);
	if (!tx.wrote)
		return 0;
	if (store->ops->form_set(&tx, (int64_t)store_migration_count, err))
		return -1;
	return store_commit(&tx, err);
}
