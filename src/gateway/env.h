/*
 * env: what the gateway knows of one environment: its names and who answers to them, its rules and stubs, its state, its doors, its
 * addresses, its open connections and its exchange log.
 */
#ifndef ASSAY_GATEWAY_ENV_H
#define ASSAY_GATEWAY_ENV_H

#include "gateway/address.h"
#include "gateway/exchange_log.h"
#include "gateway/worker.h"

struct dlp;
struct door;
struct flow;
struct holds;
struct unresolved;

#define ENV_NAMES_MAX 256
#define ENV_SEARCH_SUFFIX ".assay.internal" /* names of the environment may end with it */
#define ENV_REPLICAS_MAX 64
#define ENV_FLOWS_SHARE(descriptors) ((descriptors) / 4 * 3) /* connections of one environment: the others are to have some, too */
#define ENV_HELD_BYTES_MAX ((size_t)256 << 20)               /* of bodies that are kept until their requests are let out */
#define DENIALS_KEPT 64

enum env_state { ENV_STARTING, ENV_READY, ENV_FROZEN, ENV_FAILED, ENV_STOPPED };
enum protocol { PROTOCOL_GUESS, PROTOCOL_POSTGRES, PROTOCOL_REDIS, PROTOCOL_AMQP, PROTOCOL_MYSQL, PROTOCOL_NATS };

struct name {
	char *name;
	char **sandboxes;
	size_t sandbox_count;
	enum protocol protocol;
	uint16_t port;
	bool away;   /* the environment below answers (gateway/shared.h) */
	size_t turn; /* of the replicas */
};

struct denial {
	uint64_t hash;
	int64_t told_ms;
};

struct env {
	struct worker *worker;
	struct env *next;
	char id[64];
	char below[64]; /* the environment that it stands on (gateway/shared.h); "" none */
	enum env_state state;
	struct name *names;
	size_t name_count;
	char *preview_service; /* NULL: none */
	uint16_t preview_port;
	struct policy *policy;
	struct broker *broker;          /* its credentials */
	char *run, *repository, *agent; /* as it was told of first; "" where there is none; `agent` of the sandboxes of `tools` */
	char *killed;                   /* NULL, or because: nothing goes anywhere until it is undone */
	struct {
		int64_t number; /* of what was told */
		bool failing;   /* that was a failure */
	} model;                /* what its model's host answers */
	char *over_budget;      /* NULL, or what is over, for people */
	struct holds *holds;
	struct unresolved *unresolved; /* NULL: every name resolved so far */
	struct dlp *dlp;               /* NULL: nothing is in force yet (egress/scan_rules.h) */
	struct {
		json_t *description; /* NULL: none */
		uint64_t turn;       /* of what was told last */
		bool stale;          /* that is not in force */
		bool under_way;      /* but being compiled */
		bool failed;
	} scan;
	json_t *stubs; /* host -> rows */
	char **tools;
	size_t tool_count;
	char *phase;
	struct addresses *addresses;
	struct exchange_log *log;
	struct door *doors;
	struct flow *flows;
	struct faults *faults; /* NULL: there never was one (gateway/fault.h) */
	uint64_t seq;
	size_t flow_count;
	size_t held_bytes;  /* by its pipelines */
	size_t told_bytes;  /* of lines of what its programs say of themselves (gateway/told.h) */
	size_t told_read;   /* of what they said */
	size_t told_held;   /* of what they are saying */
	uint64_t in_flight; /* HTTP requests and database commands that have no answer yet */
	struct denial denials[DENIALS_KEPT];
	int64_t touched_ms;
	bool thaw_asked;
	bool gone; /* freed at the end of the turn */
};

struct env *env_find(struct worker *worker, const char *id);
bool env_was(const struct worker *worker, const char *id); /* it existed and is gone */
/* ENV_PUT: the body is judged whole before anything is changed. `log_fd` (-1: keep the log there is) is taken on success; `scan`:
 * its description (egress/scan_rules.h), NULL: none. */
MUST_USE int env_put(struct worker *worker, const json_t *body, int log_fd, json_t *scan, struct err *err);
MUST_USE int env_state_set(struct env *env, const char *state, struct err *err);
void env_remove(struct env *env);
void env_kill(struct env *env, const char *why); /* resets every connection */
/* What waits for a person is denied, everything that comes is refused, and what the kernel still has to send to the outside is dropped; then
 * env_kill() is due before anything else runs. `because` NULL: undone. */
void env_kill_set(struct env *env, const char *because);
/* Who asks, from one of its sandboxes; texts live as long as the environment (and `sandbox`). */
struct egress_origin env_origin(const struct env *env, const char *sandbox);
/* Puts the environment's rules under the organisation's (NULL: none) and judges open connections again. */
void env_policy_under(struct env *env, struct policy *above);
/* Calls that are not answered; how many exchanges have ended, and how many of these are not in the log yet (which soon are). */
uint64_t env_in_flight(struct env *env, uint64_t *ended, uint64_t *unwritten);

struct name *env_name(struct env *env, const char *name);
/* "DB.assay.internal." and "db" are the name `db`. NULL: no name of ours. */
struct name *env_name_of_host(struct env *env, const char *host);
const json_t *env_stub(const struct env *env, const char *host); /* rows, or NULL */
bool env_tool_allowed(const struct env *env, const char *sandbox);

void env_touch(struct env *env);
/* Tells the control plane, at most once a minute for the same thing. */
void env_denied(struct env *env, const char *sandbox, const char *host, uint16_t port, const char *why);
/* Tells the control plane, as rarely, where what says whose a request is was not passed on: `why` is "lost", "ambiguous" or a protocol that
 * cannot be stamped. */
void env_propagation(struct env *env, const char *sandbox, const char *to, const char *why);
/* seq, phase, from, to, proto, t0 of a new exchange. */
void env_exchange_begin(struct env *env, struct exchange *exchange, const char *from, const char *to, const char *proto);

#endif
