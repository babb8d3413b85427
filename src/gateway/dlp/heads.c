/*
 * Heads that had nothing.
 *
 * Theory of operation: programs send the same head again and again. What a look at a head finds follows from its text, the rules and the secrets
 * alone, as long as it finds nothing: so a head that is, byte for byte, one that had nothing under the very same rules and secrets is not looked at
 * again. Whatever was found, even a piece of something, is looked at each time.
 */
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/dlp/dlp_priv.h"

#define TEXT_MOST ((size_t)4096) /* of both texts; longer ones are rare */

static bool head_is(const struct head_seen *seen, const struct dlp_message *message, struct view plain, struct view pieced)
{
	return seen->text && seen->rules == message->rules->serial &&
	       seen->secrets == (message->secrets ? message->secrets->serial : 0) && seen->known == known_serial(message->known) &&
	       seen->plain_bytes == plain.length && seen->pieced_bytes == pieced.length &&
	       memcmp(seen->text, plain.at, plain.length) == 0 &&
	       (!pieced.length || memcmp(seen->text + plain.length, pieced.at, pieced.length) == 0);
}

bool heads_had_nothing(const struct dlp_message *message, struct view plain, struct view pieced)
{
	struct dlp *dlp = message->dlp;
	bool found = false;

	(void)pthread_mutex_lock(&dlp->lock);
	for (size_t i = 0; i < HEADS_KEPT && !found; i++)
		found = head_is(&dlp->heads[i], message, plain, pieced);
	(void)pthread_mutex_unlock(&dlp->lock);
	return found;
}

static void head_drop(struct head_seen *seen)
{
	if (seen->text)
		explicit_bzero(seen->text, seen->plain_bytes + seen->pieced_bytes);
	free(seen->text);
	*seen = (struct head_seen){0};
}

void heads_nothing_add(const struct dlp_message *message, struct view plain, struct view pieced)
{
	struct dlp *dlp = message->dlp;
	struct head_seen *seen;

	if (!plain.length || plain.length + pieced.length > TEXT_MOST)
		return;
	(void)pthread_mutex_lock(&dlp->lock);
	seen = &dlp->heads[dlp->heads_next++ % HEADS_KEPT];
	head_drop(seen);
	*seen = (struct head_seen){.rules = message->rules->serial,
				   .secrets = message->secrets ? message->secrets->serial : 0,
				   .known = known_serial(message->known),
				   .plain_bytes = plain.length,
				   .pieced_bytes = pieced.length,
				   .text = mem_new(plain.length + pieced.length)};
	memcpy(seen->text, plain.at, plain.length);
	if (pieced.length)
		memcpy(seen->text + plain.length, pieced.at, pieced.length);
	(void)pthread_mutex_unlock(&dlp->lock);
}

void heads_fini(struct dlp *dlp)
{
	for (size_t i = 0; i < HEADS_KEPT; i++)
		head_drop(&dlp->heads[i]);
}
