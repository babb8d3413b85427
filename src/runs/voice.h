/*
 * voice: how the trackers and chats outside that give work are spoken to, as a table: what differs between them, and nothing else. What they have in common is
 * thread.h (what is done about what comes in, what is said of a run), speak.c (how that is sent), token.h (who allowed it) and check.c.
 *
 * A new one is a file of its own with a struct voice, an inbox_source (inbox.h), its row in voice.c, and one of connection_kinds.
 */
#ifndef ASSAY_RUNS_VOICE_H
#define ASSAY_RUNS_VOICE_H

#include "runs/effect.h"
#include "runs/inbox.h"
#include "runs/thread.h"
#include "runs/token.h"

/* What one effect is about, while it is sent. */
struct speaking {
	struct runs *runs;
	struct thread thread;
	const struct outbox_effect *effect;
	const json_t *speech; /* thread.h */
	struct outbox_answer *answer;
};

/* An item with what its texts are borrowed from. */
struct voice_item {
	struct thread_item item;
	json_t *owned; /* an array of what it borrows from */
};
void voice_item_fini(struct voice_item *item);
#define AUTO_ITEM __attribute__((cleanup(voice_item_fini))) struct voice_item
void voice_item_keep(struct voice_item *item, json_t *json); /* stolen; until the item ends */

/* The speech's pictures, each brought by `upload` (`self` is the struct speaking) unless it was: [{"id", "name", "url"}], with "why" instead of "url" for
 * what will not be brought. Owned; only what may go better later fails, a few times. */
json_t *voice_pictures(struct speaking *speaking,
		       int (*upload)(void *self, const char *file, struct view bytes, char **url, struct err *err),
		       struct err *err);
/* It failed, and is not tried again: the words go without it. */
bool voice_picture_is_over(const struct speaking *speaking, const struct err *err);
/* As Markdown: those that could not be brought, and, with `shown`, the others, too. */
void voice_pictures_write(const json_t *pictures, bool shown, struct buf *text);

/* A word of thread.h, and who says it. */
struct voice_row {
	const char *say;
	int (*send)(struct speaking *speaking, struct err *err);
};
MUST_USE int voice_say(const struct voice_row *rows, size_t count, struct speaking *speaking, struct err *err);

/* What is said about a connection by its doctor (check.c). */
struct check;

struct voice {
	const char *kind; /* of the connection, of the effects */
	const struct token_ops *tokens;
	/* Is what happens one message that is changed, so that it is told whole each time (the thread's board)? */
	bool has_board;
	/* Says it: thought, action, ask, response, error, plan, links, state. Blocks; errors as of effects. An earlier try, whose answer was
	 * lost, may have happened (effect->tries): it is found, and not said again. */
	int (*say)(struct speaking *speaking, struct err *err);
	/* The item that the thread is about, as it is now. */
	int (*fetch)(struct speaking *speaking, struct voice_item *item, struct err *err);
	/* Its own guess of the repository; NULL: it has none. */
	int (*suggest)(struct speaking *speaking, char **repository, struct err *err);
	/* An issue that a person names here: kept, with a thread, as tracker_fetch() gives it. NULL without an error: this account does not
	 * have it. The member is NULL where issues have no names. */
	json_t *(*import)(struct runs *runs, const char *connection, const char *account, const char *name, const char *repository,
			  struct err *err);
	int (*check)(struct check *check, struct err *err);
};

extern const struct voice voice_linear, voice_jira, voice_slack;

const struct voice *voice_find(const char *kind); /* NULL: nobody outside speaks that way */

/* From any connection that has it; ERR_NOT_FOUND: none does. */
json_t *voice_import(struct runs *runs, const char *name, const char *repository, struct err *err);

/* ---- check.c: `what` is the thing, `how` what to do when it is not so; a note is not wrong ---- */

struct check {
	struct runs *runs;
	const struct connection *connection;
	json_t *items;
};

void check_say(struct check *check, const char *what, bool ok, bool note, const char *says, const char *how);
void check_setting(struct check *check, const char *key, bool set, const char *how);
/* Does a list of scopes, by commas or blanks, have one? */
bool check_scope(const char *scopes, const char *name);
/* Have deliveries come whose kind begins so? */
MUST_USE int check_deliveries(struct check *check, const char *kind, const char *title, bool note, const char *how,
			      struct err *err);
/* [{"account", "name", "self", "scopes"}]; says so when there is none. Owned by the caller. */
json_t *check_accounts(struct check *check, struct err *err);

#endif
