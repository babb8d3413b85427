/* Scanners by hand, one pass each: no regular expression's time depends on what a row holds. */
#include "data/leak.h"

#include <ctype.h>
#include <strings.h>

#include "base/scope.h"

#define TOKEN_LETTERS_MIN 16
#define PHONE_DIGITS_MIN 8
#define PHONE_DIGITS_MAX 15
#define CARD_DIGITS_MIN 13
#define CARD_DIGITS_MAX 19

const char leak_pattern[] =
	"@|[0-9][-0-9 ().]{6,}[0-9]|eyJ|AKIA|ASIA|AIza|PRIVATE KEY|gh[pousr]_|github_pat_|glpat-|npm_|xox[abprs]-|[spr]k_live_|"
	"SG\\.|sk-[A-Za-z0-9]";

static const char *const names[] = {[LEAK_EMAIL] = "email", [LEAK_PHONE] = "phone", [LEAK_CARD] = "card", [LEAK_TOKEN] = "token"};

const char *leak_name(enum leak_kind kind)
{
	return names[kind];
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* ---- e-mail ---- */

/* RFC 2606 and 6761: names that nobody is given. */
static bool host_is_reserved(struct view host)
{
	static const char *const ends[] = {"example.com", "example.org", "example.net", "example",
					   "test",        "invalid",     "localhost",   "local"};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		size_t length = strlen(ends[i]);

		if (host.length >= length && strncasecmp(host.at + host.length - length, ends[i], length) == 0 &&
		    (host.length == length || host.at[host.length - length - 1] == '.'))
			return true;
	}
	return false;
}

/* The host behind an @: labels with a dot between, the last of letters. */
static struct view host_at(struct view text, size_t at)
{
	size_t end = at;
	size_t dot = 0;

	while (end < text.length && (isalnum((unsigned char)text.at[end]) || text.at[end] == '-' || text.at[end] == '.')) {
		if (text.at[end] == '.' && end + 1 < text.length && isalnum((unsigned char)text.at[end + 1]))
			dot = end;
		end++;
	}
	while (end > at && !isalnum((unsigned char)text.at[end - 1]))
		end--;
	if (!dot || dot + 2 >= end || !isalpha((unsigned char)text.at[dot + 1]) || text.at[at] == '.')
		return VIEW("");
	return view_make(text.at + at, end - at);
}

static int64_t emails(struct view text)
{
	int64_t count = 0;

	for (size_t i = 1; i + 3 < text.length; i++) {
		struct view host;
		size_t from = i;

		if (text.at[i] != '@')
			continue;
		while (from && (is_word(text.at[from - 1]) || strchr(".+-%'", text.at[from - 1])) && text.at[from - 1])
			from--;
		host = host_at(text, i + 1);
		/* "postgres://user:word@host" is no address of a person. */
		if (from == i || !host.length || host_is_reserved(host) ||
		    (from && (text.at[from - 1] == ':' || text.at[from - 1] == '/')))
			continue;
		count++;
	}
	return count;
}

/* ---- digits ---- */

struct run {
	char digits[CARD_DIGITS_MAX + 1];
	size_t count;
	size_t from;
	size_t end;
	bool plus;
	bool separated;
};

/* Digits with blanks, dashes, dots and brackets between, not part of a longer word; false at the end. */
static bool run_next(struct view text, size_t *at, struct run *run)
{
	for (; *at < text.length; (*at)++) {
		size_t i = *at;

		if (!isdigit((unsigned char)text.at[i]) ||
		    (i && (is_word(text.at[i - 1]) || text.at[i - 1] == '.' || text.at[i - 1] == '-')))
			continue;
		*run = (struct run){.from = i};
		run->plus = i && text.at[i - 1] == '+';
		for (; i < text.length; i++) {
			char c = text.at[i];

			if (isdigit((unsigned char)c)) {
				if (run->count < CARD_DIGITS_MAX)
					run->digits[run->count] = c;
				run->count++;
				run->end = i + 1;
			} else if (strchr(" -.()", c) && c && i - run->end < 2) {
				continue;
			} else {
				break;
			}
		}
		run->separated = run->end - run->from != run->count;
		*at = run->end;
		if (run->end < text.length && (is_word(text.at[run->end]) || text.at[run->end] == ':'))
			continue;
		return true;
	}
	return false;
}

static bool luhn(const struct run *run)
{
	int sum = 0;

	for (size_t i = 0; i < run->count; i++) {
		int digit = run->digits[run->count - 1 - i] - '0';

		digit *= i % 2 ? 2 : 1;
		sum += digit > 9 ? digit - 9 : digit;
	}
	return sum % 10 == 0;
}

/* Cards that providers publish for tests. */
static bool card_is_published(const char *digits)
{
	static const char *const published[] = {"4111111111111111", "4242424242424242", "4012888888881881", "5555555555554444",
						"5105105105105100", "378282246310005",  "371449635398431",  "6011111111111117",
						"4000056655665556", "2223003122003222", "30569309025904",   "3530111333300000",
						"4000000000000002", "5200828282828210"};

	for (size_t i = 0; i < ARRAY_LEN(published); i++)
		if (strcmp(digits, published[i]) == 0)
			return true;
	return false;
}

/* The first digits of schemes (ISO/IEC 7812 ranges of Visa, Mastercard, American Express, Discover, JCB, Diners). */
static bool run_is_card(const struct run *run)
{
	int two;

	if (run->count < CARD_DIGITS_MIN || run->count > CARD_DIGITS_MAX || run->plus || !luhn(run) ||
	    card_is_published(run->digits))
		return false;
	two = (run->digits[0] - '0') * 10 + run->digits[1] - '0';
	return (two / 10 == 4 && (run->count == 13 || run->count == 16 || run->count == 19)) ||
	       (((two >= 51 && two <= 55) || (two >= 22 && two <= 27)) && run->count == 16) ||
	       ((two == 34 || two == 37) && run->count == 15) ||
	       ((two == 60 || two == 64 || two == 65 || two == 35) && run->count == 16) ||
	       ((two == 30 || two == 36 || two == 38) && run->count == 14);
}

static bool name_says(const char *name, const char *const *words)
{
	for (; *words; words++)
		if (strcasestr(name, *words))
			return true;
	return false;
}

/* Groups as people write them: 3-3-4 of North America; anything with a plus; any digits where the name says so. */
static bool run_is_phone(struct view text, const struct run *run, const char *name)
{
	static const char *const words[] = {"phone", "mobile", "telefon", "tel_", "fax", "msisdn", NULL};
	const char *at = text.at + run->from;
	size_t length = run->end - run->from;
	bool bracket = run->from && text.at[run->from - 1] == '(';

	if (run->count < PHONE_DIGITS_MIN || run->count > PHONE_DIGITS_MAX)
		return false;
	if (memmem(at, length, "555-01", 6) || memmem(at, length, "555 01", 6) || memmem(run->digits, run->count, "55501", 5))
		return false;
	if (run->plus || name_says(name, words) || strcasecmp(name, "tel") == 0)
		return true;
	if (bracket && run->count == 10 && length > 4 && at[3] == ')')
		return true;
	return length == 12 && run->count == 10 && at[3] == at[7] && strchr("-. ", at[3]);
}

/* ---- tokens ---- */

static const struct prefix {
	const char *text;
	size_t letters; /* that follow, at least */
} prefixes[] = {
	{"AKIA", 16},  {"ASIA", 16},        {"AIza", 30},     {"ghp_", 30},     {"gho_", 30},     {"ghs_", 30},  {"ghu_", 30},
	{"ghr_", 30},  {"github_pat_", 30}, {"glpat-", 18},   {"npm_", 30},     {"xoxb-", 20},    {"xoxp-", 20}, {"xoxa-", 20},
	{"xoxs-", 20}, {"xoxr-", 20},       {"sk_live_", 16}, {"rk_live_", 16}, {"pk_live_", 16}, {"SG.", 30},   {"sk-", 30},
};

/* The letters of a token in a row, and the dots in it: each is looked for once, however many words of the row are asked about. */
struct row {
	size_t end;
	size_t dot;    /* the first one not before the word; `end`: none */
	size_t second; /* the one behind it */
};

static bool is_token_letter(char c)
{
	return is_word(c) || c == '-' || c == '.';
}

static size_t dot_from(struct view text, size_t at, size_t end)
{
	while (at < end && text.at[at] != '.')
		at++;
	return at;
}

static void row_move(struct view text, size_t at, struct row *row)
{
	bool fresh = at >= row->end;

	if (fresh)
		for (row->end = at; row->end < text.length && is_token_letter(text.at[row->end]);)
			row->end++;
	if (fresh || row->dot < at) {
		row->dot = dot_from(text, at, row->end);
		row->second = dot_from(text, row->dot < row->end ? row->dot + 1 : row->end, row->end);
	}
}

/* eyJ….eyJ….… (RFC 7519). */
static bool is_jwt(struct view text, size_t at, struct row *row)
{
	static const struct view start = VIEW("eyJ");

	row_move(text, at, row);
	return view_starts(view_make(text.at + at, row->end - at), start) && row->dot < row->end && row->second < row->end &&
	       view_starts(view_make(text.at + row->dot + 1, row->end - row->dot - 1), start) &&
	       row->end - row->second - 1 >= TOKEN_LETTERS_MIN;
}

static int64_t tokens(struct view text)
{
	int64_t count = view_find(text, VIEW("PRIVATE KEY-----")) >= 0;
	struct row row = {0};

	for (size_t i = 0; i < text.length; i++) {
		struct view rest = view_make(text.at + i, text.length - i);

		if ((i && is_word(text.at[i - 1])) || !is_word(text.at[i]))
			continue;
		if (is_jwt(text, i, &row))
			count++;
		for (size_t k = 0; k < ARRAY_LEN(prefixes); k++)
			if (view_starts(rest, view_of(prefixes[k].text)) &&
			    row.end - i - strlen(prefixes[k].text) >= prefixes[k].letters) {
				count++;
				break;
			}
	}
	return count;
}

void leak_find(struct view text, const char *name, int64_t counts[LEAK_KINDS])
{
	struct run run;
	size_t at = 0;

	counts[LEAK_EMAIL] += emails(text);
	counts[LEAK_TOKEN] += tokens(text);
	while (run_next(text, &at, &run)) {
		if (run_is_card(&run))
			counts[LEAK_CARD]++;
		else if (run_is_phone(text, &run, name))
			counts[LEAK_PHONE]++;
	}
}
