/* What a snapshot's making shares: the plan, and what is to be loaded. */
#ifndef ASSAY_SANDBOX_SNAPSHOT_PRIV_H
#define ASSAY_SANDBOX_SNAPSHOT_PRIV_H

#include "base/digest.h"
#include "sandbox/environment_priv.h"

#define LOAD_LIMIT_MS (6 * 3600000)

/* One thing to load, in order. */
struct load {
	struct member *database; /* NULL: a shell line or script that may write to any */
	char *label;             /* for people: the file's name, the line, the URL without its password */
	int fd;                  /* a file's bytes, or a script's; -1 for a line */
	char *line;
	enum engine_form form;
	bool real; /* a dump, a running server: what people's lives left in it */
	struct digest digest;
};

struct plan {
	struct environments *all;
	struct environment *builder;
	struct progress progress;
	const char *name;
	const struct blueprint *blueprint; /* whose masks hold; NULL: the builder's own */
	struct load *loads;
	size_t count;
	json_t *leaks; /* of each database, remarked upon */
};

/* ---- snapshot_source.c ---- */

struct load *plan_load_add(struct plan *plan, struct member *database, const char *label);
int64_t plan_step_begin(const struct plan *plan, const char *verb, const char *name);
void plan_step_end(const struct plan *plan, const char *verb, const char *name, int64_t began_ms);
/* A seed that the blueprint names: a file of the commit, or "exec:" and a shell line. */
MUST_USE int plan_seed_add(struct plan *plan, struct member *member, const char *seed, struct err *err);
/* What a person named. */
MUST_USE int plan_sources_add(struct plan *plan, const struct snapshot_source *sources, size_t count, struct err *err);

/* ---- snapshot_mask.c ---- */

bool plan_changes(const struct plan *plan, const struct member *member); /* is anything in it to be replaced or left out? */
/* Subset, then masks. */
MUST_USE int database_mask(struct plan *plan, struct member *member, struct err *err);
/* ERR_DENIED: real data without a rule, by column, kind and count, and the lines that mend it. */
MUST_USE int database_scan(struct plan *plan, struct member *member, struct err *err);
void plan_mask_note(const struct plan *plan, const struct member *member, json_t *meta);
void plan_mask_digest(const struct plan *plan, struct buf *recipe);

#endif
