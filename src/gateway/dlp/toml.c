/* A strict reader by recursive descent; keys twice are errors, as TOML says. */
#include "gateway/dlp/toml.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/scope.h"

#define KEY_PARTS_MAX 8
#define NUMBER_BYTES_MAX 40

struct toml {
	const char *at, *end;
	size_t line;
	struct err *err;
};

struct key {
	char *parts[KEY_PARTS_MAX];
	size_t count;
};

static void key_fini(struct key *key)
{
	for (size_t i = 0; i < key->count; i++)
		free(key->parts[i]);
	key->count = 0;
}

static int refuse(struct toml *toml, const char *what)
{
	return err_set(toml->err, ERR_INVALID, "line %zu: %s", toml->line, what);
}

static char peek(const struct toml *toml)
{
	return toml->at < toml->end ? *toml->at : 0;
}

static bool take_text(struct toml *toml, const char *text)
{
	size_t length = strlen(text);

	if ((size_t)(toml->end - toml->at) < length || memcmp(toml->at, text, length) != 0)
		return false;
	toml->at += length;
	return true;
}

static void skip_blanks(struct toml *toml)
{
	while (toml->at < toml->end && (*toml->at == ' ' || *toml->at == '\t'))
		toml->at++;
}

/* Blanks, comments and ends of lines. */
static void skip_lines(struct toml *toml)
{
	for (;;) {
		skip_blanks(toml);
		if (peek(toml) == '#')
			while (toml->at < toml->end && *toml->at != '\n')
				toml->at++;
		if (peek(toml) == '\r' && toml->end - toml->at > 1 && toml->at[1] == '\n')
			toml->at++;
		if (peek(toml) != '\n')
			return;
		toml->at++;
		toml->line++;
	}
}

static int end_line(struct toml *toml)
{
	size_t line = toml->line;

	skip_lines(toml);
	return toml->at == toml->end || toml->line > line ? 0 : refuse(toml, "something stands behind the value");
}

/* Strings */

static int add_unicode(struct toml *toml, struct buf *out, size_t digits)
{
	uint32_t code = 0;

	for (size_t i = 0; i < digits; i++) {
		char c = peek(toml);

		if (!isxdigit((unsigned char)c))
			return refuse(toml, "a bad \\u in a string");
		code = code << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
		toml->at++;
	}
	if (!code || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return refuse(toml, "a bad \\u in a string");
	if (code < 0x80) {
		buf_add_char(out, (char)code);
		return 0;
	}
	if (code >= 0x10000) {
		buf_add_char(out, (char)(0xf0 | code >> 18));
		buf_add_char(out, (char)(0x80 | (code >> 12 & 0x3f)));
	} else if (code >= 0x800) {
		buf_add_char(out, (char)(0xe0 | code >> 12));
	}
	buf_add_char(out, code >= 0x800 ? (char)(0x80 | (code >> 6 & 0x3f)) : (char)(0xc0 | code >> 6));
	buf_add_char(out, (char)(0x80 | (code & 0x3f)));
	return 0;
}

static int add_escape(struct toml *toml, struct buf *out, bool many)
{
	static const char simple[] = "b\bt\tn\nf\fr\r\"\"\\\\";
	char c;

	if (++toml->at >= toml->end)
		return refuse(toml, "a string does not end");
	c = *toml->at++;
	if (c == 'u' || c == 'U')
		return add_unicode(toml, out, c == 'u' ? 4 : 8);
	if (many && (c == '\n' || c == ' ' || c == '\t' || c == '\r')) {
		toml->line += c == '\n';
		for (; toml->at < toml->end && isspace((unsigned char)*toml->at); toml->at++)
			toml->line += *toml->at == '\n';
		return 0;
	}
	for (size_t i = 0; i + 1 < sizeof simple; i += 2)
		if (c == simple[i]) {
			buf_add_char(out, simple[i + 1]);
			return 0;
		}
	return refuse(toml, "an escape that TOML does not have");
}

static json_t *parse_string(struct toml *toml)
{
	AUTO_BUF out = buf_new(TOML_BYTES_MAX);
	char quote = *toml->at;
	const char triple[4] = {quote, quote, quote, 0};
	bool many = take_text(toml, triple);
	json_t *json;

	if (!many)
		toml->at++;
	else if (take_text(toml, "\n") || take_text(toml, "\r\n"))
		toml->line++;
	for (;;) {
		if (toml->at >= toml->end || (!many && *toml->at == '\n')) {
			refuse(toml, "a string does not end");
			return NULL;
		}
		if (many ? take_text(toml, triple) : *toml->at == quote)
			break;
		if (quote == '"' && *toml->at == '\\') {
			if (add_escape(toml, &out, many))
				return NULL;
			continue;
		}
		toml->line += *toml->at == '\n';
		buf_add_char(&out, *toml->at++);
	}
	if (!many)
		toml->at++;
	/* Two more quotes may stand before the three that end it. */
	for (int i = 0; many && i < 2 && peek(toml) == quote; i++)
		buf_add_char(&out, *toml->at++);
	json = json_stringn(buf_view(&out).at, out.length);
	if (!json)
		refuse(toml, "a string is not UTF-8");
	return json;
}

/* Values */

static json_t *parse_value(struct toml *toml, int depth);

static json_t *parse_array(struct toml *toml, int depth)
{
	AUTO_JSON array = json_array();

	toml->at++;
	for (;;) {
		json_t *value;

		skip_lines(toml);
		if (take_text(toml, "]"))
			return TAKE(array);
		value = parse_value(toml, depth + 1);
		if (!value)
			return NULL;
		json_array_append_new(array, value);
		skip_lines(toml);
		if (peek(toml) != ']' && !take_text(toml, ",")) {
			refuse(toml, "an array needs `,` or `]` here");
			return NULL;
		}
	}
}

static json_t *parse_number(struct toml *toml)
{
	char text[NUMBER_BYTES_MAX];
	size_t length = 0;
	bool whole = true;
	char *end;
	double number;

	while (toml->at < toml->end && length + 1 < sizeof text &&
	       (isalnum((unsigned char)*toml->at) || strchr("+-._", *toml->at))) {
		whole &= *toml->at != '.' && *toml->at != 'e' && *toml->at != 'E';
		if (*toml->at != '_')
			text[length++] = *toml->at;
		toml->at++;
	}
	text[length] = 0;
	number = strtod(text, &end);
	if (!length || *end || !(number > -1e15 && number < 1e15) || strpbrk(text, "xXiInN")) {
		refuse(toml, "a value that is no string, number, truth or array");
		return NULL;
	}
	return whole ? json_integer((json_int_t)number) : json_real(number);
}

static json_t *parse_value(struct toml *toml, int depth)
{
	char c = peek(toml);

	if (depth > TOML_DEPTH_MAX) {
		refuse(toml, "arrays within arrays, too deep");
		return NULL;
	}
	if (c == '"' || c == '\'')
		return parse_string(toml);
	if (c == '[')
		return parse_array(toml, depth);
	if (take_text(toml, "true"))
		return json_true();
	if (take_text(toml, "false"))
		return json_false();
	return parse_number(toml);
}

/* Keys and tables */

static int parse_key(struct toml *toml, struct key *key)
{
	do {
		const char *from;

		skip_blanks(toml);
		if (key->count == KEY_PARTS_MAX)
			return refuse(toml, "a key of too many parts");
		if (peek(toml) == '"' || peek(toml) == '\'') {
			AUTO_JSON text = parse_string(toml);

			if (!text)
				return -1;
			key->parts[key->count++] = text_copy(json_string_value(text));
		} else {
			for (from = toml->at;
			     toml->at < toml->end && (isalnum((unsigned char)*toml->at) || strchr("-_", *toml->at)) && *toml->at;
			     toml->at++)
				;
			if (from == toml->at)
				return refuse(toml, "a key is missing");
			key->parts[key->count++] = view_copy(view_make(from, (size_t)(toml->at - from)));
		}
		skip_blanks(toml);
	} while (take_text(toml, "."));
	return 0;
}

/* The table that `key` but for its last part names, made where it is absent; of an array its last. Borrowed. */
static json_t *table_walk(struct toml *toml, json_t *table, const struct key *key, size_t parts)
{
	for (size_t i = 0; i < parts; i++) {
		json_t *next = json_object_get(table, key->parts[i]);

		if (!next) {
			next = json_object();
			json_object_set_new(table, key->parts[i], next);
		} else if (json_is_array(next)) {
			next = json_array_get(next, json_array_size(next) - 1);
		}
		if (!json_is_object(next)) {
			refuse(toml, "a table has the name of something else");
			return NULL;
		}
		table = next;
	}
	return table;
}

static json_t *parse_header(struct toml *toml, json_t *root)
{
	__attribute__((cleanup(key_fini))) struct key key = {.count = 0};
	bool many = take_text(toml, "[[");
	json_t *parent, *array, *table;
	const char *name;

	if (!many)
		toml->at++;
	if (parse_key(toml, &key))
		return NULL;
	if (!take_text(toml, many ? "]]" : "]")) {
		refuse(toml, "the name of a table does not end");
		return NULL;
	}
	if (end_line(toml))
		return NULL;
	if (!many)
		return table_walk(toml, root, &key, key.count);
	parent = table_walk(toml, root, &key, key.count - 1);
	if (!parent)
		return NULL;
	name = key.parts[key.count - 1];
	array = json_object_get(parent, name);
	if (!array) {
		array = json_array();
		json_object_set_new(parent, name, array);
	}
	if (!json_is_array(array)) {
		refuse(toml, "a table has the name of something else");
		return NULL;
	}
	table = json_object();
	json_array_append_new(array, table);
	return table;
}

static int parse_pair(struct toml *toml, json_t *table)
{
	__attribute__((cleanup(key_fini))) struct key key = {.count = 0};
	json_t *value, *parent;

	if (parse_key(toml, &key))
		return -1;
	if (!take_text(toml, "="))
		return refuse(toml, "a key needs `=` behind it");
	skip_blanks(toml);
	parent = table_walk(toml, table, &key, key.count - 1);
	if (!parent)
		return -1;
	if (json_object_get(parent, key.parts[key.count - 1]))
		return refuse(toml, "a key is there twice");
	value = parse_value(toml, 0);
	if (!value)
		return -1;
	json_object_set_new(parent, key.parts[key.count - 1], value);
	return end_line(toml);
}

json_t *toml_parse(struct view text, struct err *err)
{
	const char *begin = text.at ? text.at : "";
	struct toml toml = {begin, begin + text.length, 1, err};
	AUTO_JSON root = json_object();
	json_t *table = root;

	if (text.length > TOML_BYTES_MAX) {
		err_set(err, ERR_LIMIT, "more than %zu bytes", TOML_BYTES_MAX);
		return NULL;
	}
	if (memchr(text.at ? text.at : "", 0, text.length)) {
		err_set(err, ERR_INVALID, "it has NUL bytes in it");
		return NULL;
	}
	for (skip_lines(&toml); toml.at < toml.end; skip_lines(&toml)) {
		if (*toml.at == '[') {
			table = parse_header(&toml, root);
			if (!table)
				return NULL;
		} else if (parse_pair(&toml, table)) {
			return NULL;
		}
	}
	return TAKE(root);
}
