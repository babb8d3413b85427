/* Messages as packets of a socket: made of a body and descriptors, sent, and taken apart again. A body that is too long travels in a memfd. */
#include "net/packet_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"

#define BODY_INLINE_MAX (MESSAGE_BYTES_MAX - 4096)

void packet_fds_close(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}

void packet_free(struct packet *message)
{
	packet_fds_close(message->fds, message->fd_count);
	free(message);
}

/* A sealed-enough copy of `text` in memory. */
static int body_to_fd(struct view text, struct err *err)
{
	AUTO_CLOSE int fd = memfd_create("assay-message", MFD_CLOEXEC);
	size_t done = 0;

	if (fd < 0)
		return err_errno(err, errno, "cannot make a memfd for a message");
	while (done < text.length) {
		ssize_t wrote = write(fd, text.at + done, text.length - done);

		if (wrote <= 0)
			return err_errno(err, errno, "cannot write a message to memory");
		done += (size_t)wrote;
	}
	return TAKE_FD(fd);
}

/* The message as it goes out, with its own copies of the descriptors; NULL and err. */
struct packet *packet_make(unsigned name, uint64_t request, const json_t *body, const int *fds, size_t fd_count, struct err *err)
{
	AUTO_BUF text = buf_new(LINK_BODY_BYTES_MAX);
	struct message_header header = {.version = MESSAGE_VERSION, .name = (uint16_t)name, .request = request};
	struct packet *message;
	size_t body_bytes;

	if (fd_count > LINK_FDS_MAX) {
		(void)err_set(err, ERR_LIMIT, "more than %d descriptors in a message", LINK_FDS_MAX);
		return NULL;
	}
	if (body)
		json_format(&text, body);
	else
		buf_add_text(&text, "{}");
	if (buf_finish(&text, err))
		return NULL;
	body_bytes = text.length <= BODY_INLINE_MAX ? text.length : 0;
	message = mem_new(sizeof(*message) + sizeof(header) + body_bytes);
	for (size_t i = 0; i < fd_count; i++) {
		message->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (message->fds[i] < 0) {
			(void)err_errno(err, errno, "cannot send descriptor %d", fds[i]);
			message->fd_count = i;
			packet_free(message);
			return NULL;
		}
	}
	message->fd_count = fd_count;
	if (!body_bytes) {
		int fd = body_to_fd(buf_view(&text), err);

		if (fd < 0) {
			packet_free(message);
			return NULL;
		}
		message->fds[message->fd_count++] = fd;
		header.name = (uint16_t)(header.name | NAME_BODY_IN_FD);
	}
	message->length = sizeof(header) + body_bytes;
	header.length = (uint32_t)message->length;
	memcpy(message->bytes, &header, sizeof(header));
	if (body_bytes)
		memcpy(message->bytes + sizeof(header), text.at, body_bytes);
	return message;
}

int packet_send(int fd, struct packet *message)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * (LINK_FDS_MAX + 1))];
	} control = {0};
	struct iovec piece = {.iov_base = message->bytes, .iov_len = message->length};
	struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

	if (message->fd_count) {
		struct cmsghdr *rights = &control.align; /* what CMSG_FIRSTHDR would give, never NULL */

		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * message->fd_count);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * message->fd_count);
		memcpy(CMSG_DATA(rights), message->fds, sizeof(int) * message->fd_count);
	}
	while (sendmsg(fd, &header, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return 0;
}

/* The JSON of a message: inline, or in its last descriptor, which is taken. */
json_t *packet_body(struct link_message *message, struct view inlined, bool in_fd, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	AUTO_BUF text = buf_new(LINK_BODY_BYTES_MAX);
	struct stat info;
	json_t *json;

	if (in_fd) {
		if (!message->fd_count) {
			(void)err_set(err, ERR_BROKEN, "a message without the descriptor of its body");
			return NULL;
		}
		fd = message->fds[--message->fd_count];
		if (fstat(fd, &info) || !S_ISREG(info.st_mode) || info.st_size < 0 || (size_t)info.st_size > LINK_BODY_BYTES_MAX) {
			(void)err_set(err, ERR_BROKEN, "the body of a message is too large or no file");
			return NULL;
		}
		while (text.length < (size_t)info.st_size) {
			size_t want = (size_t)info.st_size - text.length;
			char *place = buf_reserve(&text, want);
			ssize_t got = place ? pread(fd, place, want, (off_t)text.length) : -1;

			if (got <= 0) {
				(void)err_set(err, ERR_BROKEN, "cannot read the body of a message");
				return NULL;
			}
			buf_commit(&text, (size_t)got);
		}
		inlined = buf_view(&text);
	}
	json = json_parse(inlined, err);
	if (json && !json_is_object(json)) {
		json_decref(json);
		(void)err_set(err, ERR_BROKEN, "the body of a message is no object");
		return NULL;
	}
	return json;
}

void packet_rights(struct msghdr *header, struct link_message *message)
{
	for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
		size_t count;

		if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
			continue;
		count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(fd));
			if (message->fd_count < LINK_FDS_MAX)
				message->fds[message->fd_count++] = fd;
			else
				(void)close(fd);
		}
	}
}
