/*
 * gateway_fixture: a world for the gateway, in a network namespace of its own (so it needs root): lo with every address routed to it,
 * connections to 198.18.0.0/15 and to 203.0.113.0/24 redirected to the door, as in a sandbox. This process plays the control plane, the
 * pid 1 behind every door, the services and the programs; the gateway is a child process.
 */
#ifndef TESTS_CONTRACT_GATEWAY_FIXTURE_H
#define TESTS_CONTRACT_GATEWAY_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/json.h"
#include "http/client.h"
#include "net/link.h"

#define PREVIEW_PORT 7421

struct world_fixture {
	pid_t gateway;
	struct link *link;
	pthread_mutex_t mutex;
	atomic_uint thaws, touches;
	char denied[4096]; /* lines "host:port why\n" */
	char tool_socket[64];
	char last[32]; /* environment made last, while it is there */
};

/* Before world_open: where DNS is answered on 127.0.0.1, and what the gateway is started with besides; NULL-terminated. */
#define FIXTURE_ARGUMENTS_MAX 16
extern uint16_t fixture_dns_port;
extern const char *const *fixture_arguments;
/* What is asked to sign heads of the gateway's ledger, on the link's thread; NULL: nobody. */
extern void (*fixture_head_sign)(void *self, struct link *link, struct link_message *message);
extern void *fixture_head_sign_self;
/* A file to which what the gateway says of models' calls is added, a line each; NULL: nobody wants it. */
extern const char *fixture_usage_path;

/* NULL, with a line on standard output, where it cannot be made. */
struct world_fixture *world_open(void);
void world_close(struct world_fixture *world);

/* An environment with a log; `routes` is the body of ENV_PUT without env and state. */
struct copy {
	struct world_fixture *world;
	char id[32];
	int log_fd;
};
void copy_make(struct world_fixture *world, const char *id, const char *state, const char *routes, struct copy *copy);
void copy_drop(struct copy *copy);
void copy_state(struct copy *copy, const char *state);
/* The sandbox whose programs are in this namespace: what this process connects to comes in through its door. One at a time. */
void copy_caller(struct copy *copy, const char *sandbox);
/* A sandbox that is only called. */
void copy_callee(struct copy *copy, const char *sandbox);
/* A sandbox whose door is by flow (net/door.h): what the gateway tells it to listen at, "address port\n" each, and its connections, made by hand. */
struct by_flow {
	int fd;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	char listens[8192];
	unsigned told; /* how often */
};
struct by_flow *copy_by_flow(struct copy *copy, const char *sandbox); /* it ends with its environment */
/* A connection of it. kind: enum door_flow_kind; the gateway's end of it is sent unless `bare`. */
int by_flow_open(struct by_flow *door, uint32_t kind, const char *address, uint32_t port, bool bare);
/* Waits until it was told to listen at other places than `before`; owned by the caller. */
char *by_flow_listens(struct by_flow *door, unsigned before);
/* Waits until nothing is in flight; the lines of the log. Owned by the caller. */
json_t *copy_log(struct copy *copy);
json_t *control(struct world_fixture *world, uint16_t name, const char *body);
bool world_denied(struct world_fixture *world, const char *text); /* within a second */

/* A raw connection; the address is "198.18.1.0:80". */
int dial_to(const char *address);
void say(int fd, const char *text);
/* Reads until `until` came (NULL: the end); what came. Owned by the caller. */
char *hear(int fd, const char *until);
/* Address of a name by a DNS question, "" when it does not exist. type 1 is A. */
size_t question_make(const char *name, unsigned type, unsigned char *out);
void ask_name(const char *name, unsigned type, bool tcp, char address[32], int *code);

/* A service of this process, on 127.0.0.1:port, a thread per connection (tests/contract/gateway_service.c). */
void service_start(int port);
void service_listen(int listener);
extern atomic_uint service_connections; /* accepted so far */

#endif
