/*
 * local_priv: the state of the local provider in the control plane, and what its files share. Only for this folder.
 *
 * Theory of operation. One thread reads all sockets (the keeper's and a control socket a room) and files what comes: replies to the
 * callers that wait for them, ends of programs into the room's list. Callers wait on one condition. The mutex guards all state
 * and is never held over a call that can block; sending to the keeper has a mutex of its own, so that a full socket never stops
 * the reader.
 */
#ifndef ASSAY_SANDBOX_LOCAL_LOCAL_PRIV_H
#define ASSAY_SANDBOX_LOCAL_LOCAL_PRIV_H

#include <pthread.h>

#include "base/restart.h"
#include "sandbox/init/control.h"
#include "sandbox/local/local.h"
#include "sandbox/local/protocol.h"

#define FROZEN_MAX 4096
#define LIST_BYTES_MAX ((size_t)256 << 20) /* of environments or layers */

struct program {
	struct program *next;
	uint32_t id;
	bool ended;
	bool gone;   /* the room ended first */
	bool killed; /* by us */
	int status;  /* of waitpid(2) */
};

struct room {
	struct room *next;
	struct env_id env;
	char name[SANDBOX_NAME_MAX + 1];
	int control_fd; /* -1: pid 1 is gone */
	uint32_t last_id;
	struct program *programs;
	int oom_seen;
	int users;    /* callers that hold a pointer */
	bool removed; /* from the list: the last user frees it */
};

/* A caller that waits: for the keeper (room NULL) or for a pid 1. */
struct pending {
	struct pending *next;
	const struct room *room;
	uint64_t id;
	bool done;
	bool lost; /* the other side is gone */
	struct keeper_reply keeper;
	struct init_reply init;
	int fd;
};

struct local {
	pthread_mutex_t mutex;
	pthread_mutex_t send_mutex;
	pthread_mutex_t image_mutex; /* held while one is fetched */
	pthread_cond_t changed;
	pthread_t thread;
	char *state_dir;
	char *program;
	char *runtime; /* NULL: our own code */
	int epoll_fd;
	int wake_fd;
	int keeper_fd; /* -1: it ended */
	int keeper_pid_fd;
	pid_t keeper_pid;
	struct restart restart; /* of the keeper */
	bool closing;
	uint64_t last_request;
	struct pending *pendings;
	struct room *rooms;
	struct env_id frozen[FROZEN_MAX];
	size_t frozen_count;
};

/* ---- client.c: the thread, the keeper, the rooms ---- */

void *local_reader(void *self);
/* One request and its reply; `reply` and `fd` (what came with it) may be NULL. Starts the keeper if it does not run. */
MUST_USE int keeper_ask(struct local *local, struct keeper_request *request, enum keeper_ask ask, int send_fd,
			struct keeper_reply *reply, int *fd, struct err *err);
/* Holding the mutex: starts the keeper if it does not run. */
MUST_USE int keeper_ensure(struct local *local, struct err *err);
/* Requests are large: on the heap, freed by the caller. */
struct keeper_request *request_new(struct env_id env, const char *name) __attribute__((returns_nonnull));
/* The bytes of a list that the keeper made. */
MUST_USE int list_read(int fd, struct buf *bytes, struct err *err);

/* Holding the mutex. */
void local_keeper_lost(struct local *local);
void local_room_lost(struct local *local, struct room *room);
void local_watch(struct local *local, int fd);
struct room *local_room_find(struct local *local, struct env_id env, const char *name);
/* The room, alive and thawed, with one more user. */
MUST_USE int local_room_use(struct local *local, struct env_id env, const char *name, struct room **room, struct err *err);
void local_room_unuse(struct room *room);
/* If it was removed from the list and nobody uses it. */
void local_room_free_unused(struct room *room);
/* Waits until *done or the deadline (0: none). */
bool local_wait(struct local *local, const bool *done, int64_t deadline_ms);
/* One request to a pid 1 and its reply; *fd is what came with it, NULL when nothing is wanted. 0, -1, or an errno of pid 1's. */
MUST_USE int local_room_ask(struct local *local, struct room *room, struct init_request *request, const int *fds, size_t fd_count,
			    int *fd, struct err *err);

/* Not holding it: forgets the rooms of an environment (`name` NULL), or one. */
void local_rooms_forget(struct local *local, struct env_id env, const char *name);
void local_env_frozen_set(struct local *local, struct env_id env, bool frozen);

/* ---- programs.c ---- */

int local_program_start(void *self, struct env_id env, const char *name, const struct program_spec *spec, uint32_t *process,
			struct err *err);
int local_program_wait(void *self, struct env_id env, const char *name, uint32_t process, int64_t timeout_ms,
		       struct exit_status *status, struct err *err);
int local_program_signal(void *self, struct env_id env, const char *name, uint32_t process, int signal_number, struct err *err);

/* ---- local.c ---- */

int local_sandbox_usage(void *self, struct env_id env, const char *name, struct sandbox_usage *usage, struct err *err);

/* ---- image.c ---- */

json_t *local_image_describe(void *self, const char *image, struct err *err);
/* What the keeper takes for `image`: itself, or "layer:…" of the reference, fetched and unpacked once. `taken` is the caller's. */
MUST_USE int image_take(struct local *local, const char *image, char taken[KEEPER_IMAGE_BYTES], struct err *err);

#endif
