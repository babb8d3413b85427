/* The beginning of a PostgreSQL connection: any bytes are a start-up packet, the beginning of one, or none, and never read in two ways; no server's
 * messages, in whatever pieces, get the password of a login that is not to be told it. */
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "gateway/egress/postgres_login.h"

#define PASSWORD "correct horse battery"
#define ITERATIONS_FUZZED 4 /* more only takes longer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void client(struct view bytes)
{
	struct postgres_start start, again;
	struct view password;
	size_t used = 0;
	enum postgres_start_kind kind = postgres_start_parse(bytes, &start);

	if (start.packet.length > bytes.length || (kind == POSTGRES_START_BAD) != (start.why != NULL))
		abort();
	if (kind == POSTGRES_START_LOGIN && (!start.user[0] || !start.database[0] || strchr(start.database, '/')))
		abort();
	if (kind != POSTGRES_START_MORE && kind != POSTGRES_START_BAD && postgres_start_parse(start.packet, &again) != kind)
		abort();
	if (postgres_password_parse(bytes, &password, &used) == 1 &&
	    (used > bytes.length || memchr(password.at, '\0', password.length)))
		abort();
}

static void server(struct view bytes, size_t piece)
{
	static const unsigned char nonce[POSTGRES_NONCE_BYTES] = {0};
	struct postgres_auth *auth = postgres_auth_new("app", VIEW(PASSWORD), false, nonce);
	AUTO_BUF out = buf_new((size_t)4 << 20);
	AUTO_BUF back = buf_new((size_t)4 << 20);
	AUTO_BUF kept = buf_new((size_t)4 << 20);
	enum postgres_auth_result result = POSTGRES_AUTH_MORE;
	const char *why;

	for (size_t at = 0; at <= bytes.length && result <= POSTGRES_AUTH_WORK; at += piece) {
		struct view rest;

		buf_add(&kept, bytes.at + at, bytes.length - at < piece ? bytes.length - at : piece);
		if (result == POSTGRES_AUTH_WORK)
			postgres_auth_work(auth);
		rest = buf_view(&kept);
		result = postgres_auth_feed(auth, &rest, &out, &back, &why);
		buf_drop_front(&kept, kept.length - rest.length);
	}
	if (view_find(buf_view(&out), VIEW(PASSWORD)) >= 0 || view_find(buf_view(&back), VIEW(PASSWORD)) >= 0)
		abort();
	postgres_auth_free(auth);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view bytes = view_make(data, size);

	client(bytes);
	/* Iterations of more than a few digits are a matter of time, not of memory. */
	for (size_t i = 0; i + 7 < size; i++)
		if (data[i] == 'i' && data[i + 1] == '=' && data[i + 2 + ITERATIONS_FUZZED] >= '0' &&
		    data[i + 2 + ITERATIONS_FUZZED] <= '9')
			return 0;
	if (size && view_find(bytes, VIEW(PASSWORD)) < 0)
		server(view_make(data + 1, size - 1), (size_t)data[0] + 1);
	return 0;
}
