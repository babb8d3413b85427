/* Credentials, asked for one request at a time. */
#include "gateway/egress/release.h"

#include <stdlib.h>

#include "base/scope.h"

struct release_ask {
	struct release_ask *next, **place;
	union {
		struct message_header header;
		struct vault_release_request release;
		struct vault_fingerprint_request fingerprint;
	} request;
	uint64_t number; /* 0: not sent */
	release_done *released;
	fingerprint_done *printed; /* one of the two */
	void *self;
};

struct releases {
	struct mint *mint;
	struct release_ask *asks; /* in order: those that were sent first */
	size_t under_way;
	struct loop_timer failing; /* to fail those that cannot be sent, not within release_ask() */
	void (*changed)(void *self, const char *name);
	void *changed_self;
};

static void ask_remove(struct release_ask *ask)
{
	*ask->place = ask->next;
	if (ask->next)
		ask->next->place = ask->place;
	free(ask);
}

/* Takes it out, and tells who asked; NULL: there is no answer. */
static void ask_answer(struct release_ask *ask, const struct message_header *reply)
{
	release_done *released = ask->released;
	fingerprint_done *printed = ask->printed;
	void *self = ask->self;

	ask_remove(ask);
	if (released)
		released(self, (const struct vault_release_reply *)(const void *)reply);
	else
		printed(self, (const struct vault_fingerprint_reply *)(const void *)reply);
}

static void fail_all(struct releases *releases)
{
	releases->under_way = 0;
	while (releases->asks)
		ask_answer(releases->asks, NULL);
}

static void failing_expired(struct loop_timer *timer)
{
	fail_all((struct releases *)((char *)timer - offsetof(struct releases, failing)));
}

static void send_more(struct releases *releases)
{
	for (struct release_ask *ask = releases->asks; ask && releases->under_way < RELEASE_ASKED_MAX; ask = ask->next) {
		if (ask->number)
			continue;
		ask->number = ask->released
				      ? mint_say(releases->mint, VAULT_RELEASE, &ask->request.header, sizeof(ask->request.release))
				      : mint_say(releases->mint, VAULT_FINGERPRINT, &ask->request.header,
						 sizeof(ask->request.fingerprint));
		if (!ask->number) {
			loop_timer_set(mint_loop(releases->mint), &releases->failing, 0);
			return;
		}
		releases->under_way++;
	}
}

static void answered(void *self, const struct message_header *header, size_t bytes)
{
	struct releases *releases = self;
	struct release_ask *ask = releases->asks;

	if (header->name == VAULT_CHANGED) {
		const struct vault_changed *changed = (const struct vault_changed *)(const void *)header;

		if (releases->changed && memchr(changed->name, '\0', sizeof(changed->name)))
			releases->changed(releases->changed_self, changed->name);
		return;
	}
	if (bytes != (header->name == VAULT_RELEASE ? sizeof(struct vault_release_reply) : sizeof(struct vault_fingerprint_reply)))
		return;
	releases->under_way -= releases->under_way > 0;
	while (ask && ask->number != header->request)
		ask = ask->next;
	if (ask && (ask->released != NULL) == (header->name == VAULT_RELEASE))
		ask_answer(ask, header);
	send_more(releases);
}

static void lost(void *self)
{
	struct releases *releases = self;

	loop_timer_set(mint_loop(releases->mint), &releases->failing, 0);
	if (releases->changed)
		releases->changed(releases->changed_self, NULL);
}

void releases_changed_set(struct releases *releases, void (*changed)(void *self, const char *name), void *self)
{
	releases->changed = changed;
	releases->changed_self = self;
}

struct releases *releases_new(struct mint *mint)
{
	struct releases *releases = mem_new(sizeof(*releases));

	releases->mint = mint;
	releases->failing.expired = failing_expired;
	mint_rider_set(mint, (struct mint_rider){answered, lost, releases});
	return releases;
}

void releases_free(struct releases *releases)
{
	if (!releases)
		return;
	mint_rider_set(releases->mint, (struct mint_rider){NULL, NULL, NULL});
	loop_timer_stop(mint_loop(releases->mint), &releases->failing);
	fail_all(releases);
	free(releases);
}

static struct release_ask *ask_add(struct releases *releases, struct release_ask *ask)
{
	struct release_ask **place = &releases->asks;

	while (*place)
		place = &(*place)->next;
	ask->place = place;
	*place = ask;
	send_more(releases);
	return ask;
}

struct release_ask *release_ask(struct releases *releases, const struct vault_release_request *request, release_done *done,
				void *self)
{
	struct release_ask *ask = mem_new(sizeof(*ask));

	ask->request.release = *request;
	ask->released = done;
	ask->self = self;
	return ask_add(releases, ask);
}

struct release_ask *fingerprint_ask(struct releases *releases, const struct vault_fingerprint_request *request,
				    fingerprint_done *done, void *self)
{
	struct release_ask *ask = mem_new(sizeof(*ask));

	ask->request.fingerprint = *request;
	ask->printed = done;
	ask->self = self;
	return ask_add(releases, ask);
}

void release_cancel(struct release_ask *ask)
{
	if (ask)
		ask_remove(ask); /* its answer finds nobody */
}
