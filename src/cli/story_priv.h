/* A story as it is told: what its events changed, and the panel that shows it. */
#ifndef ASSAY_CLI_STORY_PRIV_H
#define ASSAY_CLI_STORY_PRIV_H

#include <pthread.h>

#include "cli/story.h"
#include "cli/terminal.h"

#define SERVICES_SHOWN 16
#define STEP_WIDTH 9

struct service {
	char *name;
	int64_t ms; /* -1: it starts */
};

struct story {
	struct story_options options;
	pthread_mutex_t mutex;
	int64_t seq;
	int64_t history; /* the last state before we began to look: an end before it is none */
	bool ended;
	bool stop; /* the drawing thread ends */

	/* The step that runs now; what it shows. */
	char *step;
	char *detail;
	int64_t started_ms;
	json_t *plan;
	struct service services[SERVICES_SHOWN];
	size_t service_count;
	size_t finding_count;
	char *thought;
	char *action;
	char *gate;
	char *said; /* the agent's last message */
	int drawn;  /* lines of the panel that are on the screen */
	unsigned frame;
};

/* ---- story_panel.c ---- */

const char *story_text(const json_t *object, const char *key); /* "" when it is absent */
const char *story_mark(const char *status, enum tone *tone);
char *story_took(int64_t ms); /* "" when it is negative; owned by the caller */
void story_panel_clear(struct story *story);
void *story_panel_main(void *self); /* the thread: draws until story->stop */

#endif
