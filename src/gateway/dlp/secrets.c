/*
 * The environment's known secrets: each with its encodings as literals of one database, and in pieces, so that one that leaves in several
 * requests is recognised by what came before.
 */
#include <ctype.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/dlp/dlp_priv.h"
#include "net/encode.h"
#include "gateway/dlp/views.h"

#define LITERALS_MAX 32768
#define PIECE_BYTES ((size_t)8)
#define PIECED_LEAST ((size_t)16)
#define LITERAL_LEAST ((size_t)8)
#define LITERAL_MOST ((size_t)2048) /* of longer ones the first bytes are looked for */
#define ENTROPY_LEAST 2.0

struct table {
	char **texts;
	size_t *lengths;
	unsigned *ids;
	unsigned *flags;
	struct literal *literals;
	size_t count;
};

static void table_add(struct table *table, struct view text, const struct literal *literal)
{
	size_t length = text.length < LITERAL_MOST ? text.length : LITERAL_MOST;

	if (length < LITERAL_LEAST || table->count == LITERALS_MAX)
		return;
	table->texts = mem_grow(table->texts, table->count + 1, sizeof *table->texts);
	table->lengths = mem_grow(table->lengths, table->count + 1, sizeof *table->lengths);
	table->ids = mem_grow(table->ids, table->count + 1, sizeof *table->ids);
	table->flags = mem_grow(table->flags, table->count + 1, sizeof *table->flags);
	table->literals = mem_grow(table->literals, table->count + 1, sizeof *table->literals);
	table->texts[table->count] = view_copy(view_make(text.at, length));
	table->lengths[table->count] = length;
	table->ids[table->count] = (unsigned)table->count;
	table->flags[table->count] = HS_FLAG_CASELESS | HS_FLAG_SINGLEMATCH;
	table->literals[table->count] = *literal;
	table->literals[table->count].length = (uint16_t)length;
	table->count++;
}

static void table_fini(struct table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		explicit_bzero(table->texts[i], table->lengths[i]);
		free(table->texts[i]);
	}
	free(table->texts);
	free(table->lengths);
	free(table->ids);
	free(table->flags);
}

struct encoding_adder {
	struct table *table;
	size_t secret;
};

static void add_encoding(void *self, const char *view, struct view text)
{
	const struct encoding_adder *adder = self;

	table_add(adder->table, text, &(struct literal){.secret = (uint16_t)adder->secret, .piece = -1, .view = view});
}

/* Would a piece stand for its secret, or is it a word that anybody writes? */
static bool piece_is_telling(struct view piece)
{
	bool digit = false, upper = false, lower = false;

	for (size_t i = 0; i < piece.length; i++) {
		unsigned char c = (unsigned char)piece.at[i];

		if (!isalnum(c) && !strchr("_-+/=.~", c))
			return false;
		digit |= isdigit(c) != 0;
		upper |= isupper(c) != 0;
		lower |= islower(c) != 0;
	}
	return (digit ? upper || lower : upper && lower) && dlp_entropy(piece) >= 2.4;
}

static void add_pieces(struct table *table, size_t secret, struct view value)
{
	size_t step = 1;

	if (value.length < PIECED_LEAST)
		return;
	while ((value.length - PIECE_BYTES) / step >= PIECES_MAX)
		step++;
	for (size_t i = 0; i * step + PIECE_BYTES <= value.length; i++) {
		struct view piece = view_make(value.at + i * step, PIECE_BYTES);

		if (piece_is_telling(piece))
			table_add(table, piece,
				  &(struct literal){.secret = (uint16_t)secret,
						    .piece = (int8_t)i,
						    .at = (uint16_t)(i * step),
						    .view = "pieces"});
	}
}

static int secrets_compile(struct secrets *secrets, const struct table *table, struct err *err)
{
	hs_compile_error_t *wrong = NULL;

	if (hs_compile_lit_multi((const char *const *)table->texts, table->flags, table->ids, table->lengths,
				 (unsigned)table->count, HS_MODE_STREAM, NULL, &secrets->database, &wrong) == HS_SUCCESS)
		return 0;
	hs_free_compile_error(wrong); /* its text may quote a secret */
	return err_set(err, ERR_LIMIT, "the environment's secrets cannot be compiled for scanning: they are too many or too long");
}

/* Would its pieces, joined, look like any words (views.c)? */
static bool is_words(struct view value)
{
	size_t digits = 0, upper = 0, lower = 0;

	for (size_t i = 0; i < value.length; i++) {
		digits += isdigit((unsigned char)value.at[i]) != 0;
		upper += isupper((unsigned char)value.at[i]) != 0;
		lower += islower((unsigned char)value.at[i]) != 0;
	}
	return !digits && (upper < 2 || lower < 2 || value.length < 2 * JOINED_LEAST);
}

struct secrets *secrets_new(const struct dlp_secret *list, size_t count, struct err *err)
{
	struct secrets *secrets = mem_new(sizeof *secrets);
	struct table table = {.count = 0};
	int result = 0;

	atomic_init(&secrets->references, 1);
	secrets->serial = database_serial();
	secrets->sizes = mem_new_array(count ? count : 1, sizeof *secrets->sizes);
	secrets->titles = mem_new_array(count ? count : 1, sizeof *secrets->titles);
	secrets->count = count;
	for (size_t i = 0; i < count; i++) {
		struct view value = list[i].value;

		secrets->titles[i] = text_format("the secret %s of this environment", list[i].name);
		secrets->sizes[i] = value.length;
		if (value.length < DLP_SECRET_LEAST || dlp_entropy(value) < ENTROPY_LEAST)
			continue;
		secrets->words |= is_words(value);
		encode_all(value, add_encoding, &(struct encoding_adder){&table, i});
		add_pieces(&table, i, value);
	}
	if (table.count)
		result = secrets_compile(secrets, &table, err);
	secrets->literals = table.literals;
	secrets->literal_count = table.count;
	table_fini(&table);
	if (result == 0)
		return secrets;
	secrets_unref(secrets);
	return NULL;
}

void secrets_unref(struct secrets *secrets)
{
	if (!secrets || atomic_fetch_sub(&secrets->references, 1) != 1)
		return;
	for (size_t i = 0; i < secrets->count; i++)
		free(secrets->titles[i]);
	free(secrets->titles);
	free(secrets->sizes);
	free(secrets->literals);
	hs_free_database(secrets->database);
	free(secrets);
}
