/* dlp_priv: what the parts of the scanner share: compiled rules, a thread's scratch, and the way from bytes to findings. */
#ifndef ASSAY_GATEWAY_DLP_DLP_PRIV_H
#define ASSAY_GATEWAY_DLP_DLP_PRIV_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <hs/hs.h>
#include <pcre2.h>
#include <pthread.h>
#include <stdatomic.h>

#include "gateway/dlp/dlp.h"
#include "net/fingerprint.h"

#define RULE_WORDS_MAX 4096
#define RULE_WIDTH_MOST ((unsigned)DLP_HOLD_BACK)
#define VIEW_DEPTH_MAX 4

enum rule_check { CHECK_NONE, CHECK_MIXED, CHECK_LUHN, CHECK_CRC32_BASE62, CHECK_JWT, CHECK_KEY_BLOCK, CHECK_IBAN, CHECK_BASE64 };

struct rule {
	char id[DLP_RULE_ID_MAX];
	const char *title;
	const char *pattern; /* for Hyperscan and PCRE2 alike */
	pcre2_code *code;
	unsigned width; /* bytes that a match has at most, cut to RULE_WIDTH_MOST */
	unsigned group; /* whose text is the value */
	double entropy; /* bits for each byte of the value, at least */
	enum rule_check check;
	enum dlp_action action;
	size_t turn;           /* when it was read: what was said before is not about it */
	bool loose;            /* only in plain text: too common a form for texts that were pieced together */
	pcre2_code *allowed;   /* values that are none; NULL: none are named */
	const char **stops;    /* ends with NULL; a value with one of them is none */
	const char **keywords; /* ends with NULL; one of them must be near */
	const char **paths;    /* ends with NULL; patterns of the requests that it is for, none: all */
};

/* What is said of rules that are there: of those whose ids fit, in requests whose paths fit. */
struct amendment {
	size_t turn;
	const char *id;      /* a pattern: `*` stands for anything */
	const char **paths;  /* as a rule's */
	pcre2_code *allowed; /* values that are none; NULL: none are named */
	bool acts;
	enum dlp_action action; /* DLP_NONE: off */
};

struct dlp_rules {
	atomic_int references;
	uint64_t serial; /* which database a thread's scratch fits */
	struct rule *list;
	size_t count;
	struct amendment *amendments; /* later ones over earlier ones */
	size_t amendment_count;
	size_t turn;
	bool names; /* those that are read now are not to be used */
	bool paths; /* something depends on them */
	hs_database_t
		*database;   /* expression i is list[i]'s; the ones behind say that something is written backwards, or by rot13 */
	char **turned;       /* those: reversed prefixes, then rotated ones */
	size_t turned_count; /* of each kind */
	json_t *source;      /* owns the texts of the list */
};

/* Compiles, or takes from the cache, the database of `rules->list`. */
MUST_USE int rules_database(struct dlp_rules *rules, const char *cache_dir, struct err *err);
uint64_t database_serial(void);

#define THREAD_STREAMS 8

/* What a thread has for scanning; made at first use, freed with the thread. */
struct thread {
	hs_scratch_t *scratch;
	uint64_t fits[16]; /* serials of databases that the scratch fits */
	size_t fits_next;
	struct {
		uint64_t serial;
		hs_stream_t *stream; /* NULL: this place is free */
	} streams[THREAD_STREAMS];
	size_t streams_next;
	pcre2_match_data *match;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
};
struct thread *thread_get(void);
/* A stream at its beginning; NULL when there is no memory for it. To be given back by the same thread, with the serial of its database. */
hs_stream_t *thread_stream(uint64_t serial, const hs_database_t *database);
void thread_stream_put(uint64_t serial, hs_stream_t *stream, bool ended); /* NULL is fine; ended: it is at its beginning again */
/* NULL when there is no memory for it: what cannot be judged is refused. */
hs_scratch_t *thread_scratch(struct thread *thread, uint64_t serial, const hs_database_t *database);

/* The next value in text[from..until) that the rule describes and that is confirmed. */
struct span {
	size_t from, to;
};
#define CONFIRM_TRIES_MAX 512
double dlp_entropy(struct view value); /* bits for each byte */
bool rule_confirm(const struct rule *rule, struct view text, size_t from, size_t until, struct span *value, unsigned *tries);

/* Known secrets, as literals in one database. */
struct secrets {
	atomic_int references;
	uint64_t serial;
	hs_database_t *database;
	struct literal *literals;
	size_t literal_count;
	char **titles;
	size_t *sizes; /* bytes of each */
	bool words;    /* one is made of small letters alone */
	size_t count;
};
struct literal {
	uint16_t secret;
	uint16_t at; /* of a piece: where in the secret */
	uint16_t length;
	int8_t piece; /* -1: all of it; else which piece of the plain text */
	const char *view;
};
#define PIECES_MAX 64
struct secrets *secrets_new(const struct dlp_secret *list, size_t count, struct err *err);
void secrets_unref(struct secrets *secrets);

/* Values of the vault, by their fingerprints; immutable (known.c). */
#define PIECES_KEPT_MS ((int64_t)600000) /* pieces seen longer ago are forgotten */
#define PIECES_PERCENT 60                /* of a secret's bytes that make it a finding */
struct known;
struct known_hit {
	size_t value; /* which */
	const char *title;
	const char *view;
	size_t from, to;     /* in the text */
	bool part;           /* not all of it */
	size_t part_at;      /* then: where in the value */
	size_t value_length; /* and of how many bytes */
};
typedef void known_found(void *self, const struct known_hit *hit);
struct known_parts { /* of one value, as they were seen */
	uint64_t seen[FINGERPRINT_PARTS_MAX / 64];
	int64_t ms;
};
struct known *known_new(const struct dlp_known *list, size_t count);
struct known *known_ref(struct known *known);     /* NULL is fine */
uint64_t known_serial(const struct known *known); /* of these values, and of no others; NULL: 0 */
void known_unref(struct known *known);
/* Calls `found` for all that ends behind text[fresh], more than once for some. */
void known_search(const struct known *known, struct view text, size_t fresh, known_found *found, void *self);
struct known_parts *known_parts_new(const struct known *known); /* freed by free() */
bool known_part(struct known_parts *parts, const struct known_hit *hit, int64_t now_ms);

/* What is to be done about a value that a rule found and confirmed, in a request for `path` (NULL: not known); DLP_NONE: nothing. */
enum dlp_action rule_action(const struct dlp_rules *rules, const struct rule *rule, const char *path, struct view value);
bool rule_name_fits(const char *pattern, const char *text); /* `*` stands for anything */

/* One environment. */
#define RING_BYTES ((size_t)256)
#define RINGS_MAX 32
#define RING_PIECE_MOST ((size_t)16)

struct ring { /* the last short values of one field, over several requests */
	uint64_t key;
	uint64_t used;
	size_t length;
	char text[RING_BYTES];
};

#define HEADS_KEPT 8
struct head_seen {                      /* a head that had nothing */
	uint64_t rules, secrets, known; /* serials of what it was looked at by */
	size_t plain_bytes, pieced_bytes;
	char *text; /* both; NULL: none */
};

struct dlp {
	atomic_int references;
	pthread_mutex_t lock;
	struct dlp_rules *rules;
	struct secrets *secrets; /* NULL: none */
	/* What went out in pieces; of `secrets`. */
	uint64_t *pieces_seen; /* a bit for each piece of a secret */
	int64_t *pieces_ms;    /* when the last one was seen */
	struct known *known;   /* NULL: no values of the vault */
	struct known_parts *known_parts;
	struct ring rings[RINGS_MAX];
	uint64_t turn;
	struct head_seen heads[HEADS_KEPT];
	size_t heads_next;
};

/* Is it a head that had nothing, by the message's rules and secrets? It is one from now on. (heads.c) */
bool heads_had_nothing(const struct dlp_message *message, struct view plain, struct view pieced);
void heads_nothing_add(const struct dlp_message *message, struct view plain, struct view pieced);
void heads_fini(struct dlp *dlp);

/* A piece of a secret was seen; true when there are now enough of them to tell it. */
bool window_piece(struct dlp *dlp, const struct secrets *secrets, const struct literal *literal);
/* The same of a value of the vault. */
bool window_part(struct dlp *dlp, const struct known *known, const struct known_hit *hit);
/* Adds a short value; what was sent in its field so far is copied to `text`. */
size_t window_ring(struct dlp *dlp, const char *field, struct view name, struct view value, char text[RING_BYTES]);

/* One message */
struct carve;

/* A text that comes in pieces: looked at by the block, with what is needed of the one before it. */
#define NODE_BLOCK ((size_t)49152)
struct streams { /* NULL: not in use */
	hs_stream_t *rules, *known;
};
struct node {
	struct dlp_message *message;
	struct streams streams;
	char *text;    /* DLP_HOLD_BACK + NODE_BLOCK bytes, while something is kept; NULL after its end */
	size_t length; /* of text */
	size_t fresh;  /* where in it begins what was not looked at */
	uint64_t base; /* of text[0] in all that was fed */
	unsigned depth;
	const char *view;
	struct carve *carve;
};

#define LAYERS_MAX 2
struct dlp_message {
	struct dlp *dlp;
	struct dlp_rules *rules;
	struct secrets *secrets;
	struct known *known;
	enum dlp_where feeding;
	char *path; /* of the request; NULL: not known, or of no interest */
	enum dlp_action action;
	struct dlp_finding *findings; /* DLP_FINDINGS_MAX; NULL: none yet */
	size_t count;
	struct node body;
	struct inflater *layers[LAYERS_MAX]; /* in the order in which they are undone */
	size_t layer_count;
	int64_t view_budget;
	uint64_t inflated; /* bytes that came out of archives */
	unsigned members;
	uint64_t fed;
	uint64_t mark[2]; /* how much was fed when the last block was looked at, and the one before */
	bool unreadable;
	bool touched; /* something was found, or a piece of it */
	bool ended;
};

void node_init(struct node *node, struct dlp_message *message, unsigned depth, const char *view);
void node_fini(struct node *node);
void node_feed(struct node *node, struct view bytes);
void node_look(struct node *node, bool end); /* at all that was fed */

/* A whole text. `segments` says where its parts are from; NULL: all of it is `where`. */
struct segment {
	size_t from;
	enum dlp_where where;
};
struct look {
	struct view text;
	enum dlp_where where;
	const struct segment *segments;
	size_t segment_count;
	unsigned depth;
	const char *view; /* "plain" at the top */
	bool pieced;      /* rules that are loose do not count */
	bool whole;
	bool known_only;
};
void look_at(struct dlp_message *message, const struct look *look);

void dlp_finding_add(struct dlp_message *message, const struct dlp_finding *finding, struct view value);
/* One of the scanner's own: "unreadable", "too-much", "opaque-archive". */
void dlp_finding_own(struct dlp_message *message, const char *rule, const char *title, enum dlp_action action, const char *view);

/* Compressed streams inside of binary text: archives, packs, pictures, documents. */
void carve_feed(struct node *node, bool end);
void carve_free(struct carve *carve);

#endif
