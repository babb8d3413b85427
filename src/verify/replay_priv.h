/* What the replay of a session and the script of one of its requests share. */
#ifndef ASSAY_VERIFY_REPLAY_PRIV_H
#define ASSAY_VERIFY_REPLAY_PRIV_H

#include "verify/replay.h"

/* Where in an answer a value stands. */
enum place { PLACE_JSON, PLACE_COOKIE, PLACE_HEADER, PLACE_TEXT };

struct source {
	size_t entry;
	enum place place;
	json_t *path; /* JSON: keys and indexes; cookie, header: its name; text: what stands before */
	bool number;
};

struct link {
	size_t to;
	struct source source;
	char *value; /* as recorded */
};

struct replay {
	char *name;
	json_t *entries; /* [{"request", "response"}], as calls (verify/call.h) */
	json_t *left_out;
	struct link *links;
	size_t link_count;
};

bool replay_token_char(char c);
size_t replay_run_end(struct view text, size_t at, bool (*is)(char c));
/* Sets "body" when the bytes are text, else "body64". */
void replay_body_set(json_t *message, struct view bytes);

#endif
