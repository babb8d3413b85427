/*
 * pod: the link of a pod on a cluster, which is a native sidecar of it: brings assay-init to the container of the programs, connects out to the control
 * plane, proves who it is by the pod's own token, and does what is asked: starts programs by assay-init, carries their streams, dials their ports, fills
 * and packs volumes. What programs connect to and which names they ask for it takes on the pod's loopback, for the gateway at the other end. The programs' container sees neither the token nor the connection.
 */
#ifndef ASSAY_SANDBOX_LINK_POD_H
#define ASSAY_SANDBOX_LINK_POD_H

#include <stdint.h>

#include "base/buf.h"

#define POD_FOLDER "/assay"               /* shared with the programs' container, which may not write there */
#define POD_INIT POD_FOLDER "/assay-init" /* what that container executes, with POD_CONTROL */
#define POD_CONTROL POD_FOLDER "/control"
#define POD_TOKEN_FOLDER "/assay-token"
#define POD_TOKEN POD_TOKEN_FOLDER "/token"
#define POD_VOLUMES "/assay-volumes" /* whole, by name; programs have the folder POD_TREE of each */
#define POD_TREE "tree"
#define POD_CERTIFICATES \
	POD_FOLDER "/" POD_CERTIFICATES_PART /* the programs' /etc/ssl/certs, when they are to trust an authority */
#define POD_CERTIFICATES_PART "certs"

/* Its environment. */
#define POD_ENV_ADDRESS "ASSAY_LINK_ADDRESS"     /* "10.1.2.3:7430" */
#define POD_ENV_NAME "ASSAY_LINK_NAME"           /* that the control plane's certificate is for */
#define POD_ENV_AUTHORITY "ASSAY_LINK_AUTHORITY" /* PEM that it is signed by */
#define POD_ENV_TRUST "ASSAY_LINK_TRUST"         /* PEM: an authority that the room's programs trust */
#define POD_ENV_TRUST_HASH "ASSAY_LINK_TRUST_HASH"
#define POD_ENV_VOLUMES "ASSAY_LINK_VOLUMES" /* names, with spaces between */

/* LINK_START: then argc arguments, envc variables, the folder and the user, each ended by NUL. All little-endian u32. */
enum link_start_field {
	LINK_START_ARGC,
	LINK_START_ENVC,
	LINK_START_FLAGS,
	LINK_START_ROWS,
	LINK_START_COLUMNS,
	LINK_START_FIELDS
};
#define LINK_START_STDIO 7u /* bit i: descriptor i is attached */
#define LINK_START_ROOT 8u
#define LINK_START_TERMINAL 16u
#define LINK_START_ASIDE 32u /* a program of ours, beside the room: fills and packs volumes */

/* The reply to LINK_USAGE, u64 each; LINK_USAGE_UNLIMITED as of enum limit_kind. */
enum link_usage_field {
	LINK_USAGE_MEMORY,
	LINK_USAGE_PEAK,
	LINK_USAGE_CPU_MS,
	LINK_USAGE_PIDS,
	LINK_USAGE_OOMS,
	LINK_USAGE_UNLIMITED,
	LINK_USAGE_PIDS_REFUSED,
	LINK_USAGE_FIELDS
};

/* A program of ours, which programs of each room find by its name in /usr/local/bin. */
struct pod_tool {
	const char *name;
	struct view bytes;
};

/* Those that a room's manifest mounts (kubernetes/manifest.c). Before pod_main(); borrowed for ever. */
void pod_tools_set(const struct pod_tool *tools, size_t count);

/* `assay pod`: runs until the room has ended or is told to. `assay pod --ready`: 0 when the room's program may start. */
int pod_main(int argc, char **argv);

#endif
