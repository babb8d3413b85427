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
#include "sandbox/local/keeper_priv.h"
#include "sandbox/local/room_priv.h"

#define FOLDER "/etc/ssl/certs"
#define BUNDLE_BYTES_MAX ((size_t)4 << 20)
#define JKS_MAGIC 0xfeedfeedu
#define JKS_VERSION 2
#define JKS_CERTIFICATE 2
#define JKS_DIGEST_BYTES 20 /* over a password that nobody has: not looked at without one */
#define CERTIFICATES_MAX 1024

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
		    (size_t)info.st_size > BUNDLE_BYTES_MAX / 2)
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

static void number_add(struct buf *out, uint64_t number, unsigned bytes)
{
	while (bytes--)
		buf_add_char(out, (char)(number >> (8 * bytes)));
}

static void text_add(struct buf *out, const char *text)
{
	number_add(out, strlen(text), 2);
	buf_add_text(out, text);
}

/* One certificate's base64, lines and all, as an entry; false: it is none. */
static bool jks_entry_add(struct buf *out, struct view base64, uint32_t number)
{
	AUTO_BUF joined = buf_new(base64.length + 1);
	AUTO_BUF der = buf_new(base64.length + 1);
	char alias[24];

	for (size_t i = 0; i < base64.length; i++)
		if (base64.at[i] != '\n' && base64.at[i] != '\r')
			buf_add_char(&joined, base64.at[i]);
	if (buf_add_unbase64(&der, buf_view(&joined), NULL) || !der.length)
		return false;
	(void)snprintf(alias, sizeof(alias), "assay%u", number);
	number_add(out, JKS_CERTIFICATE, 4);
	text_add(out, alias);
	number_add(out, 0, 8); /* when: of no importance */
	text_add(out, "X.509");
	number_add(out, der.length, 4);
	buf_add_view(out, buf_view(&der));
	return true;
}

/* The certificates of a PEM bundle as a Java key store (JKS, which every Java reads whatever type it is told to expect). */
static void jks_format(struct buf *out, struct view bundle)
{
	static const struct view begin = {"-----BEGIN CERTIFICATE-----", 27};
	static const struct view end = {"-----END CERTIFICATE-----", 25};
	AUTO_BUF entries = buf_new(BUNDLE_BYTES_MAX);
	uint32_t count = 0;
	ptrdiff_t at;

	while (count < CERTIFICATES_MAX && (at = view_find(bundle, begin)) >= 0) {
		ptrdiff_t length;

		bundle = view_make(bundle.at + at + begin.length, bundle.length - (size_t)at - begin.length);
		length = view_find(bundle, end);
		if (length < 0)
			break;
		count += jks_entry_add(&entries, view_make(bundle.at, (size_t)length), count);
	}
	number_add(out, JKS_MAGIC, 4);
	number_add(out, JKS_VERSION, 4);
	number_add(out, count, 4);
	buf_add_view(out, buf_view(&entries));
	for (int i = 0; i < JKS_DIGEST_BYTES; i++)
		buf_add_char(out, '\0');
}

int room_trust(const struct plan *plan, struct err *err)
{
	const struct keeper_request *request = plan->request;
	AUTO_BUF bundle = buf_new(BUNDLE_BYTES_MAX);
	AUTO_BUF store = buf_new(BUNDLE_BYTES_MAX);
	AUTO_CLOSE int folder = -1;
	char link[16];

	if (!request->authority[0])
		return 0;
	bundle_read(&bundle);
	buf_add_text(&bundle, request->authority);
	jks_format(&store, buf_view(&bundle));
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
