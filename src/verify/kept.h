/*
 * kept: runs of a base, kept for a short while for the next attempt: they are the same for every head, and half the work. What depends on
 * the time of day must not differ, so they do not grow old.
 */
#ifndef ASSAY_VERIFY_KEPT_H
#define ASSAY_VERIFY_KEPT_H

#include "verify/ladder.h"

/* The file for runs of this base, blueprint and snapshot, `parts` (what else they depend on) and what they are of; NULL: none are kept. Owned by the
 * caller. */
char *kept_path(const struct ladder *ladder, const char *what, struct view parts);
/* False when there is nothing, or it is too old. The runs are owned by the caller. */
bool kept_read(const struct ladder *ladder, const char *path, json_t **base, json_t **again);
/* A failure is logged only. */
void kept_write(const struct ladder *ladder, const char *path, json_t *base, json_t *again);

#endif
