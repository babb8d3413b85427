/*
 * What the programs of a pod trust: the authorities of the link's own image and the environment's, in the folder that the programs' container has as
 * its /etc/ssl/certs, under the names that a room of one machine has there (sandbox/local/trust.c). What the programs' image had there is not seen.
 */
#include "sandbox/link/pod_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "sandbox/keystore.h"

#define SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"
#define HASH_LENGTH 8

int pod_trust_write(struct err *err)
{
	const char *authority = getenv(POD_ENV_TRUST);
	const char *hash = getenv(POD_ENV_TRUST_HASH);
	AUTO_BUF bundle = buf_new(KEYSTORE_BYTES_MAX);
	AUTO_BUF store = buf_new(KEYSTORE_BYTES_MAX);

	if (!authority || !*authority)
		return 0;
	if (file_exists(SYSTEM_BUNDLE) && file_read(SYSTEM_BUNDLE, &bundle, err))
		return -1;
	if (bundle.length && bundle.at[bundle.length - 1] != '\n')
		buf_add_char(&bundle, '\n');
	buf_add_text(&bundle, authority);
	keystore_format(&store, buf_view(&bundle));
	if (buf_finish(&bundle, err) || buf_finish(&store, err) || file_make_dirs(POD_CERTIFICATES, 0755, err) ||
	    file_replace(POD_CERTIFICATES "/ca-certificates.crt", buf_view(&bundle), 0644, err) ||
	    file_replace(POD_CERTIFICATES "/assay.pem", view_of(authority), 0644, err) ||
	    file_replace(POD_CERTIFICATES "/assay.jks", buf_view(&store), 0644, err))
		return -1;
	if (hash && strlen(hash) == HASH_LENGTH && strspn(hash, "0123456789abcdef") == HASH_LENGTH) {
		AUTO_FREE char *link = text_format(POD_CERTIFICATES "/%s.0", hash);

		if (symlink("assay.pem", link) && errno != EEXIST)
			return err_errno(err, errno, "cannot make %s", link);
	}
	return 0;
}
