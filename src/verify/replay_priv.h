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
	json_t *inner; /* where in what the value stands for, decoded (session/coded.h): keys and indexes, none for all of it; NULL: it is itself */
	bool number;
};

struct link {
	size_t to;
	struct source source;
	char *value; /* as recorded */
	bool coded;  /* it stands in the request's base64 */
	char *key;   /* number: the field of the body that it stands in, too; NULL: in none */
};

struct replay {
	char *name;
	json_t *entries; /* [{"request", "response"}], as calls (verify/call.h) */
	json_t *left_out;
	struct link *links;
	size_t link_count;
};

/* Is a number under this key the name of a thing? */
bool replay_names_id(const char *key);
/* A value of a JSON by keys and indexes; NULL: there is none. Borrowed. */
const json_t *replay_follow(const json_t *at, const json_t *path);
bool replay_token_char(char c);
size_t replay_run_end(struct view text, size_t at, bool (*is)(char c));
/* Sets "body" when the bytes are text, else "body64". */
void replay_body_set(json_t *message, struct view bytes);

#endif
