/* One environment: its rules, its known secrets, and what it sent in pieces. */
#include <stdlib.h>

#include "base/scope.h"
#include "base/world.h"
#include "gateway/dlp/dlp_priv.h"

struct dlp *dlp_new(struct dlp_rules *rules)
{
	struct dlp *dlp = mem_new(sizeof *dlp);

	atomic_init(&dlp->references, 1);
	if (pthread_mutex_init(&dlp->lock, NULL))
		abort();
	dlp->rules = dlp_rules_ref(rules);
	return dlp;
}

struct dlp *dlp_ref(struct dlp *dlp)
{
	atomic_fetch_add(&dlp->references, 1);
	return dlp;
}

void dlp_unref(struct dlp *dlp)
{
	if (!dlp || atomic_fetch_sub(&dlp->references, 1) != 1)
		return;
	dlp_rules_unref(dlp->rules);
	secrets_unref(dlp->secrets);
	known_unref(dlp->known);
	free(dlp->known_parts);
	free(dlp->pieces_seen);
	free(dlp->pieces_ms);
	heads_fini(dlp);
	explicit_bzero(dlp->rings, sizeof dlp->rings);
	(void)pthread_mutex_destroy(&dlp->lock);
	free(dlp);
}

void dlp_rules_set(struct dlp *dlp, struct dlp_rules *rules)
{
	struct dlp_rules *old;

	(void)dlp_rules_ref(rules);
	(void)pthread_mutex_lock(&dlp->lock);
	old = dlp->rules;
	dlp->rules = rules;
	(void)pthread_mutex_unlock(&dlp->lock);
	dlp_rules_unref(old);
}

int dlp_secrets_set(struct dlp *dlp, const struct dlp_secret *secrets, size_t count, struct err *err)
{
	struct secrets *made, *old;

	if (count > DLP_SECRETS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d secrets to be looked for in one environment", DLP_SECRETS_MAX);
	for (size_t i = 0; i < count; i++)
		if (secrets[i].value.length > DLP_SECRET_MOST)
			return err_set(err, ERR_LIMIT, "secret %s: it is longer than %zu bytes", secrets[i].name, DLP_SECRET_MOST);
	made = secrets_new(secrets, count, err);
	if (!made)
		return -1;
	(void)pthread_mutex_lock(&dlp->lock);
	old = dlp->secrets;
	dlp->secrets = made;
	free(dlp->pieces_seen);
	free(dlp->pieces_ms);
	dlp->pieces_seen = mem_new_array(count ? count : 1, sizeof *dlp->pieces_seen);
	dlp->pieces_ms = mem_new_array(count ? count : 1, sizeof *dlp->pieces_ms);
	(void)pthread_mutex_unlock(&dlp->lock);
	secrets_unref(old);
	return 0;
}

void dlp_known_set(struct dlp *dlp, const struct dlp_known *list, size_t count)
{
	struct known *made = count ? known_new(list, count) : NULL;
	struct known *old;

	(void)pthread_mutex_lock(&dlp->lock);
	old = dlp->known;
	dlp->known = made;
	free(dlp->known_parts);
	dlp->known_parts = made ? known_parts_new(made) : NULL;
	(void)pthread_mutex_unlock(&dlp->lock);
	known_unref(old);
}

bool window_part(struct dlp *dlp, const struct known *known, const struct known_hit *hit)
{
	int64_t now = world_elapsed_ms(world_real);
	bool enough;

	(void)pthread_mutex_lock(&dlp->lock);
	enough = dlp->known == known && known_part(dlp->known_parts, hit, now);
	(void)pthread_mutex_unlock(&dlp->lock);
	return enough;
}

/* Bytes of the secret that its pieces cover. */
static size_t pieces_cover(const struct secrets *secrets, size_t secret, uint64_t seen)
{
	size_t covered = 0, end = 0;

	for (size_t i = 0; i < secrets->literal_count; i++) {
		const struct literal *literal = &secrets->literals[i];

		if (literal->secret != secret || literal->piece < 0 || !(seen >> literal->piece & 1))
			continue;
		covered += literal->at >= end ? literal->length : (size_t)literal->at + literal->length - end;
		end = (size_t)literal->at + literal->length;
	}
	return covered;
}

bool window_piece(struct dlp *dlp, const struct secrets *secrets, const struct literal *literal)
{
	int64_t now = world_elapsed_ms(world_real);
	size_t secret = literal->secret;
	bool enough = false;

	(void)pthread_mutex_lock(&dlp->lock);
	if (dlp->secrets == secrets) {
		if (now - dlp->pieces_ms[secret] > PIECES_KEPT_MS)
			dlp->pieces_seen[secret] = 0;
		dlp->pieces_ms[secret] = now;
		dlp->pieces_seen[secret] |= (uint64_t)1 << literal->piece;
		enough = pieces_cover(secrets, secret, dlp->pieces_seen[secret]) * 100 >= secrets->sizes[secret] * PIECES_PERCENT;
	}
	(void)pthread_mutex_unlock(&dlp->lock);
	return enough;
}

static struct ring *ring_get(struct dlp *dlp, uint64_t key)
{
	struct ring *oldest = &dlp->rings[0];

	for (size_t i = 0; i < RINGS_MAX; i++) {
		struct ring *ring = &dlp->rings[i];

		if (ring->used && ring->key == key)
			return ring;
		if (ring->used < oldest->used)
			oldest = ring;
	}
	*oldest = (struct ring){.key = key};
	return oldest;
}

size_t window_ring(struct dlp *dlp, const char *field, struct view name, struct view value, char text[RING_BYTES])
{
	uint64_t key = view_hash(view_of(field)) * 31 + view_hash(name);
	struct ring *ring;
	size_t length;

	(void)pthread_mutex_lock(&dlp->lock);
	ring = ring_get(dlp, key);
	ring->used = ++dlp->turn;
	if (ring->length + value.length > RING_BYTES) {
		size_t drop = ring->length + value.length - RING_BYTES;

		memmove(ring->text, ring->text + drop, ring->length - drop);
		ring->length -= drop;
	}
	memcpy(ring->text + ring->length, value.at, value.length);
	ring->length += value.length;
	length = ring->length;
	memcpy(text, ring->text, length);
	(void)pthread_mutex_unlock(&dlp->lock);
	return length;
}
