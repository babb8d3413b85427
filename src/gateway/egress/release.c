/* Credentials, asked for one request at a time. */
#include "gateway/egress/release.h"

#include <stdlib.h>

#include "base/scope.h"

struct release_ask {
	struct release_ask *next, **place;
	struct vault_release_request request;
	uint64_t number; /* 0: not sent */
	release_done *done;
	void *self;
};

struct releases {
	struct mint *mint;
	struct release_ask *asks; /* in order: those that were sent first */
	size_t under_way;
	struct loop_timer failing; /* to fail those that cannot be sent, not within release_ask() */
};

static void ask_remove(struct release_ask *ask)
{
	*ask->place = ask->next;
	if (ask->next)
		ask->next->place = ask->place;
	free(ask);
}

static void fail_all(struct releases *releases)
{
	releases->under_way = 0;
	while (releases->asks) {
		struct release_ask *ask = releases->asks;
		release_done *done = ask->done;
		void *self = ask->self;

		ask_remove(ask);
		done(self, NULL);
	}
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
		ask->number = mint_say(releases->mint, VAULT_RELEASE, &ask->request.header, sizeof(ask->request));
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
	const struct vault_release_reply *reply = (const struct vault_release_reply *)(const void *)header;

	if (header->name != VAULT_RELEASE || bytes != sizeof(*reply))
		return;
	releases->under_way -= releases->under_way > 0;
	for (struct release_ask *ask = releases->asks; ask; ask = ask->next) {
		release_done *done = ask->done;
		void *asker = ask->self;

		if (ask->number != header->request)
			continue;
		ask_remove(ask);
		done(asker, reply);
		break;
	}
	send_more(releases);
}

static void lost(void *self)
{
	struct releases *releases = self;

	loop_timer_set(mint_loop(releases->mint), &releases->failing, 0);
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

struct release_ask *release_ask(struct releases *releases, const struct vault_release_request *request, release_done *done,
				void *self)
{
	struct release_ask *ask = mem_new(sizeof(*ask));
	struct release_ask **place = &releases->asks;

	ask->request = *request;
	ask->done = done;
	ask->self = self;
	while (*place)
		place = &(*place)->next;
	ask->place = place;
	*place = ask;
	send_more(releases);
	return ask;
}

void release_cancel(struct release_ask *ask)
{
	if (ask)
		ask_remove(ask); /* its answer finds nobody */
}
