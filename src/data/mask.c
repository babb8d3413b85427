/*
 * Theory of operation. Symbols of a value (digits, letters whatever their case, letters of a few alphabets) are numbers below a radix
 * each; what is none stays where it is. A balanced Feistel network adds, by turns, a keyed stream made of one half to the other, symbol
 * by symbol modulo its radix: a permutation of the values of that form. Where only some results are good (no leading zero, not above
 * the type's maximum) it is applied again until one is: that ends, because a good value lies on a cycle.
 * Names, addresses and e-mails are made from a keyed digest instead.
 */
#include "data/mask.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"

#define ROUNDS 8
#define WALK_MAX 100000
#define TOKEN_PREFIX_MAX 16
#define HASH_LETTERS 12
#define SHIFT_DAYS_MAX 700
#define YEAR_MIN 10 /* outside of these a date stands for never, or for always */
#define YEAR_MAX 9990

/* ---- permuting symbols ---- */

struct symbol {
	uint32_t value;
	uint32_t radix;
	uint32_t base; /* code point of 0 */
	size_t at;     /* where it is */
	size_t length; /* bytes */
	bool upper;    /* an ASCII capital */
};

struct symbols {
	struct symbol *at;
	size_t count;
};

static void stream_add(const unsigned char key[DIGEST_KEY_BYTES], struct view tweak, unsigned round, const struct symbol *from,
		       size_t from_count, struct symbol *to, size_t to_count)
{
	AUTO_BUF half = buf_new(MASK_VALUE_MAX * 8);
	unsigned char seed[32];
	unsigned char block[32];
	const unsigned char number = (unsigned char)round;

	for (size_t i = 0; i < from_count; i++)
		buf_add(&half, &from[i].value, sizeof(from[i].value));
	digest_keyed(key, (const struct view[]){VIEW("symbols"), tweak, view_make(&number, 1), buf_view(&half)}, 4, seed);
	for (size_t i = 0; i < to_count; i++) {
		uint64_t word;

		if (i % 4 == 0)
			digest_keyed(seed, (const struct view[]){view_make(&i, sizeof(i))}, 1, block);
		memcpy(&word, block + i % 4 * 8, sizeof(word));
		to[i].value = (uint32_t)((to[i].value + word % to[i].radix) % to[i].radix);
	}
}

static void permute(const unsigned char key[DIGEST_KEY_BYTES], struct view tweak, struct symbols *symbols)
{
	size_t half = symbols->count / 2;

	for (unsigned round = 0; round < ROUNDS; round++) {
		if (round % 2)
			stream_add(key, tweak, round, symbols->at + half, symbols->count - half, symbols->at, half);
		else
			stream_add(key, tweak, round, symbols->at, half, symbols->at + half, symbols->count - half);
	}
}

/* Alphabets (or parts of them, without gaps) whose letters and digits are replaced by those of the same, of as many bytes: what an old
 * character set has of one it has all of. */
static const struct alphabet {
	uint32_t first;
	uint32_t count;
} alphabets[] = {
	{0xc0, 23},   {0xd8, 31},       {0xf8, 8},    {0x100, 128}, {0x180, 208},    {0x388, 3},      {0x38e, 2},   {0x391, 17},
	{0x3a3, 7},   {0x3aa, 7},       {0x3b1, 25},  {0x3ca, 5},   {0x401, 12},     {0x40e, 2},      {0x410, 32},  {0x430, 32},
	{0x451, 12},  {0x45e, 2},       {0x460, 34},  {0x48a, 118}, {0x531, 38},     {0x561, 38},     {0x5d0, 27},  {0x627, 20},
	{0x641, 10},  {0x660, 10},      {0x6f0, 10},  {0x905, 53},  {0x966, 10},     {0x995, 20},     {0xa15, 20},  {0xa95, 20},
	{0xc15, 20},  {0xc95, 20},      {0xd15, 36},  {0xd9a, 24},  {0xe01, 46},     {0x1000, 33},    {0x10d0, 33}, {0x1200, 73},
	{0x1780, 35}, {0x1e00, 256},    {0x3041, 86}, {0x30a1, 90}, {0x4e00, 20902}, {0xac00, 11172}, {0xff10, 10}, {0xff21, 26},
	{0xff41, 26}, {0x20000, 42720},
};

static void code_point_write(char *at, size_t length, uint32_t point)
{
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = length; i-- > 1; point >>= 6)
		at[i] = (char)(0x80 | (point & 0x3f));
	at[0] = length == 1 ? (char)point : (char)(lead[length] | point);
}

enum form { FORM_DIGITS, FORM_ANY, FORM_HEX };

static bool symbol_of(struct view rest, size_t length, enum form form, struct symbol *symbol)
{
	unsigned char c = (unsigned char)rest.at[0];
	uint32_t point;

	if (length == 1 && isdigit(c)) {
		*symbol = (struct symbol){c - (uint32_t)'0', 10, '0', 0, 1, false};
		return true;
	}
	if (form == FORM_DIGITS)
		return false;
	if (length == 1 && isalpha(c)) {
		*symbol = (struct symbol){(uint32_t)(tolower(c) - 'a'), form == FORM_HEX ? 6 : 26, 'a', 0, 1, isupper(c) != 0};
		return true;
	}
	point = length > 1 ? view_utf8_point(rest, length) : 0;
	for (size_t i = 0; length > 1 && i < ARRAY_LEN(alphabets); i++)
		if (point >= alphabets[i].first && point < alphabets[i].first + alphabets[i].count) {
			*symbol = (struct symbol){
				point - alphabets[i].first, alphabets[i].count, alphabets[i].first, 0, length, false};
			return true;
		}
	return false;
}

/* Those of value[from..to). Owned by the caller. */
static struct symbols symbols_of(struct view value, size_t from, size_t to, enum form form)
{
	struct symbols symbols = {mem_new_array(value.length + 1, sizeof(*symbols.at)), 0};

	for (size_t at = from; at < to;) {
		struct view rest = view_make(value.at + at, value.length - at);
		size_t length = view_utf8_length(rest);
		struct symbol *symbol = &symbols.at[symbols.count];

		length = length ? length : 1;
		if (symbol_of(rest, length, form, symbol)) {
			symbol->at = at;
			symbols.count++;
		}
		at += length;
	}
	return symbols;
}

static void symbols_write(const struct symbols *symbols, char *text)
{
	for (size_t i = 0; i < symbols->count; i++) {
		const struct symbol *symbol = &symbols->at[i];
		uint32_t point = symbol->base + symbol->value;

		code_point_write(text + symbol->at, symbol->length, symbol->upper ? point - 'a' + 'A' : point);
	}
}

/* ---- forms ---- */

static void permute_part(const unsigned char key[DIGEST_KEY_BYTES], const char *kind, struct view value, size_t from, size_t to,
			 enum form form, struct buf *out)
{
	struct symbols symbols = symbols_of(value, from, to, form);
	AUTO_FREE char *text = view_copy(value);

	permute(key, view_of(kind), &symbols);
	symbols_write(&symbols, text);
	buf_add(out, text, value.length);
	free(symbols.at);
}

static bool is_hex(struct view value, bool *capitals)
{
	bool letter = false;
	bool digit = false;

	*capitals = false;
	for (size_t i = 0; i < value.length; i++) {
		unsigned char c = (unsigned char)value.at[i];

		if (!isxdigit(c) && c != '-' && c != ':')
			return false;
		letter = letter || isalpha(c);
		digit = digit || isdigit(c);
		*capitals = *capitals || isupper(c);
	}
	return letter && digit;
}

static int mask_text(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_place *place, struct view value, struct buf *out,
		     struct err *err)
{
	(void)place;
	(void)err;
	permute_part(key, "text", value, 0, value.length, FORM_ANY, out);
	return 0;
}

/* "sk_live_…" keeps what says which kind of token it is; a UUID its version, a hexadecimal number its letters. */
static int mask_token(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_place *place, struct view value, struct buf *out,
		      struct err *err)
{
	size_t kept = 0;
	bool capitals;

	(void)place;
	(void)err;
	if (is_hex(value, &capitals)) {
		struct symbols symbols = symbols_of(value, 0, value.length, FORM_HEX);
		AUTO_FREE char *text = view_copy(value);
		bool uuid = value.length == 36 && value.at[8] == '-' && value.at[13] == '-' && value.at[18] == '-' &&
			    value.at[23] == '-';
		size_t put = 0;

		for (size_t i = 0; i < symbols.count; i++)
			if (!uuid || (symbols.at[i].at != 14 && symbols.at[i].at != 19))
				symbols.at[put++] = symbols.at[i];
		symbols.count = put;
		for (size_t i = 0; i < symbols.count; i++) {
			struct symbol *symbol = &symbols.at[i];

			symbol->value = symbol->base == 'a' ? symbol->value + 10 : symbol->value;
			symbol->radix = 16;
		}
		permute(key, VIEW("hex"), &symbols);
		for (size_t i = 0; i < symbols.count; i++)
			text[symbols.at[i].at] = (capitals ? "0123456789ABCDEF" : "0123456789abcdef")[symbols.at[i].value];
		buf_add(out, text, value.length);
		free(symbols.at);
		return 0;
	}
	for (size_t i = 0; i < value.length && i < TOKEN_PREFIX_MAX && (isalpha((unsigned char)value.at[i]) || value.at[i] == '_');
	     i++)
		if (value.at[i] == '_')
			kept = i + 1;
	permute_part(key, "token", value, kept, value.length, FORM_ANY, out);
	return 0;
}

/* The first two digits say where (+49…, 06…): they stay. */
static int mask_phone(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_place *place, struct view value, struct buf *out,
		      struct err *err)
{
	size_t from = 0;

	(void)place;
	(void)err;
	for (size_t digits = 0; from < value.length && digits < 2; from++)
		digits += isdigit((unsigned char)value.at[from]) != 0;
	permute_part(key, "phone", value, from, value.length, FORM_DIGITS, out);
	return 0;
}

/* What must be added to the last digit for the number to pass Luhn's check (ISO/IEC 7812-1, annex B). */
static uint32_t luhn_missing(const struct symbols *symbols)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < symbols->count; i++) {
		uint32_t digit = symbols->at[symbols->count - 1 - i].value;

		digit *= i % 2 ? 2 : 1;
		sum += digit > 9 ? digit - 9 : digit;
	}
	return (10 - sum % 10) % 10;
}

/* Valid stays valid, and what is not stays as far from it. The first two digits say whose card it is: they stay. */
static int mask_card(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_place *place, struct view value, struct buf *out,
		     struct err *err)
{
	struct symbols symbols = symbols_of(value, 0, value.length, FORM_DIGITS);
	AUTO_FREE char *text = view_copy(value);

	(void)place;
	(void)err;
	if (symbols.count > 3) {
		struct symbols inner = {symbols.at + 2, symbols.count - 3};
		struct symbol *last = &symbols.at[symbols.count - 1];
		uint32_t wrong = (10 - luhn_missing(&symbols)) % 10;

		permute(key, VIEW("card"), &inner);
		last->value = 0;
		last->value = (luhn_missing(&symbols) + wrong) % 10;
	}
	symbols_write(&symbols, text);
	buf_add(out, text, value.length);
	free(symbols.at);
	return 0;
}

static bool number_is_good(const struct symbols *symbols, size_t whole, int64_t number_max)
{
	uint64_t number = 0;

	if (whole > 1 && symbols->at[0].value == 0)
		return false;
	for (size_t i = 0; i < whole && i < 19; i++)
		number = number * 10 + symbols->at[i].value;
	return !number_max || whole < 19 || symbols->at[0].value < 9 ? !number_max || number <= (uint64_t)number_max : false;
}

/* As many digits, before the point and behind it. Zero stays zero. */
static int mask_number(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_place *place, struct view value,
		       struct buf *out, struct err *err)
{
	AUTO_FREE char *text = view_copy(value);
	struct symbols symbols = symbols_of(value, 0, strcspn(text, "eE"), FORM_DIGITS);
	size_t whole = 0;
	bool zero = true;
	bool good;

	for (size_t i = 0; i < symbols.count; i++) {
		zero = zero && symbols.at[i].value == 0;
		whole += symbols.at[i].at < strcspn(text, ".eE");
	}
	good = zero;
	for (int walk = 0; !zero && walk < WALK_MAX && (walk == 0 || !good); walk++) {
		bool nothing = true;

		permute(key, VIEW("number"), &symbols);
		for (size_t i = 0; i < symbols.count; i++)
			nothing = nothing && symbols.at[i].value == 0;
		good = !nothing && number_is_good(&symbols, whole, place->number_max);
	}
	symbols_write(&symbols, text);
	buf_add(out, text, value.length);
	free(symbols.at);
	return good ? 0 : err_set(err, ERR_INVALID, "a number has no other of its length that fits");
}

/* Days since 1970-01-01 of a civil date, and back (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_add(struct buf *out, int64_t days)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t of_era = z - era * 146097;
	int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t shifted = (5 * of_year + 2) / 153;
	int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;

	buf_add_format(out, "%04lld-%02lld-%02lld", (long long)(year_of_era + era * 400 + (month <= 2)), (long long)month,
		       (long long)(of_year - (153 * shifted + 2) / 5 + 1));
}

/* Every date by the same number of days, which the key says: order and distances stay. */
static int mask_date(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_place *place, struct view value, struct buf *out,
		     struct err *err)
{
	AUTO_FREE char *text = view_copy(value);
	unsigned char digest[32];
	int64_t shift;
	int year;
	int month;
	int day;
	int length = 0;

	(void)place;
	if (view_is(value, "infinity") || view_is(value, "-infinity")) {
		buf_add_view(out, value);
		return 0;
	}
	if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &length) != 3 || length != 10)
		return err_set(err, ERR_INVALID, "a value does not begin with a date as 2026-01-31 does");
	if (year < YEAR_MIN || year > YEAR_MAX) {
		buf_add_view(out, value);
		return 0;
	}
	digest_keyed(key, (const struct view[]){VIEW("date")}, 1, digest);
	shift = (digest[0] | digest[1] << 8) % (2 * SHIFT_DAYS_MAX) - SHIFT_DAYS_MAX;
	shift += shift < 0 ? -30 : 30;
	date_add(out, days_of(year, month, day) + shift);
	buf_add_text(out, text + 10);
	return 0;
}

/* ---- made up ---- */

static const char *const given_names[] = {
	"Ada",  "Amir",  "Anna", "Bela",  "Bruno", "Carla", "Chen", "Dana", "Dario", "Edda", "Elif",
	"Emil", "Farid", "Finn", "Greta", "Hana",  "Hugo",  "Ida",  "Igor", "Ines",  "Jana", "Jonas",
	"Kaya", "Kofi",  "Lara", "Leon",  "Lin",   "Maja",  "Mika", "Nora", "Omar",  "Rosa",
};
static const char *const family_names[] = {
	"Adler", "Banks", "Becker", "Bell",   "Cruz",  "Dahl", "Diaz",  "Evans", "Fuchs", "Gray", "Haas",
	"Hill",  "Ito",   "Jansen", "Keller", "Kim",   "Lang", "Lopez", "Marsh", "Meyer", "Nagy", "Novak",
	"Okoro", "Park",  "Price",  "Reed",   "Rossi", "Sato", "Silva", "Stone", "Vogel", "Wolf",
};
static const char *const streets[] = {
	"Ash",  "Birch", "Bridge", "Cedar", "Church", "Elm",  "Garden", "Hill",
	"Lake", "Maple", "Market", "Mill",  "Oak",    "Park", "Pine",   "River",
};

/* The same for "Mia@Example.com " and "mia@example.com": where a collation takes them for one, they stay one. */
static void digest_made(const unsigned char key[DIGEST_KEY_BYTES], const char *kind, struct view value, unsigned char digest[32])
{
	AUTO_FREE char *plain = view_copy(view_trim(value));

	for (char *at = plain; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	digest_keyed(key, (const struct view[]){view_of(kind), view_of(plain)}, 2, digest);
}

static void hash_add(struct buf *out, const unsigned char digest[32], size_t letters)
{
	for (size_t i = 0; i < letters; i++)
		buf_add_char(out, "abcdefghijkmnpqrstuvwxyz23456789"[digest[8 + i] & 31]);
}

/* Cut to what fits, but never within what makes it unique. */
static int made_add(struct buf *out, struct buf *made, const unsigned char digest[32], const struct mask_place *place,
		    const char *kind, struct err *err)
{
	size_t room = place->length_max ? (size_t)place->length_max : SIZE_MAX;
	size_t tail = place->unique ? HASH_LETTERS + 1 : 0;

	if (room <= tail)
		return err_set(err, ERR_INVALID, "%zu characters are too few for a unique %s: mask it as text", room, kind);
	if (made->length > room - tail)
		buf_cut(made, room - tail);
	buf_add_view(out, buf_view(made));
	if (tail) {
		buf_add_char(out, ' ');
		hash_add(out, digest, HASH_LETTERS);
	}
	return 0;
}

static int mask_name(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_place *place, struct view value, struct buf *out,
		     struct err *err)
{
	AUTO_BUF made = buf_new(256);
	unsigned char digest[32];

	digest_made(key, "name", value, digest);
	buf_add_text(&made, given_names[digest[0] % ARRAY_LEN(given_names)]);
	if (memchr(view_trim(value).at, ' ', view_trim(value).length))
		buf_add_format(&made, " %s", family_names[digest[1] % ARRAY_LEN(family_names)]);
	return made_add(out, &made, digest, place, "name", err);
}

static int mask_address(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_place *place, struct view value,
			struct buf *out, struct err *err)
{
	AUTO_BUF made = buf_new(256);
	unsigned char digest[32];

	digest_made(key, "address", value, digest);
	buf_add_format(&made, "%d %s Street", 1 + (digest[0] | digest[1] << 8) % 999, streets[digest[2] % ARRAY_LEN(streets)]);
	return made_add(out, &made, digest, place, "address", err);
}

/* At example.com (RFC 2606), which nobody has. */
static int mask_email(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_place *place, struct view value, struct buf *out,
		      struct err *err)
{
	static const struct view host = VIEW("@example.com");
	unsigned char digest[32];
	size_t room = place->length_max ? (size_t)place->length_max : SIZE_MAX;
	size_t letters = HASH_LETTERS;

	digest_made(key, "email", value, digest);
	if (room < host.length + HASH_LETTERS / 2)
		return err_set(err, ERR_INVALID, "an e-mail address does not fit into %zu characters: mask it as text", room);
	if (room >= host.length + HASH_LETTERS + 8) {
		const char *name = given_names[digest[0] % ARRAY_LEN(given_names)];

		for (; *name; name++)
			buf_add_char(out, (char)tolower((unsigned char)*name));
		buf_add_char(out, '.');
	}
	letters = room - host.length < letters ? room - host.length : letters;
	hash_add(out, digest, letters);
	buf_add_view(out, host);
	return 0;
}

static const struct maker {
	enum mask_kind kind;
	int (*make)(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_place *place, struct view value, struct buf *out,
		    struct err *err);
} makers[] = {
	{MASK_EMAIL, mask_email}, {MASK_NAME, mask_name},     {MASK_PHONE, mask_phone},
	{MASK_TOKEN, mask_token}, {MASK_CARD, mask_card},     {MASK_ADDRESS, mask_address},
	{MASK_TEXT, mask_text},   {MASK_NUMBER, mask_number}, {MASK_DATE, mask_date},
};

int mask_value(const unsigned char key[DIGEST_KEY_BYTES], const struct mask_rule *rule, const struct mask_place *place,
	       struct view value, struct buf *out, struct err *err)
{
	if (rule->kind == MASK_FIXED) {
		buf_add_text(out, rule->fixed);
		return 0;
	}
	if (!view_trim(value).length) {
		buf_add_view(out, value); /* nothing says nothing */
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(makers); i++)
		if (makers[i].kind == rule->kind)
			return makers[i].make(key, place, value, out, err);
	return err_set(err, ERR_INVALID, "no way to mask a value so");
}
