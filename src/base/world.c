/* The real world, and the text forms of ids, times, durations and sizes. */
#include "base/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t clock_ms(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t real_now_ms(void *self)
{
	(void)self;
	return clock_ms(CLOCK_REALTIME);
}

static int64_t real_elapsed_ms(void *self)
{
	(void)self;
	return clock_ms(CLOCK_MONOTONIC);
}

static void real_random(void *self, void *at, size_t length)
{
	char *place = at;

	(void)self;
	while (length) {
		ssize_t got = getrandom(place, length, 0);

		if (got < 0)
			abort();
		place += got;
		length -= (size_t)got;
	}
}

static const struct world_ops real_ops = {real_now_ms, real_elapsed_ms, real_random};
const struct world world_real = {&real_ops, NULL};

int64_t world_now_ms(struct world world)
{
	return world.ops->now_ms(world.self);
}

int64_t world_elapsed_ms(struct world world)
{
	return world.ops->elapsed_ms(world.self);
}

void world_random(struct world world, void *at, size_t length)
{
	world.ops->random(world.self, at, length);
}

#define ID_DIGITS 10
static const char id_alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

static void id_make(struct world world, char letter, char text[ID_TEXT_MAX])
{
	unsigned char random[ID_DIGITS];

	world_random(world, random, sizeof(random));
	memset(text, 0, ID_TEXT_MAX);
	text[0] = letter;
	for (unsigned i = 0; i < ID_DIGITS; i++)
		text[i + 1] = id_alphabet[random[i] & 31];
}

static int id_parse(struct view view, char letter, char text[ID_TEXT_MAX], const char *noun, struct err *err)
{
	bool good = view.length == ID_DIGITS + 1 && view.at[0] == letter;

	for (size_t i = 1; good && i < view.length; i++)
		good = view.at[i] && strchr(id_alphabet, view.at[i]);
	if (!good)
		return err_set(err, ERR_INVALID, "`%.*s` is not the id of %s: expected `%c` and %d characters",
			       (int)(view.length < 40 ? view.length : 40), view.at ? view.at : "", noun, letter, ID_DIGITS);
	memset(text, 0, ID_TEXT_MAX);
	memcpy(text, view.at, view.length);
	return 0;
}

struct env_id env_id_new(struct world world)
{
	struct env_id id;

	id_make(world, 'e', id.text);
	return id;
}

struct run_id run_id_new(struct world world)
{
	struct run_id id;

	id_make(world, 'r', id.text);
	return id;
}

int env_id_parse(struct view text, struct env_id *id, struct err *err)
{
	return id_parse(text, 'e', id->text, "an environment", err);
}

int run_id_parse(struct view text, struct run_id *id, struct err *err)
{
	return id_parse(text, 'r', id->text, "a run", err);
}

void time_format(struct buf *out, int64_t time_ms)
{
	time_t seconds = (time_t)(time_ms / 1000);
	char text[32];
	struct tm utc;

	(void)gmtime_r(&seconds, &utc);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	buf_add_format(out, "%s.%03dZ", text, (int)(time_ms % 1000));
}

void duration_format(struct buf *out, int64_t ms)
{
	if (ms < 1000)
		buf_add_format(out, "%d ms", (int)ms);
	else if (ms < 60000)
		buf_add_format(out, "%d.%d s", (int)(ms / 1000), (int)(ms % 1000 / 100));
	else if (ms < 3600000)
		buf_add_format(out, "%d min %d s", (int)(ms / 60000), (int)(ms % 60000 / 1000));
	else
		buf_add_format(out, "%lld h %d min", (long long)(ms / 3600000), (int)(ms % 3600000 / 60000));
}

struct unit {
	const char *suffix;
	int64_t factor;
};

/* The digits and the suffix of `text`, multiplied; -1 when it is none of `units`. */
static int quantity_parse(struct view text, const struct unit *units, int64_t *value)
{
	size_t digits = 0;
	uint64_t number;

	while (digits < text.length && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	if (!view_to_u64(view_make(text.at, digits), &number) || number > INT64_MAX)
		return -1;
	for (; units->suffix; units++) {
		if (!view_is(view_make(text.at + digits, text.length - digits), units->suffix))
			continue;
		return __builtin_mul_overflow((int64_t)number, units->factor, value) ? -1 : 0;
	}
	return -1;
}

int duration_parse(struct view text, int64_t *duration_ms, struct err *err)
{
	static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};

	if (quantity_parse(text, units, duration_ms))
		return err_set(err, ERR_INVALID, "`%.*s` is not a duration: expected 500ms, 30s, 10m, 24h or 7d",
			       (int)(text.length < 40 ? text.length : 40), text.at ? text.at : "");
	return 0;
}

int size_parse(struct view text, int64_t *bytes, struct err *err)
{
	static const struct unit units[] = {{"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {NULL, 0}};

	if (quantity_parse(text, units, bytes))
		return err_set(err, ERR_INVALID, "`%.*s` is not a size: expected bytes, or 64K, 512M, 2G",
			       (int)(text.length < 40 ? text.length : 40), text.at ? text.at : "");
	return 0;
}
