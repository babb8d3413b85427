/* wire: bytes to and from a database server with a deadline, on blocking or non-blocking sockets that stay the caller's. Blocks. */
#ifndef ASSAY_DATA_WIRE_H
#define ASSAY_DATA_WIRE_H

#include "base/buf.h"

struct wire {
	int fd;
	int64_t deadline_ms; /* of world_real's elapsed time */
	struct buf in;       /* received, not yet taken */
};

struct wire wire_new(int fd, int64_t timeout_ms, size_t bytes_max);
void wire_fini(struct wire *wire);
#define AUTO_WIRE __attribute__((cleanup(wire_fini))) struct wire
MUST_USE int wire_send(struct wire *wire, struct view bytes, struct err *err);
/* Appends at least one byte to `in`; ERR_RETRY when the other end closed or the time is over. */
MUST_USE int wire_receive(struct wire *wire, struct err *err);

#endif
