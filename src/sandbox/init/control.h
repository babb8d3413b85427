/*
 * control: what the control plane asks of a room's pid 1 over their SOCK_SEQPACKET socket. Fixed structs, descriptors by SCM_RIGHTS.
 *
 * Each request has an id of the asker's; the reply repeats it. INIT_EXIT comes by itself, once for each started program, after the
 * reply to its INIT_START. pid 1 may be hostile (it shares its user namespace with the programs): nothing in a message of its is
 * trusted further than the room it speaks for.
 */
#ifndef ASSAY_SANDBOX_INIT_CONTROL_H
#define ASSAY_SANDBOX_INIT_CONTROL_H

#include <stdint.h>

enum init_ask {
	INIT_START =
		1, /* + a memfd of texts, + a descriptor for each bit of init_request.stdio; the id names the program from then on */
	INIT_SIGNAL, /* init_request.program's process group gets init_request.signal_number; 0: what no running program started */
	INIT_DOOR,   /* the reply carries a fresh socket that speaks net/door.h */
	INIT_SOCKET, /* the reply carries one unconnected, non-blocking IPv4 stream socket of the room */
	INIT_GROUP,  /* the reply carries the folder of its control group, as the room sees it */
	INIT_EXIT,   /* only from pid 1: program `id` ended with `status`, as of waitpid(2) */
	INIT_PROCESSES, /* the reply carries the folder of its processes: /proc, as the room sees it */
};

#define INIT_CONTROL_FD 3              /* where pid 1 finds the socket */
#define INIT_TEXTS_BYTES_MAX (2 << 20) /* argv, env and dir together */
#define INIT_TEXTS_MAX 65536
#define INIT_PROGRAM_UID 1000 /* uid and gid of programs that are not started as root */

struct init_request {
	uint32_t ask; /* enum init_ask */
	uint32_t id;
	uint32_t program;
	int32_t signal_number;
	/* INIT_START: the memfd holds argv_count, then env_count texts, then the working folder and the user ("": as_root decides), each
	 * ended by NUL. A user that is not in the room is ESRCH. */
	uint32_t argv_count;
	uint32_t env_count;
	uint32_t stdio; /* bit i: descriptor i of the program is attached; else it is /dev/null */
	uint8_t as_root;
	uint8_t terminal;
	uint8_t unused[2];
};

struct init_reply {
	uint32_t ask;
	uint32_t id;
	int32_t errno_value; /* 0: done */
	int32_t status;
};

#endif
