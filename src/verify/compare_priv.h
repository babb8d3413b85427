/* What the layers of the comparison share: the place at work, the noise learned so far, and one way to report. */
#ifndef ASSAY_VERIFY_COMPARE_PRIV_H
#define ASSAY_VERIFY_COMPARE_PRIV_H

#include "verify/compare.h"
#include "verify/fields.h"
#include "verify/finding.h"

struct comparison {
	const json_t *base;
	const json_t *again;
	struct compare_options options;
	json_t *noise;    /* place \n layer \n path -> class */
	json_t *unstable; /* endpoint -> reason */
};

/* How bad a kind of difference is among those of one severity: what is told first. */
enum weight {
	WEIGHT_ANSWER = 100, /* no answer, another status */
	WEIGHT_FAILS = 90,   /* a call below fails */
	WEIGHT_OUTSIDE = 84, /* calls to the outside */
	WEIGHT_LEAK = 82,    /* a secret where others read */
	WEIGHT_EFFECT = 80,  /* rows, what the outside is told */
	WEIGHT_MANY = 75,    /* many calls instead of one */
	WEIGHT_SHAPE = 70,   /* a field gone, another type */
	WEIGHT_LOG = 68,     /* an error that was not there */
	WEIGHT_LOST = 66,    /* a header or parameter that is not passed on */
	WEIGHT_SEAM = 65,
	WEIGHT_VALUE = 60,
	WEIGHT_HEADER = 50,
	WEIGHT_SLIGHT = 10,
};

enum layer { LAYER_BODY, LAYER_HEADER, LAYER_COOKIE, LAYER_SEAM, LAYER_OUTBOUND, LAYER_ROWS, LAYER_KEYS, LAYER_LOG };

struct judge {
	const struct comparison *comparison;
	json_t *noise;            /* set while learning: what is reported is learned instead */
	json_t *findings;         /* set while judging */
	const json_t *base_entry; /* of the request at work, or NULL: the whole run */
	const json_t *head_entry;
	size_t at;         /* which one they are */
	const char *place; /* endpoint, or what the rows are of */
	enum layer layer;
	const char *within; /* seam: which call and which part of it; rows: the table; "" */
	bool shape_only;    /* values may differ: only fields that are gone or of another type are reported */
	bool soft;          /* answers of 4xx: the wording of a message only warns */
};

/* Compares two values of the layer at work: learns or reports. */
void judge_values(struct judge *judge, const json_t *expected, const json_t *got);
const json_t *judge_noise(const struct judge *judge, const char *path);
void judge_learn(struct judge *judge, const char *path, const json_t *expected, const json_t *got);
/* Reports at the place at work, with request and trees. */
void judge_report(struct judge *judge, const char *kind, const char *path, enum severity severity, int weight,
		  const json_t *expected, const json_t *got, const char *format, ...) PRINTF_LIKE(8, 9);

void judge_seams(struct judge *judge, const json_t *base_seams, const json_t *head_seams, bool answered_alike);
/* How the calls of the request at work hang together: errors that are hidden or grow, what is done after an error (compare_cascades.c). */
void judge_cascades(struct judge *judge);
/* What is written in one transaction, and what is told while one is open (compare_order.c). */
void judge_order(struct judge *judge, const json_t *base_seams, const json_t *head_seams);
/* "catalog answers front GET /products/:id otherwise: price_cents 100 → 90.5": where in the call tree the first difference is; "" */
void judge_first_difference(struct judge *judge, struct buf *out);
void judge_logs(struct judge *judge, const json_t *head);
void judge_rows(struct judge *judge, const json_t *base_rows, const json_t *head_rows, size_t requests);

#endif
