/* The pull reader of xml.h. */
#include "verify/xml.h"

#include <string.h>

#include "base/scope.h"

struct xml xml_new(struct view bytes)
{
	struct xml xml = {.rest = bytes};

	if (view_starts(bytes, VIEW("\xef\xbb\xbf")))
		xml.rest = view_make(bytes.at + 3, bytes.length - 3);
	return xml;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool ends_name(char c)
{
	return is_blank(c) || c == '>' || c == '/' || c == '=' || c == '<';
}

static void skip(struct xml *xml, size_t length)
{
	xml->rest.at += length;
	xml->rest.length -= length;
}

static void skip_blanks(struct xml *xml)
{
	while (xml->rest.length && is_blank(xml->rest.at[0]))
		skip(xml, 1);
}

static struct view name_take(struct xml *xml)
{
	size_t length = 0;
	struct view name;
	const char *colon;

	while (length < xml->rest.length && !ends_name(xml->rest.at[length]))
		length++;
	name = view_make(xml->rest.at, length);
	skip(xml, length);
	colon = length ? memchr(name.at, ':', length) : NULL;
	if (colon)
		name = view_make(colon + 1, length - (size_t)(colon + 1 - name.at));
	return name;
}

static enum xml_event broken(struct xml *xml)
{
	xml->broken = true;
	xml->rest.length = 0;
	return XML_END;
}

/* Skips past `end`, which must be there. */
static bool skip_past(struct xml *xml, struct view end)
{
	ptrdiff_t at = view_find(xml->rest, end);

	if (at < 0)
		return false;
	skip(xml, (size_t)at + end.length);
	return true;
}

/* <!DOCTYPE …> with its internal subset in brackets, which is skipped without being read. */
static bool skip_declaration(struct xml *xml)
{
	int brackets = 0;

	while (xml->rest.length) {
		char c = xml->rest.at[0];

		skip(xml, 1);
		brackets += (c == '[') - (c == ']');
		if (c == '>' && brackets <= 0)
			return true;
	}
	return false;
}

static bool attribute_take(struct xml *xml)
{
	struct xml_attribute attribute = {.name = name_take(xml)};
	const char *end;
	char quote;

	skip_blanks(xml);
	if (!attribute.name.length || !xml->rest.length || xml->rest.at[0] != '=')
		return false;
	skip(xml, 1);
	skip_blanks(xml);
	if (!xml->rest.length)
		return false;
	quote = xml->rest.at[0];
	if (quote != '"' && quote != '\'')
		return false;
	skip(xml, 1);
	end = xml->rest.length ? memchr(xml->rest.at, quote, xml->rest.length) : NULL;
	if (!end)
		return false;
	attribute.value = view_make(xml->rest.at, (size_t)(end - xml->rest.at));
	skip(xml, attribute.value.length + 1);
	if (xml->attribute_count < XML_ATTRIBUTES_MAX)
		xml->attributes[xml->attribute_count++] = attribute;
	return true;
}

static enum xml_event open_take(struct xml *xml)
{
	skip(xml, 1);
	xml->name = name_take(xml);
	xml->attribute_count = 0;
	if (!xml->name.length || xml->depth >= XML_DEPTH_MAX)
		return broken(xml);
	for (;;) {
		skip_blanks(xml);
		if (!xml->rest.length)
			return broken(xml);
		if (xml->rest.at[0] == '>') {
			skip(xml, 1);
			xml->depth++;
			return XML_OPEN;
		}
		if (view_starts(xml->rest, VIEW("/>"))) {
			skip(xml, 2);
			xml->close_pending = true;
			xml->depth++;
			return XML_OPEN;
		}
		if (!attribute_take(xml))
			return broken(xml);
	}
}

static enum xml_event close_take(struct xml *xml)
{
	skip(xml, 2);
	xml->name = name_take(xml);
	if (!skip_past(xml, VIEW(">")))
		return broken(xml);
	if (xml->depth > 0)
		xml->depth--;
	return XML_CLOSE;
}

static enum xml_event literal_take(struct xml *xml)
{
	static const struct view end = {"]]>", 3};
	ptrdiff_t at = view_find(xml->rest, end);

	if (at < 0)
		return broken(xml);
	xml->text = view_make(xml->rest.at + 9, (size_t)at - 9);
	xml->literal = true;
	skip(xml, (size_t)at + end.length);
	return XML_TEXT;
}

enum xml_event xml_next(struct xml *xml)
{
	const char *angle;

	if (xml->close_pending) {
		xml->close_pending = false;
		xml->depth--;
		return XML_CLOSE;
	}
	xml->literal = false;
	while (xml->rest.length) {
		if (view_starts(xml->rest, VIEW("<!--"))) {
			if (!skip_past(xml, VIEW("-->")))
				return broken(xml);
		} else if (view_starts(xml->rest, VIEW("<?"))) {
			if (!skip_past(xml, VIEW("?>")))
				return broken(xml);
		} else if (view_starts(xml->rest, VIEW("<![CDATA["))) {
			return literal_take(xml);
		} else if (view_starts(xml->rest, VIEW("<!"))) {
			if (!skip_declaration(xml))
				return broken(xml);
		} else if (view_starts(xml->rest, VIEW("</"))) {
			return close_take(xml);
		} else if (xml->rest.at[0] == '<') {
			return open_take(xml);
		} else {
			angle = memchr(xml->rest.at, '<', xml->rest.length);
			xml->text = view_make(xml->rest.at, angle ? (size_t)(angle - xml->rest.at) : xml->rest.length);
			skip(xml, xml->text.length);
			return XML_TEXT;
		}
	}
	xml->broken = xml->broken || xml->depth > 0;
	return XML_END;
}

struct view xml_attribute(const struct xml *xml, const char *name)
{
	for (size_t i = 0; i < xml->attribute_count; i++)
		if (view_is(xml->attributes[i].name, name))
			return xml->attributes[i].value;
	return VIEW("");
}

static void add_code_point(struct buf *out, uint32_t point)
{
	if (point < 0x80) {
		buf_add_char(out, (char)point);
	} else if (point < 0x800) {
		buf_add_char(out, (char)(0xc0 | (point >> 6)));
		buf_add_char(out, (char)(0x80 | (point & 0x3f)));
	} else if (point < 0x10000) {
		buf_add_char(out, (char)(0xe0 | (point >> 12)));
		buf_add_char(out, (char)(0x80 | ((point >> 6) & 0x3f)));
		buf_add_char(out, (char)(0x80 | (point & 0x3f)));
	} else {
		buf_add_char(out, (char)(0xf0 | (point >> 18)));
		buf_add_char(out, (char)(0x80 | ((point >> 12) & 0x3f)));
		buf_add_char(out, (char)(0x80 | ((point >> 6) & 0x3f)));
		buf_add_char(out, (char)(0x80 | (point & 0x3f)));
	}
}

/* "#10" or "#x0a"; what is no character of XML is none here either. */
static bool number_decode(struct view name, uint32_t *point)
{
	bool hex = name.length > 2 && (name.at[1] == 'x' || name.at[1] == 'X');
	uint32_t number = 0;

	for (size_t i = hex ? 2 : 1; i < name.length; i++) {
		char c = name.at[i];
		char lower = (char)(c | 0x20);
		uint32_t digit;

		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if (hex && lower >= 'a' && lower <= 'f')
			digit = (uint32_t)(lower - 'a') + 10;
		else
			return false;
		number = number * (hex ? 16 : 10) + digit;
		if (number > 0x10ffff)
			return false;
	}
	*point = number;
	return name.length > 1 && number && (number < 0xd800 || number > 0xdfff);
}

void xml_decode(struct buf *out, struct view encoded)
{
	static const struct {
		const char *name;
		char c;
	} named[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};

	while (encoded.length) {
		const char *ampersand = memchr(encoded.at, '&', encoded.length);
		size_t before = ampersand ? (size_t)(ampersand - encoded.at) : encoded.length;
		struct view rest;
		struct view name;
		uint32_t point = 0;

		buf_add(out, encoded.at, before);
		encoded = view_make(encoded.at + before, encoded.length - before);
		if (!encoded.length)
			return;
		name = view_cut(view_make(encoded.at + 1, encoded.length - 1), ';', &rest);
		for (size_t i = 0; rest.at && !point && i < ARRAY_LEN(named); i++)
			if (view_is(name, named[i].name))
				point = (uint32_t)(unsigned char)named[i].c;
		if (rest.at && (point || (name.length < 12 && name.length && name.at[0] == '#' && number_decode(name, &point)))) {
			add_code_point(out, point);
			encoded = rest;
		} else {
			buf_add_char(out, '&');
			encoded = view_make(encoded.at + 1, encoded.length - 1);
		}
	}
}
