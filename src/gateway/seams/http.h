/*
 * http: HTTP/1.1 through the gateway. Both directions pass the strict parser (http/codec.h) before a byte goes on; requests are taken one at
 * a time, so each response belongs to one request; every exchange is logged. What differs between a plain seam, the preview, the outside,
 * stubs and the tool API is a table of hooks.
 */
#ifndef ASSAY_GATEWAY_SEAMS_HTTP_H
#define ASSAY_GATEWAY_SEAMS_HTTP_H

#include "gateway/flow.h"
#include "http/codec.h"

enum http_verdict {
	HTTP_PASS,   /* the head goes to the server's leg, connected or not */
	HTTP_WAIT,   /* until http_seam_go or http_seam_answer */
	HTTP_ANSWER, /* http_seam_answer was called */
	HTTP_TAKE,   /* there is no server: `body` gets what the client sends, and answers; nothing counts as in flight meanwhile */
};

struct http_seam {
	struct flow *flow;
	const struct http_seam_hooks *hooks;
	void *self; /* the hooks' */
	struct buf input[2];
	size_t scanned[2];
	enum { REQUEST_HEAD, REQUEST_BODY, REQUEST_DONE } request_state;
	enum { RESPONSE_HEAD, RESPONSE_BODY, RESPONSE_DONE } response_state;
	struct http_body request_body;
	struct http_body response_body;
	struct exchange exchange;
	bool open;    /* an exchange is under way */
	bool counted; /* in the environment's in_flight */
	int64_t begun_us;
	bool keep_alive; /* the client means to go on */
	bool expect_continue;
	bool upgrade;       /* was asked for */
	bool waiting;       /* HTTP_WAIT */
	bool taken;         /* HTTP_TAKE */
	bool until_close;   /* the response ends with the server's end */
	bool upgraded;      /* raw from here on */
	bool response_sent; /* bytes of it went to the client */
	bool lose;          /* its response is not to come there (gateway/fault.h) */
	struct buf head;    /* of the request, as it goes to the server: kept for HTTP_WAIT and for a second try */
	struct buf answer;  /* our own, sent when the request is whole */
	bool answer_close;
};

struct http_seam_hooks {
	bool logged;
	bool owns_server;  /* the hooks drop and dial the server's leg; its end is not passed to the client */
	bool interim_bare; /* of answers before the answer only a 100 that was asked for goes on, without fields */
	/* Before an exchange begins: may set the flow's environment. May be NULL. */
	void (*enter)(struct http_seam *seam, const struct http_head *head);
	/* A request: writes the head for the server into `out` (nothing written: as it came), and what of the exchange is special. */
	enum http_verdict (*request)(struct http_seam *seam, const struct http_head *head, struct buf *out);
	/* After HTTP_TAKE: content as it comes, until it was answered; with `whole`, the last, it has to be. May be NULL. */
	void (*body)(struct http_seam *seam, struct view data, bool whole);
	/* A final response: writes the head for the client (nothing written: as it came). May be NULL. */
	void (*response)(struct http_seam *seam, const struct http_head *head, struct buf *out);
	/* The exchange is over and the next may come. May be NULL. */
	void (*done)(struct http_seam *seam);
	/* The server is lost with an exchange open and no byte of the response sent; true: dealt with. May be NULL. */
	bool (*lost)(struct http_seam *seam, const char *why);
	void (*release)(void *self); /* may be NULL */
};

extern const struct http_seam_hooks http_seam_plain; /* a seam between services */

/* Could the bytes be the beginning of a request? They do; they are too few to say. */
bool http_looks(struct view bytes);
bool http_looks_more(struct view bytes);
/* A whole response of text/plain. */
void http_plain_format(struct buf *out, unsigned status, const char *text, bool keep_alive);

void http_seam_begin(struct flow *flow, const struct http_seam_hooks *hooks, void *self);
struct http_seam *http_seam_of(struct flow *flow);         /* NULL when the flow is something else */
void http_seam_feed(struct flow *flow, struct view bytes); /* what the client sent before */
/* After HTTP_WAIT: the server's leg is there (or being connected); the head and what follows it are sent. */
void http_seam_go(struct http_seam *seam);
/* Answers instead of a server; instead of HTTP_PASS, or after HTTP_WAIT, or from `lost`. `headers` are lines "Name: value\r\n" or "".
 * `error` is what the log says (NULL: an answer as good as any, e.g. of a stub). */
void http_seam_answer(struct http_seam *seam, unsigned status, const char *headers, struct view body, const char *error);
/* Lines of the head but for those named in `drop` (NULL-terminated, lower case, "x-assay-" at its end stands for all that begin so). */
void http_fields_write(struct buf *out, const struct http_head *head, const char *const *drop);

#endif
