/* Reads a request for a quote, checks every field, and writes the answer. */
#include "service.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "quote.h"

struct field {
	const char *name;
	size_t offset;
	int64_t low, high;
	bool required;
};

static const struct field FIELDS[] = {
	{"product_id", offsetof(struct quote_line, product_id), 1, INT32_MAX, true},
	{"quantity", offsetof(struct quote_line, quantity), 1, QUOTE_QUANTITY_MAX, true},
	{"unit_cents", offsetof(struct quote_line, unit_cents), 1, QUOTE_UNIT_CENTS_MAX, true},
	{"discount_percent", offsetof(struct quote_line, discount_percent), 0, 90, false},
};
#define FIELD_COUNT (sizeof FIELDS / sizeof *FIELDS)

struct reader {
	struct json json;
	const char *where; /* the field at hand, for the error text */
	const char *error;
};

static bool refuse(struct reader *reader, const char *where, const char *error)
{
	reader->where = where;
	reader->error = error;
	return false;
}

static int field_find(const char *name)
{
	for (size_t i = 0; i < FIELD_COUNT; i++)
		if (strcmp(FIELDS[i].name, name) == 0)
			return (int)i;
	return -1;
}

static bool field_read(struct reader *reader, const struct field *field, struct quote_line *line)
{
	int64_t value;
	if (!json_integer(&reader->json, &value))
		return refuse(reader, field->name, reader->json.error);
	if (value < field->low || value > field->high)
		return refuse(reader, field->name, "out of range");
	memcpy((char *)line + field->offset, &value, sizeof value);
	return true;
}

static bool line_read(struct reader *reader, struct quote_line *line)
{
	unsigned seen = 0;
	char key[32];
	bool first = true;
	*line = (struct quote_line){0};
	if (!json_enter(&reader->json, '{'))
		return false;
	while (json_next(&reader->json, '{', &first)) {
		if (!json_key(&reader->json, key, sizeof key))
			return false;
		int i = field_find(key);
		if (i < 0 ? !json_skip(&reader->json) : !field_read(reader, &FIELDS[i], line))
			return false;
		seen |= i < 0 ? 0 : 1u << i;
	}
	for (size_t i = 0; i < FIELD_COUNT; i++)
		if (FIELDS[i].required && !(seen & 1u << i))
			return refuse(reader, FIELDS[i].name, "missing");
	return true;
}

static bool lines_read(struct reader *reader, struct quote *quote)
{
	bool first = true;
	if (!json_enter(&reader->json, '['))
		return false;
	while (json_next(&reader->json, '[', &first)) {
		if (quote->line_count == QUOTE_LINES_MAX)
			return refuse(reader, "lines", "too many");
		if (!line_read(reader, &quote->lines[quote->line_count++]))
			return false;
	}
	return true;
}

static bool member_read(struct reader *reader, const char *key, struct quote *quote)
{
	if (strcmp(key, "country") == 0)
		return json_text(&reader->json, quote->country, sizeof quote->country)
			|| refuse(reader, "country", "expected two letters");
	if (strcmp(key, "lines") == 0)
		return lines_read(reader, quote);
	return json_skip(&reader->json);
}

static bool quote_read(struct reader *reader, struct quote *quote)
{
	char key[32];
	bool first = true;
	if (!json_enter(&reader->json, '{'))
		return false;
	while (json_next(&reader->json, '{', &first))
		if (!json_key(&reader->json, key, sizeof key) || !member_read(reader, key, quote))
			return false;
	if (!json_done(&reader->json))
		return false;
	return quote->line_count > 0 || refuse(reader, "lines", "missing");
}

struct writer {
	char *at;
	size_t left;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *writer, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(writer->at, writer->left, format, arguments);
	va_end(arguments);
	if (length > 0 && (size_t)length < writer->left) {
		writer->at += length;
		writer->left -= (size_t)length;
	}
}

/* 50 lines of at most 160 bytes: the answer always fits. */
static void quote_write(struct writer *writer, const struct quote *quote)
{
	put(writer, "{\"currency\":\"EUR\",\"lines\":[");
	for (size_t i = 0; i < quote->line_count; i++) {
		const struct quote_line *line = &quote->lines[i];
		put(writer, "%s{\"product_id\":%ld,\"units\":%ld,\"gross_cents\":%ld,\"discount_cents\":%ld,\"net_cents\":%ld}",
		    i ? "," : "", line->product_id, line->quantity, line->gross_cents, line->discount_cents,
		    line->net_cents);
	}
	put(writer,
	    "],\"subtotal_cents\":%ld,\"discount_cents\":%ld,\"shipping_cents\":%ld,\"tax_cents\":%ld,\"total_cents\":%ld}",
	    quote->subtotal_cents, quote->discount_cents, quote->shipping_cents, quote->tax_cents,
	    quote->total_cents);
}

int service_quote(const char *body, size_t body_bytes, char answer[SERVICE_ANSWER_BYTES_MAX])
{
	struct reader reader = {.where = "body"};
	struct quote quote = {0};
	struct writer writer = {answer, SERVICE_ANSWER_BYTES_MAX};
	json_init(&reader.json, body, body_bytes);
	if (!quote_read(&reader, &quote)) {
		put(&writer, "{\"error\":\"%s: %s\"}", reader.where, reader.error ? reader.error : reader.json.error);
		return 400;
	}
	quote_compute(&quote);
	quote_write(&writer, &quote);
	return 200;
}
