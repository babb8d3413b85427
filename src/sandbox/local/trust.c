/*
 * The environment's own certificate authority inside a room: beside the system's in the bundle that programs read, alone in assay.pem and
 * under its hash (for OpenSSL's folder of certificates), and all of them again as a Java key store. Written into the room's own layer before
 * anything of the room runs; what an image has there is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/keystore.h"
#include "sandbox/local/keeper_priv.h"
#include "sandbox/local/room_priv.h"

#define FOLDER "/etc/ssl/certs"

/* Where images keep the authorities they trust: the first there is. */
static const char *const bundles[] = {"etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt",
				      "etc/ssl/ca-bundle.pem", "etc/ssl/cert.pem"};

static void bundle_read(struct buf *bundle)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};

	for (size_t i = 0; i < ARRAY_LEN(bundles); i++) {
		AUTO_CLOSE int fd = (int)syscall(SYS_openat2, AT_FDCWD, bundles[i], &how, sizeof(how));
		struct stat info;
		ssize_t got = 1;

		if (fd < 0 || fstat(fd, &info) || !S_ISREG(info.st_mode) || info.st_size <= 0 ||
		    (size_t)info.st_size > KEYSTORE_BYTES_MAX / 2)
			continue;
		while (got > 0) {
			char *place = buf_reserve(bundle, 65536);

			got = place ? read(fd, place, 65536) : 0;
			if (got > 0)
				buf_commit(bundle, (size_t)got);
		}
		if (bundle->length && bundle->at[bundle->length - 1] != '\n')
			buf_add_char(bundle, '\n');
		return;
	}
}

static int trust_file(const struct plan *plan, int folder, const char *name, struct view bytes, struct err *err)
{
	AUTO_CLOSE int fd = -1;

	if (unlinkat(folder, name, 0) && errno != ENOENT)
		return err_errno(err, errno, "cannot replace " FOLDER "/%s", name);
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_errno(err, errno, "cannot make " FOLDER "/%s", name);
	(void)!fchown(fd, kept_env_id(plan->env, 0), kept_env_id(plan->env, 0));
	(void)!fchmod(fd, 0644);
	return file_write_fd(fd, bytes, err);
}

int room_trust(const struct plan *plan, struct err *err)
{
	const struct keeper_request *request = plan->request;
	AUTO_BUF bundle = buf_new(KEYSTORE_BYTES_MAX);
	AUTO_BUF store = buf_new(KEYSTORE_BYTES_MAX);
	AUTO_CLOSE int folder = -1;
	char link[16];

	if (!request->authority[0])
		return 0;
	bundle_read(&bundle);
	buf_add_text(&bundle, request->authority);
	keystore_format(&store, buf_view(&bundle));
	if (room_folder_open(plan, FOLDER, &folder, err) ||
	    trust_file(plan, folder, "ca-certificates.crt", buf_view(&bundle), err) ||
	    trust_file(plan, folder, "assay.pem", view_of(request->authority), err) ||
	    trust_file(plan, folder, "assay.jks", buf_view(&store), err))
		return -1;
	(void)snprintf(link, sizeof(link), "%s.0", request->authority_hash);
	if (request->authority_hash[0] && symlinkat("assay.pem", folder, link) && errno != EEXIST)
		return err_errno(err, errno, "cannot make " FOLDER "/%s", link);
	return 0;
}
