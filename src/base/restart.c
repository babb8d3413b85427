/* Pauses between starts that fail. */
#include "base/restart.h"

int restart_allowed(const struct restart *restart, int64_t now_ms, const char *what, struct err *err)
{
	if (!restart->pause_ms || now_ms >= restart->again_ms)
		return 0;
	return err_set(err, ERR_RETRY, "%s could not be started (its log says why), and is tried again in %lld ms", what,
		       (long long)(restart->again_ms - now_ms));
}

void restart_ended(struct restart *restart, int64_t now_ms, bool good)
{
	int64_t next_ms = restart->pause_ms ? restart->pause_ms * 2 : RESTART_PAUSE_FIRST_MS;

	restart->pause_ms = good ? 0 : next_ms < RESTART_PAUSE_LONGEST_MS ? next_ms : RESTART_PAUSE_LONGEST_MS;
	restart->again_ms = now_ms + restart->pause_ms;
}
