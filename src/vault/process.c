/*
 * The vault's process: loads its keys, confines itself, then answers one message after the other until the control plane's link is closed.
 * The gateway's link comes over that one, and is replaced by the next; what either may ask is a row.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "vault/vault_priv.h"

#define SEALS_NEEDED (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

enum peer { PEER_CONTROL, PEER_GATEWAY, PEERS };

struct process {
	struct vault_key *key;
	struct vault_ca *ca;
	struct vault_credentials *credentials;
	int links[PEERS]; /* -1: none */
};

union request {
	struct message_header header;
	struct vault_request control;
	struct vault_identity_request identity;
	struct vault_mint_request mint;
	struct vault_release_request release;
	struct vault_fingerprint_request fingerprint;
	struct vault_seal_request seal;
	struct vault_put_request put;
	struct vault_bind_request bind;
};

union reply {
	struct message_header header;
	struct vault_reply control;
	struct vault_identity_reply identity;
	struct vault_mint_reply mint;
	struct vault_release_reply release;
	struct vault_fingerprint_reply fingerprint;
	struct vault_blob_reply blob;
	struct vault_bind_reply bind;
};

struct row {
	uint16_t name;
	enum peer from;
	size_t request_bytes;
	size_t reply_bytes;
	/* Fills the reply; the descriptor (-1: none came) may be taken. */
	void (*answer)(struct process *process, const union request *request, int *fd, union reply *reply);
	bool secret; /* request or reply holds what must not stay on the stack */
};

static int64_t now_seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}

static int32_t errno_of(const struct err *err)
{
	return err->kind == ERR_INVALID ? EINVAL : EIO;
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

static void on_sign(struct process *process, const union request *request, int *fd, union reply *reply)
{
	memcpy(reply->control.key_id, vault_key_id(process->key), strlen(vault_key_id(process->key)));
	reply->control.errno_value = request_sign(process->key, &request->control, *fd, reply->control.signature);
}

static void on_public_key(struct process *process, const union request *request, int *fd, union reply *reply)
{
	const char *pem = vault_key_pem(process->key);

	(void)request;
	(void)fd;
	memcpy(reply->control.key_id, vault_key_id(process->key), strlen(vault_key_id(process->key)));
	reply->control.pem_bytes = (uint32_t)strlen(pem);
	memcpy(reply->control.pem, pem, reply->control.pem_bytes);
}

static void on_gateway(struct process *process, const union request *request, int *fd, union reply *reply)
{
	(void)request;
	if (*fd < 0) {
		reply->control.errno_value = EBADF;
		return;
	}
	scope_close(&process->links[PEER_GATEWAY]);
	process->links[PEER_GATEWAY] = TAKE_FD(*fd);
}

/* Copies what was made into its place of a reply, or says why there is none. */
static void made_put(int failed, const struct err *err, const struct buf *made, unsigned char *place, size_t place_bytes,
		     uint32_t *bytes, int32_t *errno_value)
{
	if (failed || made->over || made->length > place_bytes) {
		*errno_value = failed ? errno_of(err) : EMSGSIZE;
		return;
	}
	memcpy(place, made->at, made->length);
	*bytes = (uint32_t)made->length;
}

static void on_authority(struct process *process, const union request *request, int *fd, union reply *reply)
{
	AUTO_BUF der = buf_new(VAULT_CA_MAX);
	struct err err;
	int failed = vault_ca_certificate(process->ca, request->control.env, now_seconds(), &der, &err);

	(void)fd;
	made_put(failed, &err, &der, reply->control.ca, VAULT_CA_MAX, &reply->control.ca_bytes, &reply->control.errno_value);
}

static void on_identity(struct process *process, const union request *request, int *fd, union reply *reply)
{
	struct vault_identity_reply *out = &reply->identity;
	AUTO_BUF key = buf_new(VAULT_KEY_MAX);
	AUTO_BUF ca = buf_new(VAULT_CA_MAX);
	struct err err;
	int failed = vault_ca_leaf_key(process->ca, request->identity.env, &key, &err);

	(void)fd;
	made_put(failed, &err, &key, out->key, VAULT_KEY_MAX, &out->key_bytes, &out->errno_value);
	if (key.at)
		OPENSSL_cleanse(key.at, key.length);
	if (out->errno_value)
		return;
	failed = vault_ca_certificate(process->ca, request->identity.env, now_seconds(), &ca, &err);
	made_put(failed, &err, &ca, out->ca, VAULT_CA_MAX, &out->ca_bytes, &out->errno_value);
}

static void on_mint(struct process *process, const union request *request, int *fd, union reply *reply)
{
	const struct vault_mint_request *mint = &request->mint;
	AUTO_BUF der = buf_new(VAULT_LEAF_MAX);
	struct err err;
	int failed = vault_ca_mint(process->ca, mint->env, mint->host, now_seconds(), &der, &err);

	(void)fd;
	made_put(failed, &err, &der, reply->mint.leaf, VAULT_LEAF_MAX, &reply->mint.leaf_bytes, &reply->mint.errno_value);
}

static void on_seal(struct process *process, const union request *request, int *fd, union reply *reply)
{
	const struct vault_seal_request *seal = &request->seal;

	(void)fd;
	reply->blob.errno_value = seal->value_bytes > sizeof(seal->value)
					  ? EMSGSIZE
					  : vault_credential_seal(process->credentials, &seal->about,
								  view_make(seal->value, seal->value_bytes), &reply->blob.blob);
}

/* Tells the gateway, which is never waited for: one that does not take it asks for everything again over its next link. */
static void changed_tell(struct process *process, const char name[CREDENTIAL_NAME_MAX])
{
	struct vault_changed changed = {.header = {.length = sizeof(changed), .version = MESSAGE_VERSION, .name = VAULT_CHANGED}};

	if (process->links[PEER_GATEWAY] < 0)
		return;
	memcpy(changed.name, name, sizeof(changed.name));
	if (send(process->links[PEER_GATEWAY], &changed, sizeof(changed), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(changed))
		return;
	scope_close(&process->links[PEER_GATEWAY]);
	process->links[PEER_GATEWAY] = -1;
}

static void on_put(struct process *process, const union request *request, int *fd, union reply *reply)
{
	(void)fd;
	reply->control.errno_value = vault_credential_put(process->credentials, &request->put.blob);
	if (!reply->control.errno_value)
		changed_tell(process, request->put.blob.about.name);
}

static bool texts_end(const struct vault_bind_request *request)
{
	return memchr(request->env, '\0', sizeof(request->env)) && memchr(request->name, '\0', sizeof(request->name));
}

static void on_remove(struct process *process, const union request *request, int *fd, union reply *reply)
{
	(void)fd;
	reply->bind.errno_value = texts_end(&request->bind) ? vault_credential_remove(process->credentials, request->bind.name)
							    : EINVAL;
	if (!reply->bind.errno_value)
		changed_tell(process, request->bind.name);
}

static void on_bind(struct process *process, const union request *request, int *fd, union reply *reply)
{
	AUTO_BUF placeholder = buf_new(CREDENTIAL_VALUE_MAX);

	(void)fd;
	reply->bind.errno_value = texts_end(&request->bind)
					  ? vault_credential_bind(process->credentials, request->bind.env, request->bind.name,
								  &reply->bind.about, &placeholder)
					  : EINVAL;
	if (reply->bind.errno_value || placeholder.over)
		return;
	memcpy(reply->bind.placeholder, placeholder.at, placeholder.length);
	reply->bind.placeholder_bytes = (uint32_t)placeholder.length;
}

static void on_unbind(struct process *process, const union request *request, int *fd, union reply *reply)
{
	(void)fd;
	if (!texts_end(&request->bind))
		reply->bind.errno_value = EINVAL;
	else
		vault_credential_unbind(process->credentials, request->bind.env);
}

static void on_release(struct process *process, const union request *request, int *fd, union reply *reply)
{
	struct view value = {NULL, 0};

	(void)fd;
	reply->release.errno_value = vault_credential_release(process->credentials, &request->release, &value);
	if (reply->release.errno_value)
		return;
	memcpy(reply->release.value, value.at, value.length);
	reply->release.value_bytes = (uint32_t)value.length;
}

static void on_fingerprint(struct process *process, const union request *request, int *fd, union reply *reply)
{
	(void)fd;
	reply->fingerprint.errno_value = vault_credential_fingerprint(process->credentials, &request->fingerprint,
								      &reply->fingerprint.print);
}

static const struct row rows[] = {
	{VAULT_SIGN, PEER_CONTROL, sizeof(struct vault_request), sizeof(struct vault_reply), on_sign},
	{VAULT_PUBLIC_KEY, PEER_CONTROL, sizeof(struct vault_request), sizeof(struct vault_reply), on_public_key},
	{VAULT_GATEWAY, PEER_CONTROL, sizeof(struct vault_request), sizeof(struct vault_reply), on_gateway},
	{VAULT_AUTHORITY, PEER_CONTROL, sizeof(struct vault_request), sizeof(struct vault_reply), on_authority},
	{VAULT_IDENTITY, PEER_GATEWAY, sizeof(struct vault_identity_request), sizeof(struct vault_identity_reply), on_identity,
	 true},
	{VAULT_MINT, PEER_GATEWAY, sizeof(struct vault_mint_request), sizeof(struct vault_mint_reply), on_mint},
	{VAULT_SEAL, PEER_CONTROL, sizeof(struct vault_seal_request), sizeof(struct vault_blob_reply), on_seal, true},
	{VAULT_PUT, PEER_CONTROL, sizeof(struct vault_put_request), sizeof(struct vault_reply), on_put},
	{VAULT_REMOVE, PEER_CONTROL, sizeof(struct vault_bind_request), sizeof(struct vault_bind_reply), on_remove},
	{VAULT_BIND, PEER_CONTROL, sizeof(struct vault_bind_request), sizeof(struct vault_bind_reply), on_bind},
	{VAULT_UNBIND, PEER_CONTROL, sizeof(struct vault_bind_request), sizeof(struct vault_bind_reply), on_unbind},
	{VAULT_RELEASE, PEER_GATEWAY, sizeof(struct vault_release_request), sizeof(struct vault_release_reply), on_release, true},
	{VAULT_FINGERPRINT, PEER_GATEWAY, sizeof(struct vault_fingerprint_request), sizeof(struct vault_fingerprint_reply),
	 on_fingerprint, true},
};

/* Receives one request and at most one descriptor. Returns its row; NULL at the end of the link or for what is no request of ours. */
static const struct row *request_receive(int link, enum peer from, union request *request, int *fd, bool *ended)
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
	*ended = got == 0;
	if (got <= 0)
		return NULL;
	ancillary = CMSG_FIRSTHDR(&message);
	if (ancillary && ancillary->cmsg_level == SOL_SOCKET && ancillary->cmsg_type == SCM_RIGHTS &&
	    ancillary->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(ancillary), sizeof(*fd));
	if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (size_t)got < sizeof(request->header) ||
	    request->header.length != (size_t)got || request->header.version != MESSAGE_VERSION)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].name == request->header.name && rows[i].from == from && rows[i].request_bytes == (size_t)got)
			return &rows[i];
	return NULL;
}

/* One request of that peer. Returns 1, 0 at the end of the link, -1 for what is no request of ours or when nobody takes the answer. */
static int peer_answer(struct process *process, enum peer from)
{
	union request request;
	union reply reply = {.header = {0}};
	AUTO_CLOSE int fd = -1;
	int link = process->links[from];
	bool ended;
	const struct row *row = request_receive(link, from, &request, &fd, &ended);
	ssize_t sent;

	if (!row)
		return ended ? 0 : -1;
	memset(&reply, 0, sizeof(reply));
	reply.header = request.header;
	reply.header.length = (uint32_t)row->reply_bytes;
	row->answer(process, &request, &fd, &reply);
	do /* the gateway, which asks for little at once, is never waited for */
		sent = send(link, &reply, row->reply_bytes, MSG_NOSIGNAL | (from == PEER_GATEWAY ? MSG_DONTWAIT : 0));
	while (sent < 0 && errno == EINTR);
	if (row->secret) {
		OPENSSL_cleanse(&reply, sizeof(reply));
		OPENSSL_cleanse(&request, sizeof(request));
	}
	return sent == (ssize_t)row->reply_bytes ? 1 : -1;
}

static int vault_serve(struct process *process)
{
	for (;;) {
		struct pollfd waits[PEERS] = {{process->links[PEER_CONTROL], POLLIN, 0}, {process->links[PEER_GATEWAY], POLLIN, 0}};

		if (poll(waits, PEERS, -1) < 0 && errno != EINTR)
			return 1;
		if (waits[PEER_CONTROL].revents) {
			int got = peer_answer(process, PEER_CONTROL);

			if (got <= 0)
				return got < 0;
		}
		/* It may just have been replaced: then the next turn says what waits on the new one. */
		if (waits[PEER_GATEWAY].revents && waits[PEER_GATEWAY].fd == process->links[PEER_GATEWAY] &&
		    peer_answer(process, PEER_GATEWAY) <= 0) {
			scope_close(&process->links[PEER_GATEWAY]);
			process->links[PEER_GATEWAY] = -1;
		}
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
	struct process process = {.links = {-1, -1}};
	const char *state_dir = NULL;
	struct err err;
	int code;

	log_init("vault", LOG_LEVEL_INFO);
	if (!arguments_parse(argc, argv, &state_dir, &process.links[PEER_CONTROL])) {
		log_error("usage: assay vault --state DIR --link-fd N; it is started by assay serve");
		return 2;
	}
	if (vault_key_load(state_dir, &process.key, &err) || vault_ca_load(state_dir, &process.ca, &err) ||
	    vault_credentials_load(state_dir, &process.credentials, &err) || vault_confine(&err)) {
		log_error("%s", err.text);
		return 1;
	}
	code = vault_serve(&process);
	vault_credentials_free(process.credentials);
	vault_ca_free(process.ca);
	vault_key_free(process.key);
	_exit(code); /* no handlers: what they would call is not allowed any more */
}
