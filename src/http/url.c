/* URLs and percent-encoding. */
#include "http/url.h"

#include <stdlib.h>

static const struct {
	const char *scheme;
	uint16_t port;
} schemes[] = {{"http", 80}, {"https", 443}, {"ws", 80}, {"wss", 443}};

static bool text_clean(struct view text)
{
	for (size_t i = 0; i < text.length; i++)
		if (text.at[i] <= 0x20 || text.at[i] == 0x7f || text.at[i] == '\\')
			return false;
	return true;
}

static int authority_parse(struct view authority, struct url *url, struct err *err)
{
	struct view port = {NULL, 0};
	uint64_t number;

	if (authority.length && memchr(authority.at, '@', authority.length))
		return err_set(err, ERR_INVALID, "a URL with user information");
	if (authority.length && authority.at[0] == '[') {
		struct view after;
		struct view inside = view_cut(view_make(authority.at + 1, authority.length - 1), ']', &after);

		if (!after.at || (after.length && after.at[0] != ':'))
			return err_set(err, ERR_INVALID, "a URL with a broken IPv6 address");
		url->host = inside;
		if (after.length)
			port = view_make(after.at + 1, after.length - 1);
	} else {
		url->host = view_cut(authority, ':', &port);
	}
	if (!url->host.length)
		return err_set(err, ERR_INVALID, "a URL without a host");
	if (!port.at || !port.length)
		return 0;
	if (!view_to_u64(port, &number) || number == 0 || number > 65535)
		return err_set(err, ERR_INVALID, "a URL with a port that is none");
	url->port = (uint16_t)number;
	return 0;
}

int url_parse(struct view text, struct url *url, struct err *err)
{
	ptrdiff_t colon = view_find(text, VIEW("://"));
	struct view rest;
	size_t end = 0;

	*url = (struct url){0};
	if (colon <= 0 || !text_clean(text))
		return err_set(err, ERR_INVALID, "`%.*s` is not a URL", (int)(text.length > 80 ? 80 : text.length), text.at);
	url->scheme = view_make(text.at, (size_t)colon);
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (view_equal_nocase(url->scheme, view_of(schemes[i].scheme)))
			url->port = schemes[i].port;
	if (!url->port)
		return err_set(err, ERR_INVALID, "a URL whose scheme is neither http nor https");
	rest = view_make(text.at + colon + 3, text.length - (size_t)colon - 3);
	while (end < rest.length && !strchr("/?#", rest.at[end]))
		end++;
	if (authority_parse(view_make(rest.at, end), url, err))
		return -1;
	rest = view_cut(view_make(rest.at + end, rest.length - end), '#', &(struct view){0});
	url->path = view_cut(rest, '?', &url->query);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int url_decode(struct buf *out, struct view text, bool form, struct err *err)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[i];

		if (form && c == '+')
			c = ' ';
		if (c == '%') {
			int high = i + 2 < text.length ? hex_digit(text.at[i + 1]) : -1;
			int low = i + 2 < text.length ? hex_digit(text.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return err_set(err, ERR_INVALID, "a broken %%-escape");
			c = (char)(high << 4 | low);
			i += 2;
		}
		buf_add_char(out, c);
	}
	return buf_finish(out, err);
}

char *url_query_get(struct view query, const char *name)
{
	while (query.at) {
		struct view value;
		struct view key = view_cut(view_cut(query, '&', &query), '=', &value);
		AUTO_BUF decoded = buf_new(BUF_MAX_DEFAULT);

		if (url_decode(&decoded, key, true, NULL) || !view_is(buf_view(&decoded), name))
			continue;
		buf_clear(&decoded);
		if (url_decode(&decoded, value, true, NULL))
			return NULL;
		return buf_take(&decoded);
	}
	return NULL;
}

int url_path_normal(struct buf *out, struct view path, struct err *err)
{
	size_t start = out->length;

	if (!path.length || path.at[0] != '/')
		return err_set(err, ERR_INVALID, "a path that does not start with `/`");
	while (path.at && path.length) {
		struct view after;
		struct view part = view_cut(view_make(path.at + 1, path.length - 1), '/', &after);
		bool last = !after.at;

		path = last ? after : view_make(after.at - 1, after.length + 1);
		if (view_is(part, ".")) {
			if (last)
				buf_add_char(out, '/');
			continue;
		}
		if (view_is(part, "..")) {
			if (out->length == start)
				return err_set(err, ERR_INVALID, "a path that leaves the root");
			while (out->at[--out->length] != '/')
				;
			out->at[out->length] = '\0';
			if (last)
				buf_add_char(out, '/');
			continue;
		}
		buf_add_char(out, '/');
		buf_add_view(out, part);
	}
	if (out->length == start)
		buf_add_char(out, '/');
	return buf_finish(out, err);
}
