/*
 * outside: what is elsewhere in a world whose tracker is Linear or whose forge is GitHub: what those keep, what they answer, what their people do and
 * what they tell us of it by webhooks. They fail in every way that their documentation names, and check what they are asked.
 */
#ifndef ASSAY_TESTS_SIM_OUTSIDE_H
#define ASSAY_TESTS_SIM_OUTSIDE_H

#include "http/client.h"
#include "http/webhook.h"
#include "product.h"
#include "runs/token.h"

#define HOOKS_MAX 1024
#define HOOK_TRIES 4 /* of a delivery; the next one reaches us: then nobody would try again */

/* A webhook, with what its sender does about one that did not arrive. */
struct hook_sim {
	char id[40];
	char event[40]; /* "": it is Linear's */
	json_t *body;
	int64_t due_ms;
	int64_t tried_ms;
	int tries;
	unsigned status; /* of the last try; 0: there was none */
	bool waits;      /* it is to be sent */
};

struct outside_sim {
	bool github, linear;
	char github_id[32], linear_id[32]; /* connections */
	struct hook_sim hooks[HOOKS_MAX];
	int hook_count;
	int doubles; /* notes, checks and deployments that are there twice */
	int refused; /* requests */
};

extern struct outside_sim outside;

/* ---- outside.c ---- */
void outside_begin(void);
void outside_end(void);
/* Work is given: "mail N" by GitHub or by Linear; false: this world has neither, or chose a letter. */
bool outside_give(int nth);
void outside_act(void);                        /* a person there does something */
void outside_deliver(struct plane_sim *plane); /* a webhook comes, or does not */
bool outside_is_over(void);                    /* no webhook is on its way, or may be asked for again */
void outside_check(void);                      /* at the end */
bool outside_answers(const char *url);
int outside_call(const struct http_call *call, struct http_response *response, struct err *err);
void hook_put(const char *event, json_t *body); /* stolen */
void answer_head(struct http_response *response, const char *name, int64_t value);
int answer_put(struct http_response *response, unsigned status, json_t *body); /* stolen */
/* For what has no end: people's words, which no stranger may say to an agent. */
char *words_new(const char *prefix);

/* ---- fake_github.c ---- */
void github_begin(void);
void github_end(void);
const char *github_key(void); /* of the App, PEM */
int github_answer(const struct http_call *call, struct http_response *response);
void github_give(int nth);
void github_act(void);
void github_ready(void); /* people there say of every draft that they are content */
void github_check(void);
void github_pushed(const char *repository, const char *branch); /* by us */
const char *github_main(const char *repository);                /* what its main is there */

/* ---- fake_linear.c ---- */
void linear_begin(void);
void linear_end(void);
int linear_answer(const struct http_call *call, struct http_response *response);
void linear_give(int nth);
void linear_act(void);
void linear_check(void);

#endif
