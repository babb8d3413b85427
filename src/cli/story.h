/*
 * story: the events of a run (doc/api.md) as they come, for people and for programs. On a terminal the step that runs is a panel that
 * is redrawn; what ended becomes lines above it. Elsewhere everything is lines, one an event; with JSON, the events themselves.
 */
#ifndef ASSAY_CLI_STORY_H
#define ASSAY_CLI_STORY_H

#include "cli/api.h"

enum story_form { STORY_PANEL, STORY_LINES, STORY_JSON };

/* assay run's exit codes */
enum story_exit { STORY_VERIFIED = 0, STORY_FAILED = 1, STORY_UNVERIFIED = 2, STORY_OTHER = 3 };

struct story_options {
	const char *program; /* "assay run" */
	enum story_form form;
	const char *until; /* a state that ends the story, besides done, failed and stopped; "": none. `review` counts only when it
				* came after the last message: then the message was dealt with */
	bool only_now;     /* begin with the state that the run is in, not with its first event */
};

/* Follows the run to its end, through restarts of the server. Ctrl-C detaches: says how to go on, and returns STORY_OTHER. On
 * failure (the server is gone for good) too, with one line on standard error. */
int story_follow(struct api *api, const char *run, const struct story_options *options);
/* Prints the story so far. */
MUST_USE int story_print(struct api *api, const char *run, const struct story_options *options, struct err *err);
/* "shop + lib": the run's repositories, owned by the caller. */
char *story_repositories(const json_t *run);
/* What the run (GET /runs/RUN) says as an exit code. */
int story_exit_code(const json_t *run);
/* Verdict, pull request, preview, what to do next: the last lines. Returns story_exit_code(). */
int story_conclude(struct api *api, const json_t *run);

#endif
