/* The control plane's side of the vault: one process, one question at a time, started again when it has died. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "vault/vault_priv.h"

#define LINK_FD_TEXT "3"
#define PEM_LINE_BYTES 64
#define ANSWER_TIMEOUT_S 20 /* making a key and signing take milliseconds: an overloaded machine gets its time */

struct vault {
	pthread_mutex_t lock;
	char *state_dir;
	int link;
	int pid_fd;
	uint64_t requests;
};

static void process_stop(struct vault *vault)
{
	if (vault->link >= 0)
		(void)close(vault->link); /* its end */
	if (vault->pid_fd >= 0) {
		if (process_wait(vault->pid_fd, 1000, NULL, NULL)) {
			(void)syscall(SYS_pidfd_send_signal, vault->pid_fd, SIGKILL, NULL, 0);
			(void)!process_wait(vault->pid_fd, 1000, NULL, NULL);
		}
		(void)close(vault->pid_fd);
	}
	vault->link = vault->pid_fd = -1;
}

static int process_begin(struct vault *vault, struct err *err)
{
	const char *const argv[] = {"/proc/self/exe", "vault", "--state", vault->state_dir, "--link-fd", LINK_FD_TEXT, NULL};
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
	int ends[2];
	pid_t pid;

	if (null < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return err_errno(err, errno, "cannot start the vault");
	(void)setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	vault->link = ends[0];
	if (process_start(argv, NULL, (int[]){null, null, STDERR_FILENO, ends[1]}, 4, &pid, &vault->pid_fd, err)) {
		(void)close(ends[1]);
		process_stop(vault);
		return err_prefix(err, "cannot start the vault");
	}
	(void)close(ends[1]);
	return 0;
}

/* One question and its answer; ERR_RETRY when the process is gone. */
static int exchange(struct vault *vault, struct vault_request *request, int fd, struct vault_reply *reply, struct err *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {request, sizeof(*request)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t done;

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.align = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	}
	request->header.request = ++vault->requests;
	do
		done = sendmsg(vault->link, &message, MSG_NOSIGNAL);
	while (done < 0 && errno == EINTR);
	if (done != (ssize_t)sizeof(*request))
		return err_set(err, ERR_RETRY, "the vault is gone");
	do
		done = recv(vault->link, reply, sizeof(*reply), 0);
	while (done < 0 && errno == EINTR);
	if (done <= 0)
		return err_set(err, ERR_RETRY, "the vault does not answer: its log says why");
	if (done != (ssize_t)sizeof(*reply) || reply->header.request != request->header.request)
		return err_set(err, ERR_BROKEN, "the vault sent no answer of ours");
	if (reply->errno_value)
		return err_errno(err, reply->errno_value, "the vault refused");
	return 0;
}

static int ask_locked(struct vault *vault, struct vault_request *request, int fd, struct vault_reply *reply, struct err *err)
{
	struct err first = {0};

	if (vault->link >= 0 && exchange(vault, request, fd, reply, &first) == 0)
		return 0;
	if (vault->link >= 0 && first.kind != ERR_RETRY && first.kind != ERR_BROKEN) {
		*err = first;
		return -1;
	}
	process_stop(vault);
	if (process_begin(vault, err))
		return -1;
	if (exchange(vault, request, fd, reply, err)) {
		process_stop(vault);
		return -1;
	}
	return 0;
}

/* `env` may be NULL. */
static int ask(struct vault *vault, enum vault_ask name, size_t bytes, const char *env, int fd, struct vault_reply *reply,
	       struct err *err)
{
	struct vault_request request = {.header = {.length = sizeof(request), .version = MESSAGE_VERSION, .name = (uint16_t)name},
					.bytes = bytes};
	struct err local;
	int result;

	(void)snprintf(request.env, sizeof(request.env), "%s", env ? env : "");
	(void)pthread_mutex_lock(&vault->lock);
	result = ask_locked(vault, &request, fd, reply, err ? err : &local);
	(void)pthread_mutex_unlock(&vault->lock);
	return result;
}

int vault_open(const char *state_dir, struct vault **vault, struct err *err)
{
	struct vault *made = mem_new(sizeof(*made));
	struct vault_reply reply;

	(void)pthread_mutex_init(&made->lock, NULL);
	made->state_dir = text_copy(state_dir);
	made->link = made->pid_fd = -1;
	if (ask(made, VAULT_PUBLIC_KEY, 0, NULL, -1, &reply, err)) {
		vault_close(made);
		return -1;
	}
	*vault = made;
	return 0;
}

void vault_close(struct vault *vault)
{
	if (!vault)
		return;
	process_stop(vault);
	(void)pthread_mutex_destroy(&vault->lock);
	free(vault->state_dir);
	free(vault);
}

/* The bytes in memory that can be handed over and, from then on, not be changed. */
static int sealed_make(struct view bytes, struct err *err)
{
	AUTO_CLOSE int fd = memfd_create("assay-sign", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_errno(err, errno, "cannot make memory for the vault");
	if (file_write_fd(fd, bytes, err))
		return -1;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return err_errno(err, errno, "cannot seal memory for the vault");
	return TAKE_FD(fd);
}

int vault_sign(struct vault *vault, struct view bytes, unsigned char signature[64], char key_id[65], struct err *err)
{
	AUTO_CLOSE int fd = -1;
	struct vault_reply reply;

	if (!bytes.length || bytes.length > VAULT_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "the vault signs 1 to %zu bytes, not %zu", VAULT_BYTES_MAX, bytes.length);
	fd = sealed_make(bytes, err);
	if (fd < 0 || ask(vault, VAULT_SIGN, bytes.length, NULL, fd, &reply, err))
		return -1;
	memcpy(signature, reply.signature, VAULT_SIGNATURE_BYTES);
	memcpy(key_id, reply.key_id, VAULT_KEY_ID_MAX);
	key_id[VAULT_KEY_ID_MAX - 1] = '\0';
	return 0;
}

int vault_public_key(struct vault *vault, struct buf *pem, struct err *err)
{
	struct vault_reply reply;

	if (ask(vault, VAULT_PUBLIC_KEY, 0, NULL, -1, &reply, err))
		return -1;
	if (reply.pem_bytes > VAULT_PEM_MAX)
		return err_set(err, ERR_BROKEN, "the vault sent no public key");
	buf_add(pem, reply.pem, reply.pem_bytes);
	return 0;
}

int vault_gateway_link(struct vault *vault, int *fd, struct err *err)
{
	AUTO_CLOSE int theirs = -1;
	AUTO_CLOSE int ours = -1;
	struct vault_reply reply;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return err_errno(err, errno, "cannot make the gateway's link to the vault");
	ours = ends[0];
	theirs = ends[1];
	if (ask(vault, VAULT_GATEWAY, 0, NULL, theirs, &reply, err))
		return -1;
	*fd = TAKE_FD(ours);
	return 0;
}

int vault_authority(struct vault *vault, const char *env, struct buf *pem, struct err *err)
{
	struct vault_reply reply;
	AUTO_BUF text = buf_new((size_t)VAULT_CA_MAX * 2);

	if (ask(vault, VAULT_AUTHORITY, 0, env, -1, &reply, err))
		return err_prefix(err, "the certificate authority of %s", env);
	if (reply.ca_bytes > VAULT_CA_MAX)
		return err_set(err, ERR_BROKEN, "the vault sent no certificate");
	buf_add_base64(&text, reply.ca, reply.ca_bytes);
	buf_add_text(pem, "-----BEGIN CERTIFICATE-----\n");
	for (size_t at = 0; at < text.length; at += PEM_LINE_BYTES) {
		buf_add(pem, text.at + at, text.length - at < PEM_LINE_BYTES ? text.length - at : PEM_LINE_BYTES);
		buf_add_char(pem, '\n');
	}
	buf_add_text(pem, "-----END CERTIFICATE-----\n");
	return buf_finish(pem, err);
}
