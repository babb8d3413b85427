/* The vault's process: loads the key, confines itself, then answers one message after the other until its link is closed. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "vault/vault_priv.h"

#define SEALS_NEEDED (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

/* Receives one request and at most one descriptor. Returns 1, 0 at the end of the link, -1 for what is no request of ours. */
static int request_receive(int link, struct vault_request *request, int *fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {request, sizeof(*request)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	const struct cmsghdr *ancillary;
	ssize_t got;

	do
		got = recvmsg(link, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got < 0 ? -1 : 0;
	ancillary = CMSG_FIRSTHDR(&message);
	if (ancillary && ancillary->cmsg_level == SOL_SOCKET && ancillary->cmsg_type == SCM_RIGHTS &&
	    ancillary->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(ancillary), sizeof(*fd));
	if (got != (ssize_t)sizeof(*request) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    request->header.length != sizeof(*request) || request->header.version != MESSAGE_VERSION)
		return -1;
	return 1;
}

/* Signs the bytes of a memfd. Returns an errno value. */
static int request_sign(const struct vault_key *key, const struct vault_request *request, int fd, unsigned char *signature)
{
	struct stat facts;
	struct err err;
	void *at;
	int failed;

	if (!request->bytes || request->bytes > VAULT_BYTES_MAX)
		return EMSGSIZE;
	if (fd < 0 || fstat(fd, &facts) || (uint64_t)facts.st_size != request->bytes)
		return EBADF;
	if ((fcntl(fd, F_GET_SEALS) & SEALS_NEEDED) != SEALS_NEEDED)
		return EPERM;
	at = mmap(NULL, request->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return errno;
	failed = vault_key_sign(key, view_make(at, request->bytes), signature, &err);
	(void)munmap(at, request->bytes);
	return failed ? EIO : 0;
}

static int request_answer(int link, const struct vault_key *key, const struct vault_request *request, int fd)
{
	struct vault_reply reply = {.header = request->header};
	ssize_t sent;

	reply.header.length = sizeof(reply);
	memcpy(reply.key_id, vault_key_id(key), strlen(vault_key_id(key)));
	switch (request->header.name) {
	case VAULT_SIGN:
		reply.errno_value = request_sign(key, request, fd, reply.signature);
		break;
	case VAULT_PUBLIC_KEY:
		reply.pem_bytes = (uint32_t)strlen(vault_key_pem(key));
		memcpy(reply.pem, vault_key_pem(key), reply.pem_bytes);
		break;
	default:
		return -1;
	}
	do
		sent = send(link, &reply, sizeof(reply), MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)sizeof(reply) ? 0 : -1;
}

static int vault_serve(int link, const struct vault_key *key)
{
	for (;;) {
		struct vault_request request;
		AUTO_CLOSE int fd = -1;
		int got = request_receive(link, &request, &fd);

		if (got == 0)
			return 0;
		if (got < 0 || request_answer(link, key, &request, fd))
			return 1;
	}
}

static bool arguments_parse(int argc, char **argv, const char **state_dir, int *link)
{
	uint64_t number;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--state") == 0)
			*state_dir = argv[i + 1];
		else if (strcmp(argv[i], "--link-fd") == 0 && view_to_u64(view_of(argv[i + 1]), &number) && number < 1024)
			*link = (int)number;
		else
			return false;
	}
	return argc == 5 && *state_dir && *link > 2;
}

int vault_main(int argc, char **argv)
{
	const char *state_dir = NULL;
	struct vault_key *key = NULL;
	struct err err;
	int link = -1;
	int code;

	log_init("vault", LOG_LEVEL_INFO);
	if (!arguments_parse(argc, argv, &state_dir, &link)) {
		log_error("usage: assay vault --state DIR --link-fd N; it is started by assay serve");
		return 2;
	}
	if (vault_key_load(state_dir, &key, &err) || vault_confine(&err)) {
		log_error("%s", err.text);
		return 1;
	}
	code = vault_serve(link, key);
	vault_key_free(key);
	_exit(code); /* no handlers: what they would call is not allowed any more */
}
