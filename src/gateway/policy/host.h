/*
 * host: the one form of a name or an address that something may be sent to, and the addresses that are never dialled. A name that has no
 * such form is refused before anybody looks it up or compares it.
 */
#ifndef ASSAY_GATEWAY_POLICY_HOST_H
#define ASSAY_GATEWAY_POLICY_HOST_H

#include <sys/socket.h>

#include "base/buf.h"

#define HOST_NAME_MAX_BYTES 254 /* with its NUL */
#define REACH_MAX 16

/* Lower case, no last dot, labels of at most 63 letters, digits, `-` and `_`, not a number at the end: so never an address. */
bool host_canonical(struct view text, char host[HOST_NAME_MAX_BYTES]);
/* "203.0.113.9" in four decimal numbers, or "2606:4700::1" (with or without brackets, shortened as RFC 5952 does, without a zone): the
 * only forms of an address. What is an IPv4 address in an IPv6 one's clothes has none. */
bool host_address_canonical(struct view text, char host[HOST_NAME_MAX_BYTES]);
/* Either of them; *address tells which. */
bool host_or_address_canonical(struct view text, char host[HOST_NAME_MAX_BYTES], bool *address);

/* "203.0.113.0/24", "fd00::/8" or one address: the operator lets egress rules lead there although it is not the public internet (a company's
 * own registry). At most REACH_MAX, before any thread starts; no blueprint can do this. */
MUST_USE int reach_add(const char *network, struct err *err);
/* Is it an address that an allowed name may lead to: of the public internet and not this machine's own, or within what reach_add() was
 * told? Any thread. */
bool address_is_reachable(const struct sockaddr *address);
/* The same of the text of an address in its one form. */
bool address_text_is_reachable(const char *text);
/* Is it an address of the public internet? Private, loopback, link-local, metadata, multicast, documentation and mapped ones are not. */
bool address_is_public(const struct sockaddr *address);
/* Does one of this machine's interfaces have it? What the interfaces have is asked for anew every few seconds. Any thread. */
bool address_is_own(const struct sockaddr *address);

#endif
