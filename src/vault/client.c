/* The control plane's side of the vault: one process, one question at a time, started again when it has died. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/x509.h>
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
#include "base/log.h"
#include "base/process.h"
#include "base/restart.h"
#include "base/scope.h"
#include "base/world.h"
#include "vault/vault_priv.h"

#define LINK_FD_TEXT "3"
#define PEM_LINE_BYTES 64
#define CREDENTIALS_FOLDER "credentials"
#define CREDENTIAL_ENDING ".sealed"
#define BOUND_MAX 4096
#define ANSWER_TIMEOUT_S 20 /* making a key and signing take milliseconds: an overloaded machine gets its time */

struct vault {
	pthread_mutex_t lock;
	char *state_dir;
	int link;
	int pid_fd;
	uint64_t requests;
	struct restart restart;
	struct vault_bind_request *bound; /* what a fresh process is told again */
	size_t bound_count;
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

/* What every reply begins with. */
struct answer {
	struct message_header header;
	int32_t errno_value;
};

/* One question and its answer, both of a fixed length; ERR_RETRY when the process is gone. */
static int exchange(struct vault *vault, void *request, size_t request_bytes, int fd, void *reply, size_t reply_bytes,
		    struct err *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {request, request_bytes};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct message_header *header = request;
	const struct answer *answer = reply;
	ssize_t done;

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.align = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	}
	header->length = (uint32_t)request_bytes;
	header->version = MESSAGE_VERSION;
	header->request = ++vault->requests;
	do
		done = sendmsg(vault->link, &message, MSG_NOSIGNAL);
	while (done < 0 && errno == EINTR);
	if (done != (ssize_t)request_bytes)
		return err_set(err, ERR_RETRY, "the vault is gone");
	do
		done = recv(vault->link, reply, reply_bytes, 0);
	while (done < 0 && errno == EINTR);
	if (done <= 0)
		return err_set(err, ERR_RETRY, "the vault does not answer: its log says why");
	if (done != (ssize_t)reply_bytes || answer->header.request != header->request)
		return err_set(err, ERR_BROKEN, "the vault sent no answer of ours");
	if (answer->errno_value)
		return err_errno(err, answer->errno_value, "the vault refused");
	return 0;
}

/* ---- what a fresh process must know ---- */

static int blob_read(const char *path, struct credential_blob *blob, struct err *err)
{
	AUTO_BUF bytes = buf_new(sizeof(*blob) + 1);

	if (file_read(path, &bytes, err))
		return -1;
	if (bytes.length != sizeof(*blob) || memcmp(bytes.at, CREDENTIAL_MAGIC, sizeof(blob->about.magic)) != 0)
		return err_set(err, ERR_BROKEN, "%s is no credential", path);
	memcpy(blob, bytes.at, sizeof(*blob));
	return 0;
}

static char *blob_path(const struct vault *vault, const char *name)
{
	return text_format("%s/vault/" CREDENTIALS_FOLDER "/%s" CREDENTIAL_ENDING, vault->state_dir, name);
}

/* Calls for each file of a credential; one that cannot be read is said and passed over. */
static void blobs_each(const struct vault *vault, void (*each)(void *self, const struct credential_blob *blob), void *self)
{
	AUTO_FREE char *folder = text_format("%s/vault/" CREDENTIALS_FOLDER, vault->state_dir);
	DIR *dir = opendir(folder);

	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
		AUTO_FREE char *path = text_format("%s/%s", folder, entry->d_name);
		struct credential_blob blob;
		struct err err;

		if (!view_ends(view_of(entry->d_name), VIEW(CREDENTIAL_ENDING)))
			continue;
		if (blob_read(path, &blob, &err))
			log_error("%s", err.text);
		else
			each(self, &blob);
	}
	if (dir)
		(void)closedir(dir);
}

static void blob_put(void *self, const struct credential_blob *blob)
{
	struct vault_put_request put = {.header = {.name = VAULT_PUT}, .blob = *blob};
	struct vault_reply reply;
	struct err err = {0};

	if (exchange(self, &put, sizeof(put), -1, &reply, sizeof(reply), &err))
		log_error("the credential `%.*s` cannot be used: %s", CREDENTIAL_NAME_MAX - 1, blob->about.name,
			  err.kind == ERR_RETRY ? err.text : "it was changed, or sealed by another vault");
}

static int process_tell(struct vault *vault, struct err *err)
{
	blobs_each(vault, blob_put, vault);
	for (size_t i = 0; i < vault->bound_count; i++) {
		struct vault_bind_request bind = vault->bound[i];
		struct vault_bind_reply reply;
		struct err refused = {0};

		if (exchange(vault, &bind, sizeof(bind), -1, &reply, sizeof(reply), &refused) && refused.kind == ERR_RETRY) {
			*err = refused;
			return -1;
		}
	}
	return 0;
}

/* Starts the process again when it has died. With the lock held. */
static int ask_locked(struct vault *vault, void *request, size_t request_bytes, int fd, void *reply, size_t reply_bytes,
		      struct err *err)
{
	struct err first = {0};
	int failed;
	bool gone;

	if (vault->link >= 0 && exchange(vault, request, request_bytes, fd, reply, reply_bytes, &first) == 0)
		return 0;
	if (vault->link >= 0 && first.kind != ERR_RETRY && first.kind != ERR_BROKEN) {
		*err = first;
		return -1;
	}
	process_stop(vault);
	if (restart_allowed(&vault->restart, world_elapsed_ms(world_real), "the vault", err))
		return -1;
	failed = process_begin(vault, err) || process_tell(vault, err) ||
		 exchange(vault, request, request_bytes, fd, reply, reply_bytes, err);
	gone = failed && (vault->link < 0 || err->kind == ERR_RETRY || err->kind == ERR_BROKEN);
	restart_ended(&vault->restart, world_elapsed_ms(world_real), !gone);
	if (gone)
		process_stop(vault);
	return failed ? -1 : 0;
}

static int ask_fixed(struct vault *vault, void *request, size_t request_bytes, void *reply, size_t reply_bytes, struct err *err)
{
	struct err local;
	int result;

	(void)pthread_mutex_lock(&vault->lock);
	result = ask_locked(vault, request, request_bytes, -1, reply, reply_bytes, err ? err : &local);
	(void)pthread_mutex_unlock(&vault->lock);
	return result;
}

/* `env` may be NULL. */
static int ask(struct vault *vault, enum vault_ask name, size_t bytes, const char *env, int fd, struct vault_reply *reply,
	       struct err *err)
{
	struct vault_request request = {.header = {.name = (uint16_t)name}, .bytes = bytes};
	struct err local;
	int result;

	(void)snprintf(request.env, sizeof(request.env), "%s", env ? env : "");
	(void)pthread_mutex_lock(&vault->lock);
	result = ask_locked(vault, &request, sizeof(request), fd, reply, sizeof(*reply), err ? err : &local);
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
	free(vault->bound);
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

int vault_authority(struct vault *vault, const char *env, struct buf *pem, char hash[9], struct err *err)
{
	struct vault_reply reply;
	AUTO_BUF text = buf_new((size_t)VAULT_CA_MAX * 2);
	const unsigned char *der;
	X509 *certificate;

	if (ask(vault, VAULT_AUTHORITY, 0, env, -1, &reply, err))
		return err_prefix(err, "the certificate authority of %s", env);
	der = reply.ca;
	certificate = reply.ca_bytes <= VAULT_CA_MAX ? d2i_X509(NULL, &der, (long)reply.ca_bytes) : NULL;
	if (!certificate)
		return err_set(err, ERR_BROKEN, "the vault sent no certificate");
	(void)snprintf(hash, 9, "%08x", (unsigned)X509_subject_name_hash(certificate));
	X509_free(certificate);
	buf_add_base64(&text, reply.ca, reply.ca_bytes);
	buf_add_text(pem, "-----BEGIN CERTIFICATE-----\n");
	for (size_t at = 0; at < text.length; at += PEM_LINE_BYTES) {
		buf_add(pem, text.at + at, text.length - at < PEM_LINE_BYTES ? text.length - at : PEM_LINE_BYTES);
		buf_add_char(pem, '\n');
	}
	buf_add_text(pem, "-----END CERTIFICATE-----\n");
	return buf_finish(pem, err);
}

/* ---- credentials ---- */

int vault_secret_set(struct vault *vault, const char *name, const struct credential_use *use, struct view value, struct err *err)
{
	struct vault_seal_request seal = {.header = {.name = VAULT_SEAL}, .about = {.magic = CREDENTIAL_MAGIC}};
	AUTO_FREE char *folder = text_format("%s/vault/" CREDENTIALS_FOLDER, vault->state_dir);
	AUTO_FREE char *path = blob_path(vault, name);
	struct vault_put_request put = {.header = {.name = VAULT_PUT}};
	struct vault_blob_reply sealed;
	struct vault_reply reply;
	int failed;

	if (!credential_name_valid(view_of(name)))
		return err_set(err, ERR_INVALID, "`%.80s` is no name of a credential: lower-case letters, digits and dashes are",
			       name);
	if (credential_use_check(use, err) || credential_value_check(use, value, err) || file_make_dirs(folder, 0700, err))
		return -1;
	(void)snprintf(seal.about.name, sizeof(seal.about.name), "%s", name);
	seal.about.set_ms = world_now_ms(world_real);
	seal.about.use = *use;
	seal.value_bytes = (uint32_t)value.length;
	memcpy(seal.value, value.at, value.length);
	failed = ask_fixed(vault, &seal, sizeof(seal), &sealed, sizeof(sealed), err);
	explicit_bzero(&seal, sizeof(seal));
	if (failed || file_replace(path, view_make(&sealed.blob, sizeof(sealed.blob)), 0600, err))
		return -1;
	put.blob = sealed.blob;
	return ask_fixed(vault, &put, sizeof(put), &reply, sizeof(reply), err);
}

static struct vault_bind_request bind_request(enum vault_ask ask, const char *env, const char *name)
{
	struct vault_bind_request request = {.header = {.name = (uint16_t)ask}};

	(void)snprintf(request.env, sizeof(request.env), "%s", env);
	(void)snprintf(request.name, sizeof(request.name), "%s", name);
	return request;
}

int vault_secret_remove(struct vault *vault, const char *name, struct err *err)
{
	struct vault_bind_request request = bind_request(VAULT_REMOVE, "", name);
	struct vault_bind_reply reply;
	AUTO_FREE char *path = NULL;
	struct err refused = {0};

	if (!credential_name_valid(view_of(name)))
		return err_set(err, ERR_NOT_FOUND, "there is no credential `%.80s`", name);
	path = blob_path(vault, name);
	if (unlink(path))
		return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "there is no credential `%s`", name)
				       : err_errno(err, errno, "cannot remove the credential `%s`", name);
	if (ask_fixed(vault, &request, sizeof(request), &reply, sizeof(reply), &refused) && refused.kind != ERR_NOT_FOUND) {
		*err = refused;
		return -1;
	}
	return 0;
}

struct listing {
	void (*each)(void *self, const char *name, const struct credential_use *use, int64_t set_ms);
	void *self;
};

static void blob_tell(void *self, const struct credential_blob *blob)
{
	const struct listing *listing = self;

	if (memchr(blob->about.name, '\0', sizeof(blob->about.name)) && !credential_use_check(&blob->about.use, NULL))
		listing->each(listing->self, blob->about.name, &blob->about.use, blob->about.set_ms);
}

void vault_secret_each(struct vault *vault,
		       void (*each)(void *self, const char *name, const struct credential_use *use, int64_t set_ms), void *self)
{
	struct listing listing = {each, self};

	blobs_each(vault, blob_tell, &listing);
}

/* With the lock held. */
static void bound_remember(struct vault *vault, const struct vault_bind_request *request)
{
	for (size_t i = 0; i < vault->bound_count; i++)
		if (strcmp(vault->bound[i].env, request->env) == 0 && strcmp(vault->bound[i].name, request->name) == 0)
			return;
	if (vault->bound_count == BOUND_MAX)
		return; /* the vault has no more room either */
	vault->bound = mem_grow(vault->bound, vault->bound_count + 1, sizeof(*vault->bound));
	vault->bound[vault->bound_count++] = *request;
}

int vault_secret_bind(struct vault *vault, const char *env, const char *name, struct credential_use *use, struct buf *placeholder,
		      struct err *err)
{
	struct vault_bind_request request = bind_request(VAULT_BIND, env, name);
	struct vault_bind_reply reply;
	struct err refused = {0};
	int failed;

	(void)pthread_mutex_lock(&vault->lock);
	failed = ask_locked(vault, &request, sizeof(request), -1, &reply, sizeof(reply), &refused);
	if (!failed)
		bound_remember(vault, &request);
	(void)pthread_mutex_unlock(&vault->lock);
	if (failed && refused.kind == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "there is no credential `%.80s`: assay secret set %.80s", name, name);
	if (failed || reply.placeholder_bytes > sizeof(reply.placeholder))
		return failed ? err_set(err, refused.kind, "%s", refused.text)
			      : err_set(err, ERR_BROKEN, "the vault sent no placeholder");
	*use = reply.about.use;
	buf_add(placeholder, reply.placeholder, reply.placeholder_bytes);
	return 0;
}

int vault_secret_unbind(struct vault *vault, const char *env, struct err *err)
{
	struct vault_bind_request request = bind_request(VAULT_UNBIND, env, "");
	struct vault_bind_reply reply;
	struct err local;
	size_t kept = 0;
	int failed;

	(void)pthread_mutex_lock(&vault->lock);
	for (size_t i = 0; i < vault->bound_count; i++)
		if (env[0] && strcmp(vault->bound[i].env, env) != 0)
			vault->bound[kept++] = vault->bound[i];
	vault->bound_count = kept;
	failed = ask_locked(vault, &request, sizeof(request), -1, &reply, sizeof(reply), err ? err : &local);
	(void)pthread_mutex_unlock(&vault->lock);
	return failed;
}
