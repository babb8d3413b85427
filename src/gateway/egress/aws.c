/* AWS's canonical form of a request, as its documentation has it. */
#include "gateway/egress/aws.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/scope.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define END_OF_SCOPE "/aws4_request"
#define PAIRS_MAX ((size_t)256)
#define TEXT_MAX ((size_t)1 << 20)

bool aws_is_signed(struct view authorization)
{
	return view_starts(authorization, VIEW(ALGORITHM " "));
}

bool aws_claim_parse(struct view authorization, struct aws_claim *claim)
{
	struct view rest;
	size_t scope;

	*claim = (struct aws_claim){.key_id = VIEW("")};
	if (!aws_is_signed(authorization))
		return false;
	rest = view_make(authorization.at + strlen(ALGORITHM " "), authorization.length - strlen(ALGORITHM " "));
	while (rest.length) {
		struct view value;
		struct view part = view_trim(view_cut(rest, ',', &rest));
		struct view name = view_cut(part, '=', &value);
		struct view *place = view_is(name, "Credential")      ? &claim->scope
				     : view_is(name, "SignedHeaders") ? &claim->fields
				     : view_is(name, "Signature")     ? &claim->signature
								      : NULL;

		if (!place || place->at || !value.at)
			return false;
		*place = value;
	}
	if (!claim->scope.at || !claim->fields.at || !claim->signature.at || !view_ends(claim->scope, VIEW(END_OF_SCOPE)))
		return false;
	claim->scope.length -= strlen(END_OF_SCOPE);
	claim->key_id = view_cut(claim->scope, '/', &claim->scope);
	scope = claim->scope.at ? claim->scope.length : 0;
	return claim->key_id.length && scope && scope < SIGV4_SCOPE_MAX && !memchr(claim->scope.at, '\0', scope) &&
	       claim->signature.length == SIGV4_SIGNATURE_BYTES && claim->fields.length;
}

void aws_claim_format(const struct aws_claim *claim, struct view signature, struct buf *out)
{
	buf_add_text(out, ALGORITHM " Credential=");
	buf_add_view(out, claim->key_id);
	buf_add_char(out, '/');
	buf_add_view(out, claim->scope);
	buf_add_text(out, END_OF_SCOPE ", SignedHeaders=");
	buf_add_view(out, claim->fields);
	buf_add_text(out, ", Signature=");
	buf_add_view(out, signature);
}

static struct view field_value(const struct egress_request *request, const char *name)
{
	for (size_t i = 0; i < request->field_count; i++)
		if (view_is(request->fields[i].name, name))
			return view_trim(request->fields[i].value);
	return (struct view){NULL, 0};
}

const char *aws_cannot(const struct egress_request *request)
{
	struct view rest = request->query;

	if (view_starts(field_value(request, "x-amz-content-sha256"), VIEW("STREAMING-")))
		return "its body is signed in pieces while it is sent, which cannot be signed anew";
	while (rest.length)
		if (view_starts(view_cut(rest, '&', &rest), VIEW("X-Amz-")))
			return "its URL carries a signature, which cannot be signed anew";
	return NULL;
}

/* ---- the canonical form ---- */

static void uri_encode(struct view text, bool slashes, struct buf *out)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (isalnum(c) || strchr("-._~", c) || (slashes && c == '/'))
			buf_add_char(out, (char)c);
		else
			buf_add_format(out, "%%%02X", c);
	}
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

static void uri_decode(struct view text, struct buf *out)
{
	for (size_t i = 0; i < text.length; i++) {
		int high = i + 2 < text.length && text.at[i] == '%' ? digit(text.at[i + 1]) : -1;
		int low = high >= 0 ? digit(text.at[i + 2]) : -1;

		buf_add_char(out, low >= 0 ? (char)(high << 4 | low) : text.at[i]);
		i += low >= 0 ? 2 : 0;
	}
}

static void uri_encode_again(struct view text, struct buf *out)
{
	AUTO_BUF plain = buf_new(text.length + 1);

	uri_decode(text, &plain);
	uri_encode(buf_view(&plain), false, out);
}

/* S3 has it encoded once, the others twice. */
static void path_add(const struct egress_request *request, bool once, struct buf *out)
{
	AUTO_BUF plain = buf_new(request->path.length + 1);

	if (once)
		uri_decode(request->path, &plain);
	uri_encode(once ? buf_view(&plain) : request->path, true, out);
	buf_add_char(out, '\n');
}

struct pair {
	struct buf name, value;
};

static int text_compare(struct view left, struct view right)
{
	size_t common = left.length < right.length ? left.length : right.length;
	int order = common ? memcmp(left.at, right.at, common) : 0;

	return order ? order : (left.length > right.length) - (left.length < right.length);
}

static int pair_compare(const void *a, const void *b)
{
	const struct pair *left = a, *right = b;
	int order = text_compare(buf_view(&left->name), buf_view(&right->name));

	return order ? order : text_compare(buf_view(&left->value), buf_view(&right->value));
}

static bool query_add(struct view query, struct buf *out)
{
	AUTO_FREE struct pair *pairs = mem_new_array(PAIRS_MAX, sizeof(*pairs));
	size_t count = 0;

	while (query.length && count < PAIRS_MAX) {
		struct view value;
		struct view name = view_cut(view_cut(query, '&', &query), '=', &value);

		pairs[count] = (struct pair){buf_new(TEXT_MAX), buf_new(TEXT_MAX)};
		uri_encode_again(name, &pairs[count].name);
		if (value.at)
			uri_encode_again(value, &pairs[count].value);
		count++;
	}
	qsort(pairs, count, sizeof(*pairs), pair_compare);
	for (size_t i = 0; i < count; i++) {
		buf_add_text(out, i ? "&" : "");
		buf_add_view(out, buf_view(&pairs[i].name));
		buf_add_char(out, '=');
		buf_add_view(out, buf_view(&pairs[i].value));
		buf_fini(&pairs[i].name);
		buf_fini(&pairs[i].value);
	}
	buf_add_char(out, '\n');
	return !query.length;
}

/* Blanks in a row are one. */
static void value_add(struct view value, struct buf *out)
{
	value = view_trim(value);
	for (size_t i = 0; i < value.length; i++)
		if (value.at[i] != ' ' || !i || value.at[i - 1] != ' ')
			buf_add_char(out, value.at[i]);
}

/* False: there is no such field. */
static bool field_add(const struct egress_request *request, struct view name, struct buf *out)
{
	bool found = false;

	buf_add_view(out, name);
	buf_add_char(out, ':');
	if (view_is(name, "host")) {
		found = true;
		buf_add_text(out, request->host);
		if (request->port != (request->tls ? 443 : 80))
			buf_add_format(out, ":%u", request->port);
	} else if (view_is(name, "content-length") && request->body_bytes >= 0) {
		found = true;
		buf_add_format(out, "%lld", (long long)request->body_bytes);
	}
	for (size_t i = 0; i < request->field_count; i++) {
		if (!view_equal(request->fields[i].name, name))
			continue;
		buf_add_text(out, found ? "," : "");
		value_add(request->fields[i].value, out);
		found = true;
	}
	buf_add_char(out, '\n');
	return found;
}

static const char *canonical(const struct egress_request *request, const struct aws_claim *claim, struct view body, bool whole,
			     struct buf *out)
{
	struct view hash = field_value(request, "x-amz-content-sha256");
	struct view rest = claim->fields;

	if (!hash.at && !whole)
		return "its body is too large to be signed here: have its program send x-amz-content-sha256";
	buf_add_view(out, request->method);
	buf_add_char(out, '\n');
	path_add(request, view_ends(claim->scope, VIEW("/s3")), out);
	if (!query_add(request->query, out))
		return "its query has too many parts";
	while (rest.length)
		if (!field_add(request, view_cut(rest, ';', &rest), out))
			return "it signs a field that is not passed on";
	buf_add_char(out, '\n');
	buf_add_view(out, claim->fields);
	buf_add_char(out, '\n');
	if (hash.at)
		buf_add_view(out, hash);
	else
		buf_add_text(out, digest_of(body).text);
	return out->over ? "it is too long to be signed" : NULL;
}

const char *aws_sign(const struct egress_request *request, const struct aws_claim *claim, struct view body, bool whole,
		     const unsigned char key[SIGV4_KEY_BYTES], struct buf *out)
{
	AUTO_BUF form = buf_new(TEXT_MAX);
	AUTO_BUF text = buf_new(TEXT_MAX);
	struct view date = field_value(request, "x-amz-date");
	const char *why = canonical(request, claim, body, whole, &form);

	if (!date.at)
		date = field_value(request, "date");
	if (why || !date.at)
		return why ? why : "it has no date";
	buf_add_text(&text, ALGORITHM "\n");
	buf_add_view(&text, date);
	buf_add_char(&text, '\n');
	buf_add_view(&text, claim->scope);
	buf_add_text(&text, END_OF_SCOPE "\n");
	buf_add_text(&text, digest_of(buf_view(&form)).text);
	sigv4_sign(key, buf_view(&text), out);
	return NULL;
}
