/*
 * cluster_priv: what the files of the cluster's provider share.
 *
 * Theory of operation: one loop's thread has the links: it alone touches a room's mux. One more watches all pods of ours, so that whoever waits for a room
 * learns what becomes of its pod. Callers wait on one condition; the mutex guards everything else, and is never held over a request to the cluster. A
 * caller's request is a struct call, posted to the loop; the reply finds it by its id.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_CLUSTER_PRIV_H
#define ASSAY_SANDBOX_KUBERNETES_CLUSTER_PRIV_H

#include <pthread.h>
#include <sys/ioctl.h>

#include "sandbox/kubernetes/cluster.h"
#include "sandbox/link/opens.h"
#include "sandbox/link/pod.h"

#define UID_MAX 64

struct program {
	struct program *next;
	uint32_t id;
	bool ended;    /* told to whoever waits */
	bool ending;   /* it has ended, and what it wrote is being delivered */
	bool gone;     /* the room ended first */
	bool killed;   /* by us */
	int status;    /* of waitpid(2) */
	int unwritten; /* an errno: what it wrote is not all with whom it was for */
	int terminal;  /* the caller's terminal, whose size is told; else -1 */
	struct winsize size;
};

#define POD_DIALS_MAX 64

/* A port of a room that the gateway waits for. */
struct pod_dialling {
	uint32_t id, serial;
};

/* Of a room, for the gateway. */
struct room_door {
	int fd; /* -1: nobody is there */
	struct loop_watch watch;
	struct link_opens opens;   /* by the pod */
	struct link_opens dialled; /* into it */
	struct pod_dialling dials[POD_DIALS_MAX];
	size_t dial_count;
};

struct room {
	struct room *next;
	struct cluster *cluster;
	struct env_id env;
	char name[SANDBOX_NAME_MAX + 1];
	char space[KUBE_NAME_MAX];
	char uid[UID_MAX];           /* of its pod; "": not known yet */
	struct kube_pod_state state; /* of its pod, as last seen */
	bool seen;                   /* by the watch */
	bool linked;                 /* it has been, in this process */
	bool gone;                   /* its programs have ended with it */
	bool removed;                /* from the list */
	char why[256];               /* it is gone */
	uint64_t session;            /* of the link's process */
	uint32_t last_id;
	uint64_t oom_seen;
	unsigned silent; /* so often in a row it did not say whether anybody runs */
	struct program *programs;
	struct call *calls;
	int users;       /* callers that hold a pointer, and the loop */
	struct mux *mux; /* the loop's thread only; NULL: not linked yet */
	struct loop_timer sizes;
	struct room_door door; /* the loop's thread only */
};

/* A request to a room. */
struct call {
	struct call *next;
	struct room *room;
	unsigned kind;
	uint32_t id;
	struct buf body;
	int fds[3];  /* taken when it is sent: of its streams, or of its one socket */
	bool posted; /* the loop has not seen it yet */
	bool done;
	int errno_value;
	uint64_t answer[LINK_USAGE_FIELDS];
};

struct space_row {
	struct space_row *next;
	struct env_id env;
	char space[KUBE_NAME_MAX];
	bool frozen;
};

struct arrival;

struct cluster {
	struct kube_cluster_options options;
	struct kube_site site;
	struct kube_room_site rooms_site;
	char *address, *folder;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pthread_t loop_thread, watch_thread;
	bool closing;
	struct room *rooms;
	struct space_row *spaces;
	int64_t swept_ms; /* the watch's thread only */
	int reviews;      /* threads that ask whose a token is */

	/* the loop's */
	struct loop *loop;
	struct tls_side *side;
	int listen_fd;
	struct loop_watch listen_watch;
	struct loop_timer listen_pause; /* out of descriptors */
	struct arrival *arrivals;
	size_t arrival_count;
};

/* ---- links.c: the loop's thread ---- */

int links_open(struct cluster *cluster, struct err *err);
void links_close(struct cluster *cluster);
void pod_room_accept(struct room *room, struct strand *strand, uint64_t received, uint64_t session);
void call_post(struct call *call);
/* Nobody waits for its answer any more: a program ends, now or when it has been started. Holding the mutex. */
void call_abandon(const struct call *call);
void pod_room_close_post(struct room *room);
void pod_room_sizes_post(struct room *room); /* it has a terminal; holding the mutex */

/* ---- door.c: the loop's thread, but for the first three ---- */

int cluster_sandbox_door(void *self, struct env_id env, const char *name, int *fd, struct err *err);
void room_door_lose_post(struct room *room); /* it is gone; holding the mutex */
void room_door_init(struct room *room);
void room_door_close(struct room *room);
void room_door_end(struct room *room); /* and what passes through it */
/* What the gateway has asked for by now. */
void room_door_serve(struct room *room);
void room_door_opened(struct room *room, uint32_t id, struct view body);
void room_door_moved(struct room *room, uint32_t id); /* something of what may be a connection */
/* The pod has connected a port: a socket with its bytes, or -1 with errno. What is there is ended with the room. */
int room_door_socket(struct room *room, uint32_t id);
/* False: it was no dial of the gateway's. */
bool room_door_dialled(struct room *room, uint32_t id, int errno_value);

/* ---- rooms.c: all hold the mutex but where it says not ---- */

struct room *pod_room_find(struct cluster *cluster, struct env_id env, const char *name);
struct room *pod_room_by_pod(struct cluster *cluster, const char *space, const char *name);
MUST_USE int pod_room_use(struct cluster *cluster, struct env_id env, const char *name, struct room **room, struct err *err);
void pod_room_unuse(struct room *room);
/* Its programs have ended with it; it stays in the list. */
void pod_room_lose(struct room *room, const char *why);
/* Forgets it; its link is told. */
void pod_room_remove(struct room *room);
/* Waits until *done or the deadline (0: none). */
bool cluster_wait(struct cluster *cluster, const bool *done, int64_t deadline_ms);
/* Sends the call and waits for its answer: 0, -1, or the errno of the other end. */
MUST_USE int pod_room_ask(struct room *room, struct call *call, struct err *err);
void call_fini(struct call *call);
/* Not holding it: a program beside the room, to its end. */
MUST_USE int pod_room_aside(struct cluster *cluster, struct env_id env, const char *name, const char *const *argv, int in, int out,
			    int *code, struct err *err);
int cluster_program_start(void *self, struct env_id env, const char *name, const struct program_spec *spec, uint32_t *process,
			  struct err *err);
int cluster_program_wait(void *self, struct env_id env, const char *name, uint32_t process, int64_t timeout_ms,
			 struct exit_status *status, struct err *err);
int cluster_program_signal(void *self, struct env_id env, const char *name, uint32_t process, int signal_number, struct err *err);
int cluster_sandbox_dial(void *self, struct env_id env, const char *name, uint16_t port, int *fd, struct err *err);
int cluster_sandbox_usage(void *self, struct env_id env, const char *name, struct sandbox_usage *usage, struct err *err);
enum activity cluster_env_activity(void *self, struct env_id env);

/* ---- sandboxes.c ---- */

/* Its namespace: remembered, else asked for. */
MUST_USE int space_of(struct cluster *cluster, struct env_id env, char space[KUBE_NAME_MAX], bool *frozen, struct err *err);
/* Makes a room's pod and waits until it is linked. */
MUST_USE int pod_room_make(struct cluster *cluster, struct env_id env, const char *space, const json_t *pod, struct err *err);
MUST_USE int pod_room_unmake(struct cluster *cluster, struct env_id env, const char *space, const char *name, struct err *err);
bool env_has_rooms(struct cluster *cluster, struct env_id env);
/* Ends all pods of a namespace, and waits until they are gone. */
MUST_USE int pods_end(struct cluster *cluster, const char *space, struct err *err);
/* Applies an object and waits while one of its name is on its way out; `fresh`: one that was there goes first. *uid (or NULL) is of the one that is there
 * now. */
MUST_USE int object_make(struct cluster *cluster, const char *plural, const json_t *object, bool fresh, char uid[UID_MAX],
			 struct err *err);
int cluster_sandbox_make(void *self, const struct sandbox_spec *spec, struct err *err);
int cluster_sandbox_remove(void *self, struct env_id env, const char *name, struct err *err);
int cluster_env_make(void *self, struct env_id env, struct err *err);
int cluster_env_remove(void *self, struct env_id env, struct err *err);
int cluster_env_stop(void *self, struct env_id env, struct err *err);
int cluster_env_freeze(void *self, struct env_id env, bool frozen, struct err *err);
json_t *cluster_env_list(void *self, struct err *err);
void *cluster_watcher(void *self);

/* ---- volumes.c ---- */

/* Fills those volumes of a room that wait for it. */
MUST_USE int volumes_fill(struct cluster *cluster, const struct sandbox_spec *spec, const json_t *claims, struct err *err);
/* The claims of an environment; owned by the caller. ERR_NOT_FOUND: one that is mounted is not there. */
json_t *volumes_find(struct cluster *cluster, const char *space, const struct sandbox_spec *spec, struct err *err);
void clones_remove(struct cluster *cluster, struct env_id env);
/* ERR_CONFLICT: a volume is made from it, and may not be filled yet. */
MUST_USE int layer_unused(struct cluster *cluster, const char *layer, struct err *err);
/* As provider_volume_clone; the other one may be of another cluster. */
MUST_USE int volume_copy(struct cluster *cluster, struct env_id from, struct cluster *other, struct env_id to, const char *volume,
			 struct err *err);
/* What a death left of layers that were being made, or had been removed; nobody makes any now. */
void leftovers_remove(const char *folder);
bool layer_has_holder(const struct cluster *cluster, const char *holder); /* is it the snapshot of a layer? */
int cluster_volume_make(void *self, struct env_id env, const char *volume, const char *const *layers, size_t layer_count,
			bool blocks, bool *copied, struct err *err);
int cluster_volume_remove(void *self, struct env_id env, const char *volume, struct err *err);
int cluster_volume_commit(void *self, struct env_id env, const char *volume, const char *layer, const json_t *meta,
			  struct err *err);
int cluster_volume_clone(void *self, struct env_id from, struct env_id to, const char *volume, struct err *err);
json_t *cluster_layer_list(void *self, const char *prefix, struct err *err);
int cluster_layer_remove(void *self, const char *layer, struct err *err);

/* ---- snapshots.c: not holding the mutex; a layer's "snapshot" is {"cluster"?, "holder", "driver", "handle", "bytes", "mode"?} ---- */

/* While a snapshot becomes a layer, or is ended: held over requests, and of all clusters, which share their layers. */
extern pthread_mutex_t snapshots_keeping;

struct snapshot_taken {
	char *name;   /* in its environment */
	char *holder; /* of the physical one, for the whole cluster */
};
/* Of a claim that no pod has, until it can be used. The caller ends it with snapshot_taken_fini, whatever comes. */
MUST_USE int snapshot_take(struct cluster *cluster, struct env_id env, const char *space, const char *volume,
			   struct snapshot_taken *taken, struct err *err);
/* It outlives its environment from now on, unless snapshot_held is never said; between the two snapshots_keeping is held. Owned by the caller. */
json_t *snapshot_hold(struct cluster *cluster, const struct snapshot_taken *taken, struct err *err);
void snapshot_held(struct cluster *cluster, const struct snapshot_taken *taken);
void snapshot_taken_fini(struct cluster *cluster, const char *space, struct snapshot_taken *taken);
bool snapshot_is_here(const struct cluster *cluster, const json_t *snapshot); /* is it of this cluster? */
/* Gives an environment a name for a layer's snapshot: "holder", which a claim of it can be made from. */
MUST_USE int snapshot_name_put(struct cluster *cluster, struct env_id env, const char *space, const json_t *snapshot,
			       struct err *err);
MUST_USE int snapshot_names_end(struct cluster *cluster, struct env_id env, struct err *err);
/* Before the layer is forgotten, and after, holding snapshots_keeping: who dies between them ends it when he comes back. That of another cluster is ended
 * by its own sweep. */
MUST_USE int snapshot_ending(struct cluster *cluster, const json_t *snapshot, struct err *err);
void snapshot_end(struct cluster *cluster, const json_t *snapshot);
/* What deaths left. */
void snapshots_sweep(struct cluster *cluster);

#endif
