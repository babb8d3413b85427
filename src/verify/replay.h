/*
 * replay: a recorded session sent again. What a recorded answer gave and a later request used (a token, a session cookie, the id of
 * what was made) is learned from the recording; at replay the live value takes its place. What the client itself invented is sent as it
 * was. A value that the live answer still gives is left alone, so that another order of a list does not lead elsewhere.
 */
#ifndef ASSAY_VERIFY_REPLAY_H
#define ASSAY_VERIFY_REPLAY_H

#include "base/json.h"
#include "http/har.h"

#define REPLAY_VALUE_MIN ((size_t)12) /* shorter texts are links only as cookies and as ids in paths */
#define REPLAY_LINKS_MAX ((size_t)5000)
#define REPLAY_STEPS_MAX 12
#define REPLAY_BODY_MAX ((size_t)8 << 20)

struct replay;

/* Learns the links of a session's requests at the preview; other exchanges of it are left out. `name` is for reports. */
struct replay *replay_new(const struct session *session, const char *name);
void replay_free(struct replay *replay);
/* Leaves the requests from `count` on away. */
void replay_cut(struct replay *replay, size_t count);
size_t replay_count(const struct replay *replay);
/* [{"from": entry, "to": entry, "where": "token" | "Set-Cookie sid" | …}]: what was learned. Owned by the caller. */
json_t *replay_links(const struct replay *replay);
/* Placeholders of secrets in requests that no answer of the session gives: [text], each once. Owned by the caller. */
json_t *replay_hidden(const struct replay *replay);
/* Requests that cannot be replayed (streams, upgrades): lines for people. Borrowed. */
const json_t *replay_left_out(const struct replay *replay);

/* The request at `index` as it must be sent now, given the entries of this session that were replayed so far ([{"response"}…], in order):
 * {"method", "url": path and query, "headers": [[name, value]…], "body" | "body64"}. Owned by the caller. */
json_t *replay_request(const struct replay *replay, size_t index, const json_t *entries);

/* What the request at `index` stands on: itself, values that it needs, and what changed something before, of which only the last
 * REPLAY_STEPS_MAX. `steps` has a place for each request, all false. */
void replay_steps(const struct replay *replay, size_t index, bool *steps);

/* Shell commands for a sandbox that come to the request at `index`: what was changed before it, and where its tokens come from, then the
 * request itself, in one line. `service` is the one behind the preview. With `alone` only the request, as recorded. */
void replay_script(const struct replay *replay, size_t index, const char *service, bool alone, struct buf *out);

/* A copy of such a request that is no repetition of it: with other keys against doing twice, by `number`. Owned by the caller. */
json_t *replay_request_of_its_own(const json_t *request, int number);

struct replay_target {
	const char *url;       /* of the preview: "http://e….localhost:7421/" */
	int64_t timeout_ms;    /* of one request */
	const json_t *secrets; /* {placeholder: value}, put in as it is sent: the entry keeps the placeholders; NULL: none */
};

/* Where to connect to for a URL of the preview: names below localhost are ours, and need no resolver. NULL: as the URL says. Owned by the
 * caller. */
char *replay_connect_place(const char *url);
/* Sends it. The entry (verify/compare.h) is owned by the caller; failing to get an answer is an entry with "error". */
json_t *replay_send(const struct replay *replay, size_t index, const json_t *request, const struct replay_target *target);

#endif
