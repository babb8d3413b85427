/*
 * Streams of what happens: a run's events, everybody's changes, a log as it grows.
 *
 * Theory of operation: each is a watcher of one of two watches (watch.h). What is new is read once, as a page, for all watchers who follow the same and were told
 * as much; the last one is kept for those who come after, for what has happened does not change. A watcher knows at which version of the store there was nothing more for it, and is not read for until that has
 * changed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "runs/egress.h"
#include "store/store.h"
#include "web/watch.h"

#define LOOK_MS 5000 /* it is read after so long, whatever is known */
#define PORTION 100
#define PAGE_KEPT_BYTES ((size_t)1 << 20)
#define LOG_BYTES_MAX ((size_t)8 << 20)
#define LOG_LINES_MAX 100000

struct follower {
	struct watcher watcher;
	struct run_id run; /* empty: everybody's changes */
	int64_t after;
	int64_t version; /* of the store, at which nothing was behind `after` */
	int64_t looked_ms;
	uint64_t egress; /* the version of what leaves that was told */
};

static struct follower *follower_of(const struct watcher *watcher)
{
	return (struct follower *)(uintptr_t)watcher;
}

static bool follows_all(const struct follower *follower)
{
	return !follower->run.text[0];
}

static bool events_alike(const struct watcher *one, const struct watcher *other)
{
	return strcmp(follower_of(one)->run.text, follower_of(other)->run.text) == 0;
}

/* ---- a page of events ---- */

struct page_event {
	int64_t seq;
	size_t end; /* of its text */
};

/* What is behind `after`: all of it as of `version`, or the first PORTION. */
struct event_page {
	bool there;
	bool away; /* the store is: nothing more is read in this turn */
	struct run_id run;
	int64_t after;
	bool whole;
	int64_t version;
	int64_t read_ms;
	size_t count;
	struct page_event events[PORTION];
	struct buf text; /* as it is sent */
};

static void page_drop(struct event_page *page)
{
	page->there = false;
	page->count = 0;
	buf_fini(&page->text);
	page->text = buf_new(SIZE_MAX / 4); /* of a portion of events, each of which is bounded */
}

/* What a turn is about. */
struct turn {
	struct watch *watch;
	struct event_page *page;
	int64_t version; /* of the store, before anything is read */
	int64_t now_ms;
};

/* What outlives it. */
struct told {
	char *environments; /* ids and states; NULL: nobody was told any */
	struct event_page page;
};

struct told *told_new(void)
{
	struct told *told = mem_new(sizeof(*told));

	page_drop(&told->page);
	return told;
}

void told_free(struct told *told)
{
	if (!told)
		return;
	buf_fini(&told->page.text);
	free(told->environments);
	free(told);
}

static void page_add(struct event_page *page, const char *type, const json_t *event)
{
	AUTO_BUF data = buf_new(BUF_MAX_DEFAULT);
	int64_t seq = json_number(event, "seq", 0);
	char id[32];

	(void)snprintf(id, sizeof(id), "%lld", (long long)seq);
	json_format(&data, event);
	http_event_format(&page->text, type, seq ? id : NULL, buf_view(&data));
	page->events[page->count++] = (struct page_event){seq, page->text.length};
}

static bool page_serves(const struct turn *turn, const struct follower *follower)
{
	const struct event_page *page = turn->page;
	int64_t last = page->count ? page->events[page->count - 1].seq : page->after;

	return page->there && strcmp(page->run.text, follower->run.text) == 0 && follower->after >= page->after &&
	       (follower->after < last ||
		(page->whole && page->version == turn->version && turn->now_ms - page->read_ms < LOOK_MS));
}

/* -1: it cannot be had now. */
static int page_read(const struct turn *turn, const struct follower *follower)
{
	struct event_page *page = turn->page;
	bool all = follows_all(follower);
	struct runs *runs = watch_web(turn->watch)->options.runs;
	struct err err;
	AUTO_JSON items = all ? runs_changes(runs, follower->after, PORTION, 0, &err)
			      : runs_events(runs, follower->run, follower->after, PORTION, 0, &err);
	size_t i;
	json_t *event;

	page_drop(page);
	if (!items) {
		page->away = err.kind == ERR_RETRY;
		return -1;
	}
	json_array_foreach(items, i, event) {
		if (i < PORTION)
			page_add(page, json_text(event, all ? "kind" : "type", "message"), event);
	}
	page->there = true;
	page->run = follower->run;
	page->after = follower->after;
	page->whole = page->count < PORTION;
	page->version = turn->version;
	page->read_ms = turn->now_ms;
	return 0;
}

/* As much as there is room for, and one event at least; true when that was all. */
static bool page_tell(const struct turn *turn, struct follower *follower)
{
	const struct event_page *page = turn->page;
	size_t first = 0;
	size_t end;
	size_t from;

	while (first < page->count && page->events[first].seq <= follower->after)
		first++;
	if (first == page->count)
		return true;
	from = first ? page->events[first - 1].end : 0;
	for (end = first + 1; end < page->count && page->events[end].end - from <= WATCH_ROOM_BYTES;)
		end++;
	watcher_tell(turn->watch, &follower->watcher, view_make(page->text.at + from, page->events[end - 1].end - from));
	follower->after = page->events[end - 1].seq;
	return end == page->count;
}

/* True: there is more. */
static bool follower_tell(const struct turn *turn, struct follower *follower)
{
	bool knows = follower->version == turn->version && turn->now_ms - follower->looked_ms < LOOK_MS;

	if (knows || turn->page->away || !watcher_takes(turn->watch, &follower->watcher))
		return false;
	if (!page_serves(turn, follower) && page_read(turn, follower))
		return false; /* again in the next turn */
	if (!page_tell(turn, follower) || !turn->page->whole || turn->page->version != turn->version)
		return true;
	follower->version = turn->version;
	follower->looked_ms = turn->now_ms;
	return false;
}

/* ---- what has no log of changes ---- */

static void all_tell_now(struct watch *watch, struct watcher *watchers, const char *type, const json_t *event)
{
	AUTO_BUF data = buf_new(BUF_MAX_DEFAULT);
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);

	json_format(&data, event);
	http_event_format(&text, type, NULL, buf_view(&data));
	for (; watchers; watchers = watchers->next)
		if (follows_all(follower_of(watchers)))
			watcher_tell_now(watch, watchers, buf_view(&text));
}

/* What is listed is compared with what was told. */
static void environments_tell(struct watch *watch, struct watcher *watchers)
{
	struct web *web = watch_web(watch);
	struct err err;
	AUTO_JSON list = environment_list(web->options.environments, &err);
	AUTO_BUF now = buf_new((size_t)1 << 20);
	char *told = web->told->environments;
	size_t i;
	json_t *environment;

	json_array_foreach(list, i, environment) {
		AUTO_BUF mark = buf_new((size_t)1 << 16);
		AUTO_JSON event = json_pack("{s:s, s:s}", "id", json_text(environment, "id", ""), "state",
					    json_text(environment, "state", ""));

		/* With the time: one that left its state and came back between two looks has changed, too. */
		buf_add_format(&mark, "%s %s %lld %d\n", json_text(environment, "id", ""), json_text(environment, "state", ""),
			       (long long)json_number(environment, "state_since_ms", 0), json_flag(environment, "pinned", false));
		buf_add_view(&now, buf_view(&mark));
		if (told && !strstr(told, mark.at))
			all_tell_now(watch, watchers, "environment", event);
	}
	if (told && now.length < strlen(told)) {
		AUTO_JSON event = json_pack("{s:s}", "state", "gone");

		all_tell_now(watch, watchers, "environment", event);
	}
	free(told);
	web->told->environments = now.length ? buf_take(&now) : text_copy("");
}

/* Questions, kills, the policy: the page asks again for what it shows. */
static void egress_tell(struct watch *watch, struct watcher *watchers)
{
	struct egress *egress = watch_web(watch)->options.egress;
	uint64_t version = egress ? egress_version(egress) : 0;
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);

	for (; watchers; watchers = watchers->next) {
		struct follower *follower = follower_of(watchers);

		if (!follows_all(follower) || follower->egress == version || !watcher_takes(watch, watchers))
			continue;
		if (!text.length) {
			AUTO_JSON open = egress_holds(egress, false);
			AUTO_JSON event = open ? json_pack("{s:i}", "open", (int)json_array_size(open)) : NULL;
			AUTO_BUF data = buf_new(BUF_MAX_DEFAULT);

			if (!event)
				return;
			json_format(&data, event);
			http_event_format(&text, "hold", NULL, buf_view(&data));
		}
		watcher_tell(watch, watchers, buf_view(&text));
		follower->egress = version;
	}
}

static bool events_tell(struct watch *watch, struct watcher *watchers)
{
	struct web *web = watch_web(watch);
	struct event_page *page = &web->told->page;
	struct turn turn = {watch, page, store_version(runs_store(web->options.runs)), world_elapsed_ms(web->options.world)};
	bool more = false;
	bool all = false;

	page->away = false;
	for (struct watcher *watcher = watchers; watcher; watcher = watcher->next) {
		all |= follows_all(follower_of(watcher));
		more |= follower_tell(&turn, follower_of(watcher));
	}
	if (!watchers || page->text.length > PAGE_KEPT_BYTES)
		page_drop(page);
	if (!all) {
		free(TAKE(web->told->environments)); /* whoever comes next reads everything anyway */
		return more;
	}
	environments_tell(watch, watchers);
	egress_tell(watch, watchers);
	return more;
}

const struct watch_kind watch_of_events = {
	.size = sizeof(struct follower), .tell = events_tell, .alike = events_alike, .alive = true};

/* ---- rows ---- */

/* `?after=`, or the header that browsers send when they connect again. */
static int after_of(const struct call *call, int64_t *after, struct err *err)
{
	const char *last = http_request_header(call->request, "Last-Event-ID");
	uint64_t number;

	if (!last || !last[0])
		return request_query(call, "after", 0, INT64_MAX, after, err);
	if (!view_to_u64(view_of(last), &number) || number > INT64_MAX)
		return err_set(err, ERR_INVALID, "Last-Event-ID: expected the id of an event of this stream, not `%.40s`", last);
	*after = (int64_t)number;
	return 0;
}

/* Where it ends is where the next page begins; a page that is not full is the last for now. */
static json_t *events_page(json_t *array, int64_t limit)
{
	size_t count = json_array_size(array);
	json_t *page = items_of(array);
	char next[32];

	if (!page || !count || (int64_t)count < (limit && limit < RUNS_EVENTS_MAX ? limit : RUNS_EVENTS_MAX))
		return page;
	(void)snprintf(next, sizeof(next), "%lld", (long long)json_number(json_array_get(array, count - 1), "seq", 0));
	(void)json_object_set_new(page, "next", json_string(next));
	return page;
}

static json_t *events_follow(struct call *call, const struct run_id *run, int64_t after, struct err *err)
{
	struct watcher *watcher = watch_begin(call->web->events, call, "text/event-stream", err);
	struct follower *follower = follower_of(watcher);

	if (!watcher)
		return NULL;
	if (run)
		follower->run = *run;
	follower->after = after;
	follower->version = -1;
	(void)http_stream_write(watcher->stream, VIEW("retry: 1000\n\n"));
	watch_add(call->web->events, watcher);
	return NULL;
}

json_t *run_events(struct call *call, struct err *err)
{
	struct run_id run;
	int64_t after;
	int64_t limit;

	if (request_run(call, &run, err) || after_of(call, &after, err) ||
	    request_query(call, "limit", ITEMS_DEFAULT, ITEMS_MAX, &limit, err))
		return NULL;
	if (!request_wants(call, "follow"))
		return events_page(runs_events(call->web->options.runs, run, after, (int)limit, 0, err), limit);
	return events_follow(call, &run, after, err);
}

/* A page that just came reads everything anyway: it wants to hear only what changes from now on. */
json_t *all_events(struct call *call, struct err *err)
{
	int64_t after;

	if (after_of(call, &after, err) || (!after && runs_changes_end(call->web->options.runs, &after, err)))
		return NULL;
	return events_follow(call, NULL, after, err);
}

/* ---- logs ---- */

struct log_follower {
	struct watcher watcher;
	struct env_id env;
	char *sandbox; /* NULL: all */
	int64_t from;
};

static struct log_follower *log_follower_of(const struct watcher *watcher)
{
	return (struct log_follower *)(uintptr_t)watcher;
}

static bool logs_alike(const struct watcher *one, const struct watcher *other)
{
	const struct log_follower *a = log_follower_of(one);
	const struct log_follower *b = log_follower_of(other);

	return strcmp(a->env.text, b->env.text) == 0 && strcmp(a->sandbox ? a->sandbox : "", b->sandbox ? b->sandbox : "") == 0;
}

/* What was read last, for those who come to the same place of the same log. */
struct log_piece {
	const struct watcher *whose; /* NULL: nothing was read */
	int64_t from, to;
	struct buf bytes;
};

static int piece_read(struct web *web, struct log_piece *piece, const struct log_follower *follower, struct err *err)
{
	buf_fini(&piece->bytes);
	*piece = (struct log_piece){.from = follower->from, .to = follower->from, .bytes = buf_new(LOG_BYTES_MAX)};
	if (environment_logs(web->options.environments, follower->env, follower->sandbox, LOG_LINES_MAX, &piece->to, &piece->bytes,
			     err))
		return -1;
	piece->whose = &follower->watcher;
	return 0;
}

static bool logs_tell(struct watch *watch, struct watcher *watchers)
{
	struct log_piece piece = {0};
	struct err err;

	for (; watchers; watchers = watchers->next) {
		struct log_follower *follower = log_follower_of(watchers);
		bool read = piece.whose && logs_alike(piece.whose, watchers) && piece.from == follower->from;

		if (!watcher_takes(watch, watchers))
			continue;
		if (!read && piece_read(watch_web(watch), &piece, follower, &err)) {
			watchers->ended = true; /* the environment is gone */
			continue;
		}
		if (piece.bytes.length)
			watcher_tell(watch, watchers, buf_view(&piece.bytes));
		follower->from = piece.to;
	}
	buf_fini(&piece.bytes);
	return false;
}

static void log_follower_free(struct watcher *watcher)
{
	free(log_follower_of(watcher)->sandbox);
}

const struct watch_kind watch_of_logs = {
	.size = sizeof(struct log_follower), .tell = logs_tell, .alike = logs_alike, .free = log_follower_free};

json_t *environment_log(struct call *call, struct err *err)
{
	struct environments *environments = call->web->options.environments;
	AUTO_FREE char *sandbox = http_request_query(call->request, "sandbox");
	const char *whose = sandbox && sandbox[0] ? sandbox : NULL;
	AUTO_BUF bytes = buf_new(LOG_BYTES_MAX);
	struct log_follower *follower;
	struct watcher *watcher;
	struct env_id env;
	int64_t lines;
	int64_t from = -1; /* the last lines first */

	if (request_environment(call, &env, err) || request_query(call, "lines", 200, LOG_LINES_MAX, &lines, err))
		return NULL;
	if (environment_logs(environments, env, whose, (int)lines, request_wants(call, "follow") ? &from : NULL, &bytes, err))
		return NULL;
	if (!request_wants(call, "follow"))
		return request_bytes(call, "text/plain; charset=utf-8", buf_view(&bytes));
	watcher = watch_begin(call->web->logs, call, "text/plain; charset=utf-8", err);
	if (!watcher)
		return NULL;
	follower = log_follower_of(watcher);
	follower->env = env;
	follower->from = from;
	follower->sandbox = whose ? TAKE(sandbox) : NULL;
	(void)http_stream_write(watcher->stream, buf_view(&bytes));
	watch_add(call->web->logs, watcher);
	return NULL;
}
