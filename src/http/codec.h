/*
 * codec: HTTP/1.1 on the wire (RFC 9112), strict. What two parsers could read in two ways is an error here: bare LF, obsolete line
 * folding, blanks around names, two Content-Lengths, Content-Length with Transfer-Encoding, codings other than `chunked`, control
 * bytes in values, a missing or repeated Host. Heads are parsed whole, in place, without allocation; bodies are decoded as a stream.
 */
#ifndef ASSAY_HTTP_CODEC_H
#define ASSAY_HTTP_CODEC_H

#include "base/buf.h"

#define HTTP_HEAD_BYTES_MAX ((size_t)64 << 10)
#define HTTP_TARGET_BYTES_MAX ((size_t)32 << 10)
#define HTTP_FIELDS_MAX 128

struct http_field {
	struct view name;
	struct view value; /* without blanks around it */
};

enum http_framing {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,
	HTTP_BODY_CHUNKED,
	HTTP_BODY_UNTIL_CLOSE, /* responses only */
};

/* Views borrow from the bytes that were parsed. */
struct http_head {
	struct view method; /* requests */
	struct view target;
	unsigned status; /* responses */
	struct view reason;
	unsigned minor; /* HTTP/1.<minor>: 0 or 1 */
	struct http_field fields[HTTP_FIELDS_MAX];
	size_t field_count;
	size_t bytes; /* of the head, its empty line included */
	/* What follows from the fields: */
	enum http_framing framing;
	uint64_t content_length;
	struct view host;     /* requests */
	bool keep_alive;      /* the sender means to go on after this message */
	bool upgrade;         /* Connection: upgrade with an Upgrade field */
	bool expect_continue; /* Expect: 100-continue; any other expectation is an error */
};

enum http_result { HTTP_MORE, HTTP_DONE, HTTP_BAD };

/* `bytes` starts with a head. HTTP_MORE: call again with more. *scanned starts at 0 and remembers how far the end was looked for. */
enum http_result http_request_parse(struct view bytes, size_t *scanned, struct http_head *head, struct err *err);
/* `to_method` is the method of the request that this answers: it decides whether there is a body. */
enum http_result http_response_parse(struct view bytes, size_t *scanned, struct view to_method, struct http_head *head,
				     struct err *err);
/* Borrowed value of the first such field, name in any case; at == NULL when absent. */
struct view http_head_field(const struct http_head *head, const char *name);
/* Is `token` in the comma-separated list that all fields of that name make? */
bool http_head_has(const struct http_head *head, const char *name, const char *token);

/* A token of RFC 9110 5.6.2; a field value without control bytes. */
bool http_token_valid(struct view text);
bool http_value_valid(struct view text);
const char *http_status_text(unsigned status);
/* A field name in the usual spelling, Like-This: some origins take no other. */
void http_name_write(struct buf *out, struct view name);

struct http_body {
	enum http_framing framing;
	uint64_t left; /* of the body, or of the chunk */
	unsigned state;
	unsigned line_bytes;
	unsigned trailer_bytes;
	unsigned size_digits;
	unsigned name_bytes; /* of the trailer that is coming in */
	char name[24];
	struct buf *trailers; /* where they are kept, for http_trailers_cut(); NULL: they are not */
};

void http_body_init(struct http_body *body, const struct http_head *head);
/* Takes what it can from the front of `bytes`: *used is how many bytes were of the body's framing, *data (within them) is content,
 * perhaps empty. HTTP_MORE: call again with the rest, or with more when nothing is left. HTTP_DONE: the body ended after *used. */
enum http_result http_body_feed(struct http_body *body, struct view bytes, size_t *used, struct view *data, struct err *err);
bool http_body_ended(const struct http_body *body);
/* The trailers that were kept, of a body that ended: names are made lower case in `text`, from which all borrow. Returns how many; those
 * beyond HTTP_FIELDS_MAX are left out. */
size_t http_trailers_cut(struct buf *text, struct http_field fields[HTTP_FIELDS_MAX]);

#endif
