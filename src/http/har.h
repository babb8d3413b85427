/*
 * har: sessions in files, HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/): reads what we, browsers and other proxies write,
 * and writes what they can read. Our fields are under `_seam` of each entry.
 */
#ifndef ASSAY_HTTP_HAR_H
#define ASSAY_HTTP_HAR_H

#include "http/exchange.h"

#define HAR_BYTES_MAX ((size_t)64 << 20)
#define HAR_ENTRIES_MAX 20000
#define HAR_BODY_BYTES_MAX ((size_t)8 << 20)

struct session {
	struct exchange *at;
	size_t count;
};

void session_fini(struct session *session);
#define AUTO_SESSION __attribute__((cleanup(session_fini))) struct session
/* Takes what `exchange` owns. */
void session_add(struct session *session, struct exchange *exchange);

/* Entries in order of startedDateTime where all have one. Errors name the entry: "entry 3: request.url must be a string". */
MUST_USE int har_parse(struct view text, struct session *session, struct err *err);
/* http exchanges become plain entries; postgres, redis and tcp rows become entries whose request is only in `_seam`. */
void har_format(struct buf *out, const struct session *session);

#endif
