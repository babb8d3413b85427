/* pod_priv: what the files of a pod's link share. */
#ifndef ASSAY_SANDBOX_LINK_POD_PRIV_H
#define ASSAY_SANDBOX_LINK_POD_PRIV_H

#include "sandbox/init/control.h"
#include "sandbox/link/opens.h"
#include "sandbox/link/pod.h"
#include "sandbox/provider.h"

#define POD_STREAMS 3

struct pod_program {
	struct pod_program *next;
	struct pod *pod;
	uint32_t id;
	bool ended;
	int status;                  /* of waitpid(2) */
	int64_t until[POD_STREAMS];  /* so many bytes are to be read before its end is told; -1: not to be waited for */
	int pid_fd;                  /* of one beside the room; else -1 */
	struct loop_watch pid_watch; /* of that */
	int terminal_fd;             /* the master of its terminal, or -1 */
};

/* A port that is being dialled. */
struct pod_dial {
	struct pod_dial *next;
	struct pod *pod;
	uint32_t id;
	uint16_t port;
	bool v6;
	int fd;
	struct loop_watch watch;
};

struct pod {
	const char *address, *name;
	struct loop *loop;
	struct tls_side *side;
	struct mux *mux;
	struct strand *arriving; /* not welcome yet; NULL: there is none */
	struct loop_timer retry;
	int64_t retry_ms;
	uint64_t session; /* tells this process from another of the same pod */
	int listen_fd, control_fd;
	struct loop_watch listen_watch, control_watch;
	struct pod_program *programs;
	struct pod_dial *dials;
	struct pod_door *door;
};

/* ---- pod_program.c ---- */

void pod_message(void *self, unsigned kind, uint32_t id, struct view body);
void pod_moved(void *self, uint32_t stream);
void pod_init_reply(struct pod *pod, const struct init_reply *reply, int fd);
/* All of them, and what they left. */
void pod_programs_end(struct pod *pod);

/* ---- pod_door.c ---- */

/* Listens where names are asked for; at the rest once it is told where. */
struct pod_door *pod_door_open(struct pod *pod);
void pod_door_listen(struct pod_door *door, struct view body);
/* Something of a connection moved or ended. */
void pod_door_moved(struct pod_door *door, uint32_t id);
/* What was connected is gone with the mux's streams. */
void pod_door_reset(struct pod_door *door);

/* ---- pod_trust.c ---- */

/* For the programs' container, when an authority is given. */
MUST_USE int pod_trust_write(struct err *err);

/* ---- pod_usage.c ---- */

#define POD_TEXT_BYTES 4096

/* What fits of a file of the room; false: there is none. */
bool pod_text_read(int folder_fd, const char *name, char text[POD_TEXT_BYTES]);
/* Of the control group whose folder this is (v2). */
void pod_usage_read(int folder_fd, uint64_t usage[LINK_USAGE_FIELDS]);

/* ---- pod_activity.c ---- */

/* Of the programs whose /proc this is. UNKNOWN: it is another folder, or this kernel does not say. */
enum activity pod_activity_read(int processes_fd);

#endif
