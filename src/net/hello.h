/* hello: the server name in a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3), without taking part in the handshake. */
#ifndef ASSAY_NET_HELLO_H
#define ASSAY_NET_HELLO_H

#include "base/buf.h"

#define HELLO_BYTES_MAX ((size_t)32 << 10)

enum hello_result { HELLO_MORE, HELLO_DONE, HELLO_BAD };

/* `bytes` is all that came so far. HELLO_DONE: *name is the one host_name, borrowed from `scratch`; empty when there is none. */
enum hello_result hello_parse(struct view bytes, struct buf *scratch, struct view *name);

#endif
