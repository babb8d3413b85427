/* Streams of what happens: a run's events, everybody's changes, a log as it grows. One thread each, which waits where the news come
 * from; it looks at its client twice a second and says something every fifteen, so that a dead connection shows. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "runs/egress.h"
#include "web/web_priv.h"

#define WAIT_MS 500
#define ALIVE_MS 15000
#define PORTION 200
#define LOG_BYTES_MAX ((size_t)8 << 20)
#define LOG_LINES_MAX 100000

struct follower {
	struct web *web;
	struct http_stream *stream;
	struct run_id run;
	struct env_id env;
	char *sandbox;
	int64_t after;
	int64_t spoken_ms;
	char *environments; /* ids and states, as they were told */
	uint64_t egress;    /* the version of what leaves that was told */
};

static bool follower_on(struct follower *follower)
{
	int64_t now = world_elapsed_ms(follower->web->options.world);

	if (now - follower->spoken_ms > ALIVE_MS) {
		follower->spoken_ms = now;
		if (!http_stream_write(follower->stream, VIEW(": alive\n\n")))
			return false;
	}
	return !http_stream_gone(follower->stream) && !atomic_load(&follower->web->closing);
}

static void follower_end(struct follower *follower)
{
	http_stream_close(follower->stream);
	free(follower->sandbox);
	free(follower->environments);
	free(follower);
}

static void event_send(struct follower *follower, const char *type, const json_t *event)
{
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);
	char id[32];

	(void)snprintf(id, sizeof(id), "%lld", (long long)json_number(event, "seq", 0));
	json_format(&text, event);
	if (http_stream_event(follower->stream, type, json_number(event, "seq", 0) ? id : NULL, buf_view(&text)))
		follower->spoken_ms = world_elapsed_ms(follower->web->options.world);
}

/* Sends a portion; moves on behind it. */
static void portion_send(struct follower *follower, const json_t *items, const char *type_key)
{
	size_t i;
	json_t *event;

	json_array_foreach(items, i, event) {
		event_send(follower, json_text(event, type_key, "message"), event);
		follower->after = json_number(event, "seq", follower->after);
	}
}

/* A store that is busy or gone for a moment is no reason to end: the wait is spent here instead. */
static void pause_short(void)
{
	(void)poll(NULL, 0, WAIT_MS);
}

static void run_follow(void *self)
{
	struct follower *follower = self;
	struct err err;

	while (follower_on(follower)) {
		AUTO_JSON items = runs_events(follower->web->options.runs, follower->run, follower->after, PORTION, WAIT_MS, &err);

		if (items)
			portion_send(follower, items, "type");
		else
			pause_short();
	}
	follower_end(follower);
}

/* Environments have no log of changes: what is listed is compared with what was told. */
static void environments_compare(struct follower *follower)
{
	struct err err;
	AUTO_JSON list = environment_list(follower->web->options.environments, &err);
	AUTO_BUF now = buf_new((size_t)1 << 20);
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
		if (follower->environments && !strstr(follower->environments, mark.at))
			event_send(follower, "environment", event);
	}
	if (follower->environments && now.length < strlen(follower->environments)) {
		AUTO_JSON event = json_pack("{s:s}", "state", "gone");

		event_send(follower, "environment", event);
	}
	free(follower->environments);
	follower->environments = now.length ? buf_take(&now) : text_copy("");
}

/* Questions, kills, the policy: the page asks again for what it shows. */
static void egress_compare(struct follower *follower)
{
	struct egress *egress = follower->web->options.egress;
	uint64_t version = egress ? egress_version(egress) : 0;
	AUTO_JSON open = version != follower->egress ? egress_holds(egress, false) : NULL;
	AUTO_JSON event = open ? json_pack("{s:i}", "open", (int)json_array_size(open)) : NULL;

	if (event)
		event_send(follower, "hold", event);
	follower->egress = version;
}

static void all_follow(void *self)
{
	struct follower *follower = self;
	struct err err;

	while (follower_on(follower)) {
		AUTO_JSON items = runs_changes(follower->web->options.runs, follower->after, PORTION, WAIT_MS, &err);

		if (items)
			portion_send(follower, items, "kind");
		else
			pause_short();
		environments_compare(follower);
		egress_compare(follower);
	}
	follower_end(follower);
}

static struct follower *follower_new(struct call *call, const char *content_type)
{
	struct follower *follower = mem_new(sizeof(*follower));

	follower->web = call->web;
	follower->spoken_ms = world_elapsed_ms(call->web->options.world);
	follower->stream = http_reply_stream(call->reply, 200, content_type);
	call->answered = true;
	return follower;
}

static json_t *follow(struct follower *follower, void (*function)(void *self), struct err *err)
{
	if (web_work(follower->web, function, follower, err))
		follower_end(follower);
	return NULL;
}

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

json_t *run_events(struct call *call, struct err *err)
{
	struct follower *follower;
	struct run_id run;
	int64_t after;
	int64_t limit;

	if (request_run(call, &run, err) || after_of(call, &after, err) ||
	    request_query(call, "limit", ITEMS_DEFAULT, ITEMS_MAX, &limit, err))
		return NULL;
	if (!request_wants(call, "follow"))
		return events_page(runs_events(call->web->options.runs, run, after, (int)limit, 0, err), limit);
	follower = follower_new(call, "text/event-stream");
	follower->run = run;
	follower->after = after;
	(void)http_stream_write(follower->stream, VIEW("retry: 1000\n\n"));
	return follow(follower, run_follow, err);
}

/* A page that just came reads everything anyway: it wants to hear only what changes from now on. */
json_t *all_events(struct call *call, struct err *err)
{
	struct follower *follower;
	int64_t after;

	if (after_of(call, &after, err) || (!after && runs_changes_end(call->web->options.runs, &after, err)))
		return NULL;
	follower = follower_new(call, "text/event-stream");
	follower->after = after;
	(void)http_stream_write(follower->stream, VIEW("retry: 1000\n\n"));
	return follow(follower, all_follow, err);
}

static void log_follow(void *self)
{
	struct follower *follower = self;
	struct err err;

	while (!http_stream_gone(follower->stream) && !atomic_load(&follower->web->closing)) {
		AUTO_BUF bytes = buf_new(LOG_BYTES_MAX);

		if (environment_logs(follower->web->options.environments, follower->env, follower->sandbox, LOG_LINES_MAX,
				     &follower->after, &bytes, &err))
			break; /* the environment is gone */
		if (bytes.length)
			(void)http_stream_write(follower->stream, buf_view(&bytes));
		pause_short();
	}
	follower_end(follower);
}

json_t *environment_log(struct call *call, struct err *err)
{
	struct environments *environments = call->web->options.environments;
	AUTO_FREE char *sandbox = http_request_query(call->request, "sandbox");
	const char *whose = sandbox && sandbox[0] ? sandbox : NULL;
	AUTO_BUF bytes = buf_new(LOG_BYTES_MAX);
	struct follower *follower;
	struct env_id env;
	int64_t lines;
	int64_t from = -1; /* the last lines first */

	if (request_environment(call, &env, err) || request_query(call, "lines", 200, LOG_LINES_MAX, &lines, err))
		return NULL;
	if (environment_logs(environments, env, whose, (int)lines, request_wants(call, "follow") ? &from : NULL, &bytes, err))
		return NULL;
	if (!request_wants(call, "follow"))
		return request_bytes(call, "text/plain; charset=utf-8", buf_view(&bytes));
	follower = follower_new(call, "text/plain; charset=utf-8");
	follower->env = env;
	follower->after = from;
	follower->sandbox = whose ? TAKE(sandbox) : NULL;
	(void)http_stream_write(follower->stream, buf_view(&bytes));
	return follow(follower, log_follow, err);
}
