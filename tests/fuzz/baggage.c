/* A `baggage` field of anybody's: what is kept of it has no environment in it, is no longer than what must be passed on, and stays as it is when it is read again. */
#include <assert.h>

#include "base/scope.h"
#include "gateway/shared.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF once = buf_new(SHARED_BAGGAGE_MAX * 2);
	AUTO_BUF twice = buf_new(SHARED_BAGGAGE_MAX * 2);
	char env[64] = "";
	char again[64] = "";

	if (!size)
		return 0;
	shared_baggage_read(view_make((const char *)data, size), &once, env);
	assert(once.length <= SHARED_BAGGAGE_MAX && strlen(env) < sizeof(env));
	if (!once.length)
		return 0;
	shared_baggage_read(buf_view(&once), &twice, again);
	assert(!again[0] && view_equal(buf_view(&once), buf_view(&twice)));
	return 0;
}
