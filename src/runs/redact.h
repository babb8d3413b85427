/*
 * redact: takes secrets that are known out of a stream, whatever its pieces, before anything of it is kept or shown. A secret becomes
 * "[NAME]". Only what stands there as it is: an agent that encodes what it knows is the gateway's business.
 */
#ifndef ASSAY_RUNS_REDACT_H
#define ASSAY_RUNS_REDACT_H

#include "base/buf.h"
#include "blueprint/blueprint.h"

struct redactor;

struct redactor *redactor_new(void);
/* Values of variables whose names say that they are secret; those of fewer than 8 bytes are none. */
void redactor_add(struct redactor *redactor, const struct variables *variables);
/* Appends what is certain by now to `out`; the rest waits for more bytes, or for the end. */
void redactor_feed(struct redactor *redactor, struct view bytes, struct buf *out);
void redactor_end(struct redactor *redactor, struct buf *out);
void redactor_free(struct redactor *redactor);

#endif
