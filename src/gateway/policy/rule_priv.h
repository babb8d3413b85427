/* rule: one rule as it was understood, and one layer of them with its index of hosts. */
#ifndef ASSAY_GATEWAY_POLICY_RULE_PRIV_H
#define ASSAY_GATEWAY_POLICY_RULE_PRIV_H

#include <stdatomic.h>

#include "gateway/policy/policy.h"

struct words {
	char **at;
	size_t count;
};

enum host_kind { HOST_EXACT, HOST_BELOW, HOST_ANY };

struct rule {
	char id[POLICY_ID_MAX];
	char *host; /* canonical, without "*."; "" for HOST_ANY */
	char *because;
	enum host_kind kind;
	enum egress_action action;
	uint16_t port; /* 0: none given */
	struct words methods, paths, agents, sandboxes, repositories, environments;
	uint32_t next; /* of the same host and kind; 0: none, else 1 + index */
};

struct slot {
	uint64_t hash;
	uint32_t first; /* 0: empty, else 1 + index of a rule */
};

/* Counted: policies under different organisations share it. */
struct layer {
	atomic_uint users;
	struct rule *rules;
	size_t count;
	struct slot *slots; /* exact and "*." hosts; a power of two of them, at most half full */
	size_t slot_count;
	uint32_t any;    /* the first rule of "*" */
	bool ceiling;    /* what it does not allow is denied */
	bool no_passage; /* no passthrough */
};

struct layer *layer_new(const json_t *rules, const char *id_prefix, struct err *err);
struct layer *layer_hold(struct layer *layer);
void layer_release(struct layer *layer);
/* Steps through the rules that name the host, the most specific first: *step begins as zero; NULL at the end. */
struct layer_step {
	const char *at; /* of the host: what is being looked for */
	uint32_t rule;  /* 1 + index of the one given last */
	bool begun, any;
};
const struct rule *layer_next(const struct layer *layer, const char *host, struct layer_step *step);

#endif
