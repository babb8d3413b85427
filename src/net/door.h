/*
 * door: what the gateway asks of a sandbox's pid 1 over their SOCK_SEQPACKET socket. Fixed structs, descriptors by SCM_RIGHTS.
 *
 * A socket belongs for ever to the network namespace in which socket(2) ran. So pid 1 makes listening sockets before the program
 * starts and hands them over: the gateway accepts on them from outside, and whatever the program connects to lands there (one nft
 * batch redirects every TCP port to the listener; SO_ORIGINAL_DST tells the target). The way in is an unconnected socket made
 * inside, which the gateway connects to 127.0.0.1:port, or to [::1]:port when that is refused.
 *
 * A sandbox on another machine has no sockets to hand over. Who speaks for it there answers DOOR_LISTENERS with DOOR_BY_FLOW: each of its connections
 * then comes as a DOOR_FLOW, with the end of a socket pair in the place of the connection, and the way in is DOOR_DIAL. Nothing can be redirected there,
 * so names have addresses at which such a sandbox itself can listen (door_loopback), and DOOR_LISTEN says at which it is to.
 */
#ifndef ASSAY_NET_DOOR_H
#define ASSAY_NET_DOOR_H

#include <stdbool.h>
#include <stdint.h>

enum door_ask {
	DOOR_LISTENERS = 1, /* reply carries 4 descriptors: TCP v4, TCP v6, DNS over UDP v4, DNS over TCP v4; may be asked again */
	DOOR_SOCKETS =
		2, /* reply carries `count` unconnected, non-blocking stream sockets: of IPv6 that take IPv4 too, where the kernel has it */
	DOOR_BY_FLOW = 3, /* a reply to DOOR_LISTENERS that carries none */
	DOOR_FLOW = 4,    /* comes unasked: struct door_flow, and a stream socket */
	DOOR_DIAL = 5, /* struct door_dial; the reply's count is its serial, and it carries a connected stream socket or an errno */
	DOOR_LISTEN = 6, /* struct door_listen: all of where to listen from now on; no reply */
};

enum door_flow_kind { DOOR_FLOW_CONNECT = 1, DOOR_FLOW_DNS = 2 /* as over TCP */ };

#define DOOR_SOCKETS_MAX 16 /* a batch */
#define DOOR_PORT 15001     /* where redirected TCP lands, v4 and v6, on loopback inside the sandbox */
#define DOOR_DNS_PORT 53    /* on 127.0.0.1, UDP and TCP */

struct door_request {
	uint32_t ask;   /* enum door_ask */
	uint32_t count; /* for DOOR_SOCKETS: 1..DOOR_SOCKETS_MAX */
};

struct door_reply {
	uint32_t ask;
	uint32_t count;      /* descriptors attached */
	int32_t errno_value; /* 0, or why there are none */
};

#define DOOR_LISTEN_MAX 300
#define DOOR_FLOW_PROXY "127.18.0.2" /* where a sandbox with a door by flow finds the proxy (net/messages.h) */

struct door_flow {
	uint32_t ask;
	uint32_t kind;    /* enum door_flow_kind */
	uint32_t address; /* that it connected to, host byte order */
	uint32_t port;
};

struct door_dial {
	uint32_t ask;
	uint32_t serial;
	uint32_t port;
};

struct door_place {
	uint32_t address; /* host byte order */
	uint32_t port;
};

/* Only `count` of the places are sent. */
struct door_listen {
	uint32_t ask;
	uint32_t count;
	struct door_place at[DOOR_LISTEN_MAX];
};

/* 198.18.0.0/15 as 127.18.0.0/15, where anybody may listen without a privilege, and back: 0 for what is none. */
uint32_t door_loopback(uint32_t synthetic);
uint32_t door_synthetic(uint32_t loopback);

/* Starts the connect of a fresh such socket to `port` on 127.0.0.1, or on ::1, which is worth it when that was refused. 0, or an errno:
 * EINPROGRESS while it is under way, ECONNREFUSED from a socket that knows no IPv6. */
int door_connect(int fd, uint16_t port, bool v6);

/* What every sandbox resolves and routes to. Names get addresses from 198.18.0.0/15, never a real one; 127/8 only by door_loopback. */
#define DOOR_ADDRESS_SELF "10.64.0.2" /* on lo, the source of what leaves */

#endif
