/* web_priv: what the files of src/web share: a route's row, a call, and work that goes on after the handler. */
#ifndef ASSAY_WEB_WEB_PRIV_H
#define ASSAY_WEB_WEB_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/digest.h"
#include "http/har.h"
#include "http/server.h"
#include "runs/runs.h"
#include "sandbox/environment.h"
#include "web/web.h"

#define TOKEN_HEX 64
#define BODY_BYTES_MAX ((size_t)4 << 20)
#define TEXT_BYTES_MAX ((size_t)1 << 20)
#define LINE_BYTES_MAX ((size_t)500)
#define WORKERS_MAX 1024 /* long operations and terminals at once; each is a thread that mostly waits */
#define ITEMS_DEFAULT 100
#define ITEMS_MAX 100000
#define EXCHANGES_BYTES_MAX ((size_t)128 << 20)

/* Who may call a row. Pages come over TCP; the command line over the Unix socket may do everything a page may. */
enum who {
	WHO_PAGE = 1,
	WHO_CLI = 2,
	WHO_TOOL = 4,   /* a workspace, through the gateway, on its own socket */
	WHO_ANYONE = 8, /* who has not signed in, too */
};
#define WHO_PERSON (WHO_PAGE | WHO_CLI)

struct web;
struct call;
struct store_tx;
struct watch; /* web/watch.h */
struct told;

enum field_kind {
	FIELD_LINE,   /* a text of one line, not blank, at most LINE_BYTES_MAX */
	FIELD_TEXT,   /* at most TEXT_BYTES_MAX, may be empty */
	FIELD_NUMBER, /* not negative */
	FIELD_FLAG,
	FIELD_OBJECT,
	FIELD_LIST,
};

/* A member of a request's body. */
struct field {
	const char *name;
	enum field_kind kind;
	bool required;
};

/* A parameter of a request's query; the type as in openapi.h. */
struct query {
	const char *name;
	const char *type;
};

#define FIELDS_MAX 10
#define QUERIES_MAX 12

/* What a caller must be at least; each may do what those before it may. */
enum role {
	ROLE_VIEWER,    /* reads */
	ROLE_DEVELOPER, /* gives work, and touches environments */
	ROLE_APPROVER,  /* lets code in and requests out */
	ROLE_ADMIN,     /* credentials, policy, programs, the server */
};

struct row {
	const char *method;
	const char *pattern;
	/* The answer, owned by the caller; NULL with err, or NULL when the call was answered by other means (call->answered). */
	json_t *(*handle)(struct call *call, struct err *err);
	unsigned who;
	enum role role;
	struct field fields[FIELDS_MAX]; /* of the body: everything else in it is refused; those of no name end the list */
	/* A shape of openapi.h, a list of one, "bytes TYPE", "stream SHAPE", "events", "upgrade" or "{}". NULL: not of the API. */
	const char *answers;
	bool secret;                     /* the answer has one: it is not kept (again.c) */
	const char *does;                /* a line for the document; NULL: not in it */
	size_t raw_bytes_max;            /* the body is bytes for the handler, at most so many; 0: it is JSON, as `fields` say */
	struct query query[QUERIES_MAX]; /* with `answers`, any other is refused; those of no name end the list */
	/* In place of `handle`, for a row that is none of the API: all that wait are answered together; what is not answered has an error. */
	void (*handle_all)(struct call *const *calls, struct err *const *errors, size_t count);
};

/* A server with its rows: the main one, and the tools'. */
struct surface {
	struct web *web;
	struct http_server *server;
	const struct row *rows;
	size_t row_count;
	struct http_route *routes;
};

#define METRIC_CLASSES 6
#define METRIC_BUCKETS 7

/* What metrics.c counts of every answer. */
struct metrics {
	atomic_llong answers[METRIC_CLASSES]; /* by the first digit of the status */
	atomic_llong below[METRIC_BUCKETS];   /* as long as the bucket or shorter */
	atomic_llong total_ms;
};

#define RATE_ROWS 1024
#define RATE_WAYS 4

/* rate.c: who asked how often. */
struct rate {
	pthread_mutex_t mutex;
	struct rate_bucket {
		uint64_t who; /* a hash */
		double left;
		int64_t seen_ms;
	} buckets[RATE_ROWS * RATE_WAYS];
};

struct web {
	struct web_options options;
	struct metrics metrics;
	struct rate rate;
	char *state_dir;
	char *preview_base;
	char *preview_domain; /* or NULL */
	char *pages_url;      /* or NULL */
	char base[64];        /* http://127.0.0.1:PORT */
	int port;
	char token[TOKEN_HEX + 1]; /* a new one for each start */
	int64_t started_ms;
	struct surface main;
	struct surface tools;
	atomic_int calls;
	atomic_bool closing;
	pthread_mutex_t mutex;
	pthread_cond_t idle;
	int workers;
	struct job *jobs; /* that run */
	struct watch *events, *logs;
	struct told *told; /* of the events' thread (follow.c) */
};

#define CALLER_NAME_MAX 64

/* What somebody is known by. */
enum known_by {
	KNOWN_BY_PLACE, /* being at this machine */
	KNOWN_BY_TOKEN,
	KNOWN_BY_SESSION, /* of a cookie */
};

/* Who calls: the person at this machine, or who holds a token. */
struct caller {
	enum role role;
	char name[CALLER_NAME_MAX];
	bool token;
	enum known_by known_by;
	struct digest secret; /* of the token, or of the session's */
};

struct call {
	struct web *web;
	struct caller caller;
	const struct http_request *request;
	struct http_reply *reply;
	json_t *body; /* an object; {} when none was sent */
	bool answered;
};

void metrics_count(struct metrics *metrics, unsigned status, int64_t ms); /* metrics.c; any thread */

/* access.c */
bool access_judge(void *self, const struct http_request *request, struct http_reply *reply); /* http_server_spec.before */
MUST_USE int access_caller(struct call *call, const struct row *row, struct err *err);       /* sets call->caller */
/* Is the caller who it was when it was judged: is its token, or its session, there and not over? */
MUST_USE int access_lasts(struct store_tx *tx, const struct caller *caller, int64_t now_ms, bool *lasts, struct err *err);

/* session.c: secrets of a session out of it, before anybody sees it; `keep_values`: so that it can be replayed. */
MUST_USE int session_clean(const struct call *call, struct session *session, const json_t *keep, bool keep_values, struct err *err);
/* session.c: what sessions need to be sent: {placeholder: value}, {} when there is nothing or it cannot be had. Owned by the caller. */
json_t *session_values(const struct web *web);

/* rate.c. -1: too many, and the call is answered. */
MUST_USE int rate_caller(struct call *call, struct err *err);
/* Of who turned out to be nobody. */
MUST_USE int rate_refused(struct call *call, struct err *err);

/* again.c: the same request again. */
struct again {
	bool begun;
	struct digest key, body;
};
bool again_fits(const struct row *row); /* can its answer be given again? */
/* -1: the call is answered as it was before, or there is an error. */
MUST_USE int again_begin(struct call *call, const struct row *row, struct again *again, struct err *err);
/* NULL: it failed, and made nothing. */
MUST_USE int again_end(const struct call *call, const struct row *row, const struct again *again, const json_t *answer,
		       struct err *err);

/* signin.c: a session of somebody who is no token; sets its cookie. */
MUST_USE int session_person(struct call *call, const char *name, const char *role, struct err *err);
/* signin.c: who has the session of the request's cookie. ERR_DENIED: nobody. */
MUST_USE int session_judge(const struct call *call, struct caller *caller, struct err *err);
/* signin.c: whose the session of caller->secret is. */
MUST_USE int session_find(struct store_tx *tx, struct caller *caller, int64_t now_ms, bool *found, struct err *err);

/* signin_oidc.c: a page with one sentence; one of status 200 goes on to `to` by itself. Answers; returns NULL. */
json_t *sentence_answer(struct call *call, unsigned status, const char *text, const char *to, const char *link);

/* token.c */
MUST_USE int role_parse(const char *name, enum role *role, struct err *err);
const char *role_name(enum role role);
/* Who holds the token of an `Authorization` header. ERR_DENIED: nobody. */
MUST_USE int token_judge(const struct call *call, const char *authorization, struct caller *caller, struct err *err);
/* Whose the token of caller->secret is. */
MUST_USE int token_find(struct store_tx *tx, struct caller *caller, int64_t now_ms, bool *found, struct err *err);

/* request.c */
bool call_is_safe(const struct call *call);          /* people reach the pages by https */
struct store *call_store(const struct call *call);   /* borrowed */
const char *request_author(const struct call *call); /* who a message, a review or an answer is by */
MUST_USE int request_body_take(struct call *call, const struct field *fields, struct err *err);
MUST_USE int request_query_check(const struct call *call, const struct row *row, struct err *err);
MUST_USE int request_number(const struct call *call, const char *param, int64_t *number, struct err *err);
MUST_USE int request_query(const struct call *call, const char *name, int64_t fallback, int64_t most, int64_t *number,
			   struct err *err);
bool request_wants(const struct call *call, const char *name); /* ?name=1 */
MUST_USE int request_run(const struct call *call, struct run_id *id, struct err *err);
MUST_USE int request_environment(const struct call *call, struct env_id *id, struct err *err);
json_t *request_bytes(struct call *call, const char *content_type, struct view bytes); /* answers; returns NULL */
json_t *items_of(json_t *array); /* {"items": array}; takes it; NULL gives NULL */

/* list.c: what a list is asked for by ?limit=&after=&state=&repository=&agent=&text=&asks=, those that its row has. */
struct list_words {
	struct list_ask ask;
	char *texts[4];
};
void list_words_free(struct list_words *words);
#define AUTO_LIST_WORDS __attribute__((cleanup(list_words_free))) struct list_words
/* `states` are the words that a state may be, NULL-terminated; a name before "=" stands for the words behind it. */
MUST_USE int list_words_take(const struct call *call, const char *const *states, struct list_words *words, struct err *err);

/* environments.c: all exchanges of an environment that are kept, as lines, the oldest first. */
MUST_USE int exchanges_read(struct environments *environments, struct env_id env, struct buf *lines, struct err *err);

/* work.c: threads for what outlives a handler */
MUST_USE int web_work(struct web *web, void (*function)(void *self), void *self, struct err *err);

/* Long work whose steps are told as they come: `progress` events, then `done` with what the work gives, or `error`. The call is
 * answered. `work` runs on a thread of its own; body and env are kept for it. */
struct job {
	struct web *web;
	struct job *next, **place; /* of web->jobs */
	struct http_stream *stream;
	json_t *body;
	struct env_id env;
	bool cancelled; /* the client left, or the server ends */
	json_t *(*work)(struct job *job, struct progress progress, struct err *err);
};
json_t *work_stream(struct call *call, const struct env_id *env,
		    json_t *(*work)(struct job *job, struct progress progress, struct err *err), struct err *err);

/* Streams of what happens (follow.c) */
json_t *run_events(struct call *call, struct err *err);
json_t *all_events(struct call *call, struct err *err);
json_t *environment_log(struct call *call, struct err *err);
struct told *told_new(void);
void told_free(struct told *told);

json_t *environment_terminal(struct call *call, struct err *err); /* terminal.c */

/* Rows by subject */
extern const struct row signin_oidc_rows[], signin_preview_rows[];
extern const size_t signin_oidc_row_count, signin_preview_row_count;
extern const struct row run_rows[], environment_rows[], session_rows[], egress_rows[], audit_rows[], server_rows[], token_rows[],
	signin_rows[], metric_rows[], connection_rows[], delivery_rows[], policy_rows[], tool_rows[], page_rows[];
extern const size_t run_row_count, environment_row_count, session_row_count, egress_row_count, audit_row_count, server_row_count,
	token_row_count, signin_row_count, metric_row_count, connection_row_count, delivery_row_count, policy_row_count,
	tool_row_count, page_row_count;

/* pages.c, made from web/ by embed.c */
struct page {
	const char *path;
	const char *type;
	const char *etag; /* quoted */
	const unsigned char *bytes;
	size_t length;
};
extern const struct page pages[];
extern const char page_version[]; /* of all of them: another one when any has changed */
extern const size_t page_count;

#endif
