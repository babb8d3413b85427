/*
 * keeper: the process that makes and destroys sandboxes: `assay keeper --state DIR [--oci RUNTIME]` with its peer's socket as descriptor 3. It holds
 * what the kernel needs for that (root; an ordinary user's makes a user namespace and is root of that), has one thread, no network, no
 * store and no parser but for its own fixed structs (protocol.h). When the peer closes the socket, it kills every sandbox and ends.
 *
 * All its mounts are in a mount namespace of its own: after kill -9 of it no process and no mount is left; directories and cgroups
 * are removed by the next start.
 */
#ifndef ASSAY_SANDBOX_LOCAL_KEEPER_H
#define ASSAY_SANDBOX_LOCAL_KEEPER_H

#include <stddef.h>

#define KEEPER_PEER_FD 3
/* How much of the disk one environment may hold, in percent, before its sandboxes are stopped; 25 when it is not set. */
#define KEEPER_SHARE_VARIABLE "ASSAY_DISK_SHARE"

/* A program of ours that every sandbox finds in /usr/local/bin, e.g. assay-env. */
struct keeper_tool {
	const char *name;
	const unsigned char *bytes;
	size_t length;
};

/* Before keeper_main; `tools` is borrowed for ever. */
void keeper_tools_set(const struct keeper_tool *tools, size_t count);

int keeper_main(int argc, char **argv);

#endif
