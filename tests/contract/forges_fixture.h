/* forges_fixture: code hosts for a test: the built-in forge, and others played by the fakes in tests/fakes, with a repository that has two branches. */
#ifndef ASSAY_TESTS_FORGES_FIXTURE_H
#define ASSAY_TESTS_FORGES_FIXTURE_H

#include "base/scope.h"
#include "forges/builtin.h"
#include "forges/remote.h"

#define SIDE_NAME "acme/tiny"
#define SIDE_HOOK "http://127.0.0.1:9/hooks/c1"

struct side {
	const char *name;
	const char *kind;  /* of the connection, and the fake's file; NULL: built in */
	const char *below; /* where its API is below its address; NULL: there */
	const char *login; /* what we are called there */
	struct forge builtin;
	struct store *store;
	struct remote remote;
	struct remote_told told;
	struct err err;
	char root[64];
	char *base; /* "http://127.0.0.1:PORT" */
	int pid_fd;
	int life; /* the fake ends when this does */
	struct git_hash main, topic, other;
	int64_t number;  /* side_open: of the pull request of `topic` */
	char thread[64]; /* side_thread: of a reviewer's comment on it */
};

enum { SIDE_BUILTIN, SIDE_GITHUB, SIDE_ENTERPRISE, SIDE_GITLAB, SIDE_GITEA, SIDE_COUNT };
extern struct side sides[SIDE_COUNT];

bool side_begin(struct side *side); /* false: what it needs is not there */
void side_end(struct side *side);
void side_reset(struct side *side); /* nothing but the repository is there */

void side_good(struct side *side, int status); /* fails the test with the error's text */
void side_unwrong(struct side *side);          /* fails the test with what the fake found wrong in what it was asked */
const char *side_head(struct side *side, const char *branch); /* borrowed */

/* What a person does there, and what is there; owned. */
json_t *side_act(struct side *side, const char *what, const char *format, ...) __attribute__((format(printf, 3, 4)));
json_t *side_seen(struct side *side);
size_t side_count(const json_t *seen, const char *list, const char *key, const char *value);
const json_t *side_find(const json_t *seen, const char *list, const char *key, const char *value);

int64_t side_pull_put(struct side *side, const struct remote_pull *pull, int64_t number);
int side_pull_try(struct side *side, const struct remote_pull *pull);
json_t *side_pull_get(struct side *side, int64_t number);
int side_pull_close(struct side *side, int64_t number, struct err *err);
int side_pull_merge(struct side *side, int64_t number, const char *head, struct err *err);
/* How many writes the host got when the same was put again. */
int64_t side_writes_of_same(struct side *side, const struct remote_pull *pull);
int side_push(struct side *side, const char *from, const char *branch, struct err *err);
/* Where the branch is what `over` is here. */
int side_push_over(struct side *side, const char *from, const char *branch, const char *over, struct err *err);

void side_open(struct side *side);
json_t *side_review(struct side *side, const char *by, const char *first, const char *second);
void side_thread(struct side *side);

#endif
