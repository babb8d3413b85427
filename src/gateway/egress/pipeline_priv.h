/* pipeline_priv: what the files of a pipeline share: its life (pipeline.c), its stages (stages.c), what comes back (answer.c). */
#ifndef ASSAY_GATEWAY_EGRESS_PIPELINE_PRIV_H
#define ASSAY_GATEWAY_EGRESS_PIPELINE_PRIV_H

#include "gateway/egress/pipeline.h"
#include "gateway/egress/upstream.h"

/* ---- life ---- */

void pipeline_ended(struct pipeline *pipeline,
		    const char *error); /* nothing more will come of it: logged, gone at the end of the turn */
void pipeline_count_set(struct pipeline *pipeline, bool counted); /* is it among what the environment waits for? */
void pipeline_usage_tell(struct pipeline *pipeline);              /* what its calls to models used since the last time */
char *pipeline_url(const struct egress_request *request);         /* owned by the caller */

void pipeline_held_count(struct pipeline *pipeline, size_t bytes); /* so much it keeps of its body now */

/* ---- form ---- */

bool pipeline_trailer_is_kept(struct view name);
void pipeline_trailers_keep(struct pipeline *pipeline, const struct egress_field *fields, size_t count); /* those that may go */

/* ---- stages ---- */

void pipeline_stages_run(struct pipeline *pipeline);
/* Asks the host, with what is held of the body. `fresh`: over a new connection. */
bool pipeline_upstream_begin(struct pipeline *pipeline, bool fresh);

/* ---- what comes back ---- */

extern const struct upstream_asker pipeline_asker;

void pipeline_verdict_set(struct egress_verdict *verdict, unsigned status, const char *rule, const char *why, const char *remedy);
void pipeline_rule_note(struct pipeline *pipeline);
void pipeline_refused(struct pipeline *pipeline); /* the verdict, as a whole answer; the pipeline is over then */
void pipeline_answer_break(
	struct pipeline *pipeline); /* the host is let go, and the client told the verdict as well as it still can be */
/* What the scan lets go of the body, with the credentials that rules put in it. */
void pipeline_body_pass(struct pipeline *pipeline, struct view bytes, bool last, bool refused);
void pipeline_body_idle(struct pipeline *pipeline); /* nothing more of the body has come for a while */

#endif
