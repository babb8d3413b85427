/* packet: one message of a link (net/link.h) as it goes over the socket. */
#ifndef ASSAY_NET_PACKET_PRIV_H
#define ASSAY_NET_PACKET_PRIV_H

#include <sys/socket.h>

#include "net/link.h"

#define NAME_BODY_IN_FD 0x8000u /* of message_header.name: the last descriptor is a memfd with the body */
#define NAME_REPLY 0x4000u      /* of message_header.name */

struct packet {
	struct packet *next;
	int fds[LINK_FDS_MAX + 1];
	size_t fd_count;
	size_t length;
	char bytes[];
};

/* With its own copies of the descriptors; owned by the caller. NULL with err. `name` may have NAME_REPLY. */
struct packet *packet_make(unsigned name, uint64_t request, const json_t *body, const int *fds, size_t fd_count, struct err *err);
void packet_free(struct packet *packet);
/* One sendmsg: -1 with errno. */
int packet_send(int fd, struct packet *packet);

/* The JSON of a received message: inline, or in its last descriptor, which is taken. NULL with err. */
json_t *packet_body(struct link_message *message, struct view inlined, bool in_fd, struct err *err);
/* The descriptors that came along; more than LINK_FDS_MAX are closed. */
void packet_rights(struct msghdr *header, struct link_message *message);
void packet_fds_close(int *fds, size_t count);

#endif
