/*
 * Theory of operation: events arrive on the main thread (api_follow) and change `struct story` under its mutex; what they say for good
 * is printed as lines. On a terminal a second thread draws the panel, ten times a second: it goes up over what it drew last, clears,
 * draws again. Lines are printed with the panel taken away first. SIGINT only sets a flag, which the listener sees within a second.
 */
#include "cli/story.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/story_priv.h"

#define PATIENCE_MS 30000 /* for a server that restarts */
#define RETRY_MS 300
#define FINDINGS_SHOWN 6 /* of one verdict, worst first: the pull request has them all */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static void text_set(char **place, const char *text)
{
	free(*place);
	*place = text ? terminal_line(text) : NULL;
}

/* ---- lines ---- */

/* A line that stays. `text` is from outside. */
static void line_print(struct story *story, const char *mark, enum tone tone, int indent, const char *text, const char *right)
{
	AUTO_FREE char *clean = terminal_line(text);
	AUTO_FREE char *fitting = story->options.form == STORY_PANEL ? terminal_fit(clean, terminal_columns(stdout) - indent - 4 -
												   (int)strlen(right ? right : ""))
								     : text_copy(clean);

	story_panel_clear(story);
	printf("%*s%s%s%s %s%s%s%s%s\n", indent, "", terminal_tone(stdout, tone), mark, tone ? terminal_end(stdout) : "", fitting,
	       right && right[0] ? "  " : "", terminal_tone(stdout, right ? TONE_FAINT : TONE_PLAIN), right ? right : "",
	       right ? terminal_end(stdout) : "");
}

static void services_print(struct story *story)
{
	AUTO_BUF text = buf_new(4096);

	for (size_t i = 0; i < story->service_count; i++) {
		AUTO_FREE char *ms = story_took(story->services[i].ms);

		buf_add_format(&text, "%s%s %s", i ? " · " : "", story->services[i].name, ms);
		free(TAKE(story->services[i].name));
	}
	if (story->service_count && story->options.form == STORY_PANEL)
		line_print(story, " ", TONE_PLAIN, 4, text.at, NULL);
	story->service_count = 0;
}

static void step_forget(struct story *story)
{
	text_set(&story->step, NULL);
	text_set(&story->detail, NULL);
	text_set(&story->thought, NULL);
	text_set(&story->action, NULL);
	text_set(&story->gate, NULL);
	json_decref(TAKE(story->plan));
	services_print(story);
}

/* ---- events ---- */

/* A verification that was carried out may have found that the change does not hold. */
static const char *step_status(const json_t *event)
{
	const char *status = story_text(event, "status");
	struct view detail = view_of(story_text(event, "detail"));

	if (strcmp(status, "done") != 0 || strcmp(story_text(event, "name"), "verify") != 0)
		return status;
	return view_starts(detail, VIEW("failed")) ? "failed" : view_starts(detail, VIEW("unverified")) ? "unverified" : status;
}

static void step_begin(struct story *story, const char *name, const json_t *event)
{
	step_forget(story);
	text_set(&story->step, name);
	text_set(&story->detail, story_text(event, "detail"));
	story->started_ms = json_number(event, "time_ms", world_now_ms(world_real));
	if (story->options.form == STORY_LINES)
		line_print(story, "▸", TONE_BUSY, 0, name, NULL);
}

static void on_step(struct story *story, const json_t *event)
{
	const char *status = step_status(event);
	const char *name = story_text(event, "name");
	AUTO_FREE char *ms = story_took(json_number(event, "ms", -1));
	AUTO_FREE char *text = text_format("%-*s %-9s %s", STEP_WIDTH, name, ms, story_text(event, "detail"));
	enum tone tone;
	const char *mark = story_mark(status, &tone);

	if (strcmp(status, "running") == 0) {
		if (!story->step || strcmp(story->step, name) != 0)
			step_begin(story, name, event);
		text_set(&story->detail, story_text(event, "detail"));
		return;
	}
	line_print(story, mark, tone, 0, text, NULL);
	step_forget(story);
}

/* "deploy: head: start db" is a step of a step of a gate. */
static bool is_detail(const char *name)
{
	const char *first = strchr(name, ':');

	return first && strchr(first + 1, ':');
}

static void on_service(struct story *story, const json_t *event)
{
	int64_t ms = json_number(event, "ms", -1);
	AUTO_FREE char *name = terminal_line(story_text(event, "step"));
	AUTO_FREE char *right = story_took(ms);
	size_t at = 0;

	if (story->options.form == STORY_LINES && ms >= 0 && !is_detail(name))
		line_print(story, "✓", TONE_GOOD, 4, name, right);
	if (strchr(name, ':')) {
		text_set(&story->gate, ms < 0 ? name : NULL);
		return;
	}
	while (at < story->service_count && strcmp(story->services[at].name, name) != 0)
		at++;
	if (at == SERVICES_SHOWN)
		return;
	if (at == story->service_count) {
		story->services[at] = (struct service){TAKE(name), ms};
		story->service_count++;
	}
	story->services[at].ms = ms;
}

static void on_plan(struct story *story, const json_t *event)
{
	json_t *items = json_member(event, "items");
	size_t done = 0;
	size_t i;
	json_t *item;
	AUTO_FREE char *text = NULL;

	json_decref(TAKE(story->plan));
	story->plan = json_incref(items);
	json_array_foreach(items, i, item)
		done += strcmp(story_text(item, "state"), "completed") == 0;
	text = text_format("plan: %zu of %zu", done, json_array_size(items));
	if (story->options.form == STORY_LINES && items)
		line_print(story, "☰", TONE_FAINT, 4, text, NULL);
}

static void on_agent(struct story *story, const json_t *event)
{
	const char *kind = story_text(event, "kind");
	const char *text = story_text(event, "text");
	bool lines = story->options.form == STORY_LINES;
	const char *tool = story_text(event, "tool");
	const char *title = story_text(event, "title");
	bool named = view_starts(view_of(title), view_of(tool)); /* "Read catalog/store.py" */
	AUTO_FREE char *action = text_format("%s%s%s", named ? "" : tool, named ? "" : " ", title);

	if (strcmp(kind, "plan") == 0)
		on_plan(story, event);
	if (strcmp(kind, "thought") == 0) {
		text_set(&story->thought, text);
		if (lines)
			line_print(story, "“", TONE_FAINT, 4, text, NULL);
	}
	if (strcmp(kind, "action") == 0) {
		text_set(&story->action, action);
		if (lines)
			line_print(story, "›", TONE_BUSY, 4, action, NULL);
	}
	if (strcmp(kind, "observation") == 0 && !json_flag(event, "ok", true) && lines)
		line_print(story, "✗", TONE_BAD, 6, text, NULL);
	if (strcmp(kind, "message") == 0 &&
	    !(story->said && strcmp(story->said, text) == 0)) { /* they say their last words twice */
		free(story->said);
		story->said = text_copy(text);
		line_print(story, "»", TONE_BOLD, 4, text, NULL);
	}
	if (strcmp(kind, "end") == 0 && !json_flag(event, "ok", true))
		line_print(story, "✗", TONE_BAD, 4, text[0] ? text : json_text(event, "error", "the turn ended with an error"),
			   NULL);
}

static void on_gate(struct story *story, const json_t *event)
{
	const char *status = story_text(event, "status");
	const char *title = json_text(event, "title", story_text(event, "name"));
	const char *detail = story_text(event, "detail");
	AUTO_FREE char *text = text_format("%s%s%s", title, detail[0] ? ": " : "", detail);
	AUTO_FREE char *ms = story_took(strcmp(status, "skipped") == 0 ? -1 : json_number(event, "ms", -1));
	enum tone tone;
	const char *mark = story_mark(status, &tone);

	if (strcmp(status, "running") == 0) {
		text_set(&story->gate, text);
		return;
	}
	text_set(&story->gate, NULL);
	line_print(story, mark, tone, 4, text, ms);
}

static void on_finding(struct story *story, const json_t *event)
{
	const char *severity = json_text(event, "severity", "block");
	enum tone tone = strcmp(severity, "block") == 0 ? TONE_BAD : strcmp(severity, "warn") == 0 ? TONE_UNSURE : TONE_FAINT;

	if (++story->finding_count <= FINDINGS_SHOWN)
		line_print(story, "!", tone, 6, story_text(event, "title"), NULL);
}

static const char *verdict_word(const char *verdict)
{
	return strcmp(verdict, "verified") == 0 ? "Verified" : strcmp(verdict, "failed") == 0 ? "Failed" : "Unverified";
}

static void on_verdict(struct story *story, const json_t *event)
{
	const char *verdict = json_text(event, "verdict", "unverified");
	AUTO_FREE char *text = text_format("%s: %s", verdict_word(verdict), story_text(event, "reason"));
	enum tone tone;
	const char *mark = story_mark(verdict, &tone);
	AUTO_FREE char *more = text_format("and %zu more: `assay pull show` has all", story->finding_count - FINDINGS_SHOWN);

	if (story->finding_count > FINDINGS_SHOWN)
		line_print(story, "·", TONE_FAINT, 6, more, NULL);
	story->finding_count = 0;
	line_print(story, mark, tone, 4, text, NULL);
}

static void on_state(struct story *story, const json_t *event)
{
	const char *state = story_text(event, "state");
	bool over = strcmp(state, "done") == 0 || strcmp(state, "failed") == 0 || strcmp(state, "stopped") == 0;

	if (story->options.form != STORY_JSON && !over && strcmp(state, "review") != 0 && strcmp(state, "queued") != 0)
		step_begin(story, state, event);
	else
		step_forget(story);
	story->ended = story->seq >= story->history && (over || strcmp(state, story->options.until) == 0);
}

static void on_message(struct story *story, const json_t *event)
{
	AUTO_FREE char *text = text_format("%s: %s", json_text(event, "author", "you"), story_text(event, "text"));

	line_print(story, "«", TONE_BOLD, 4, text, NULL);
}

static void on_question(struct story *story, const json_t *event)
{
	AUTO_FREE char *text = text_format("the agent asks: %s  (assay message RUN \"…\" answers)", story_text(event, "text"));

	line_print(story, "?", TONE_UNSURE, 4, text, NULL);
}

static void on_claims(struct story *story, const json_t *event)
{
	size_t index;
	json_t *claim;

	json_array_foreach(json_member(event, "items"), index, claim) {
		const char *status = json_text(claim, "status", "");
		bool bad = strcmp(status, "contradicted") == 0;
		AUTO_FREE char *text = text_format("the agent claims: %s  (%s: %s)", json_text(claim, "claim", ""), status,
						   json_text(claim, "why", ""));

		line_print(story, bad ? "✗" : "·", bad ? TONE_BAD : TONE_FAINT, 4, text, NULL);
	}
}

static void on_opinion(struct story *story, const json_t *event)
{
	const char *status = json_text(event, "status", "");
	const char *said = strcmp(status, "nothing") == 0 ? "nothing to add" : story_text(event, "text");
	bool bad = strcmp(status, "failed") == 0 || strcmp(status, "skipped") == 0;
	AUTO_FREE char *text = strcmp(status, "asked") == 0
				       ? text_format("%s is asked for a second opinion", json_text(event, "by", ""))
				       : text_format("%s, second opinion%s: %s", json_text(event, "by", ""),
						     bad ? " not to be had" : "", said);

	line_print(story, strcmp(status, "given") == 0 ? "»" : "·", bad ? TONE_UNSURE : TONE_FAINT, 4, text, NULL);
}

static void on_declaration(struct story *story, const json_t *event)
{
	const char *state = json_text(event, "state", "");
	const char *because = story_text(event, "because");
	const char *says = strcmp(state, "declared") == 0   ? "says that this is meant"
			   : strcmp(state, "proposed") == 0 ? "proposes that this is meant"
							    : "takes back that this is meant";
	AUTO_FREE char *text = text_format("%s %s: %s%s%s%s", json_text(event, "by", ""), says, story_text(event, "match"),
					   because[0] ? " (" : "", because, because[0] ? ")" : "");

	line_print(story, "»", TONE_BOLD, 4, text, NULL);
}

static void on_answer(struct story *story, const json_t *event)
{
	AUTO_FREE char *text = text_format("%s answers: %s", json_text(event, "by", "you"), story_text(event, "text"));

	line_print(story, "«", TONE_BOLD, 4, text, NULL);
}

static void on_note(struct story *story, const json_t *event)
{
	line_print(story, "·", TONE_FAINT, 4, json_text(event, "text", story_text(event, "url")), NULL);
}

static void on_error(struct story *story, const json_t *event)
{
	line_print(story, "✗", TONE_BAD, 4, story_text(event, "message"), NULL);
}

static const struct {
	const char *type;
	void (*tell)(struct story *story, const json_t *event);
} tellers[] = {
	{"agent", on_agent},
	{"answer", on_answer},
	{"claims", on_claims},
	{"question", on_question},
	{"declaration", on_declaration},
	{"error", on_error},
	{"finding", on_finding},
	{"gate", on_gate},
	{"message", on_message},
	{"note", on_note},
	{"opinion", on_opinion},
	{"preview", on_note},
	{"pull", on_note},
	{"service", on_service},
	{"state", on_state},
	{"step", on_step},
	{"verdict", on_verdict},
};

static void json_line(const json_t *event)
{
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);

	json_format(&text, event);
	printf("%s\n", text.at);
}

static void event_tell(struct story *story, const char *type, const json_t *event)
{
	int64_t seq = json_number(event, "seq", 0);

	if (seq && seq <= story->seq)
		return; /* sent again after the connection broke */
	story->seq = seq > story->seq ? seq : story->seq;
	if (story->options.form == STORY_JSON) {
		json_line(event);
		if (strcmp(type, "state") == 0)
			on_state(story, event);
	} else {
		for (size_t i = 0; i < ARRAY_LEN(tellers); i++)
			if (strcmp(tellers[i].type, type) == 0)
				tellers[i].tell(story, event);
	}
	(void)fflush(stdout);
}

static bool on_event(void *self, const char *name, int64_t id, const json_t *data)
{
	struct story *story = self;
	bool more;

	(void)id;
	(void)pthread_mutex_lock(&story->mutex);
	if (name)
		event_tell(story, name, data);
	more = !story->ended && !interrupted;
	(void)pthread_mutex_unlock(&story->mutex);
	return more;
}

/* ---- following ---- */

static void story_init(struct story *story, const struct story_options *options)
{
	*story = (struct story){.options = *options};
	(void)pthread_mutex_init(&story->mutex, NULL);
}

static void story_fini(struct story *story)
{
	story->options.form = STORY_JSON; /* nothing more is printed */
	step_forget(story);
	free(story->said);
	(void)pthread_mutex_destroy(&story->mutex);
}

/* Finds the event of the state that the run is in now. With a message after it, its `review` is over already. */
static int history_find(struct api *api, const char *run, struct story *story, struct err *err)
{
	AUTO_FREE char *path = api_path("/runs/{}/events?limit=100000", run);
	AUTO_JSON items = api_items(api, path, err);
	int64_t last = 0;
	bool told = false;
	size_t i;
	json_t *event;

	if (!items)
		return -1;
	json_array_foreach(items, i, event) {
		if (strcmp(story_text(event, "type"), "state") == 0) {
			last = json_number(event, "seq", 0);
			told = false;
		}
		told = told || strcmp(story_text(event, "type"), "message") == 0;
	}
	story->history = told ? last + 1 : last;
	story->seq = story->options.only_now && last ? last - 1 : 0;
	return 0;
}

/* Streams until the story's end, the interrupt, or a server that stays away. */
static int stream_all(struct api *api, const char *run, struct story *story, struct err *err)
{
	int64_t lost_ms = 0;

	while (!story->ended && !interrupted) {
		int64_t before = story->seq;
		AUTO_FREE char *after = text_format("%lld", (long long)before);
		AUTO_FREE char *path = api_path("/runs/{}/events?follow=1&after={}", run, after);
		int failed = api_follow(api, path, (struct api_listener){on_event, story}, err);

		if (failed && err->kind != ERR_RETRY && err->kind != ERR_BROKEN)
			return -1;
		if (failed)
			api_revive(api);
		if (story->seq > before || !lost_ms)
			lost_ms = world_elapsed_ms(world_real);
		if (failed && world_elapsed_ms(world_real) - lost_ms > PATIENCE_MS)
			return -1;
		if (!story->ended && !interrupted)
			(void)poll(NULL, 0, RETRY_MS);
	}
	return 0;
}

int story_follow(struct api *api, const char *run, const struct story_options *options)
{
	struct sigaction action = {.sa_handler = on_interrupt};
	struct sigaction before;
	struct story story;
	struct err err = {0};
	pthread_t thread;
	bool drawing;
	int failed;

	story_init(&story, options);
	interrupted = 0;
	(void)sigaction(SIGINT, &action, &before);
	drawing = options->form == STORY_PANEL && pthread_create(&thread, NULL, story_panel_main, &story) == 0;
	failed = history_find(api, run, &story, &err) || stream_all(api, run, &story, &err);
	if (drawing) {
		(void)pthread_mutex_lock(&story.mutex);
		story.stop = true;
		(void)pthread_mutex_unlock(&story.mutex);
		(void)pthread_join(thread, NULL);
	}
	(void)sigaction(SIGINT, &before, NULL);
	story_fini(&story);
	if (failed)
		fprintf(stderr, "%s: %s; the run goes on when the server does: assay show %s --follow\n", options->program,
			err.text, run);
	else if (interrupted)
		fprintf(stderr, "%s: detached; the run goes on: assay show %s --follow\n", options->program, run);
	return failed || interrupted ? STORY_OTHER : 0;
}

int story_print(struct api *api, const char *run, const struct story_options *options, struct err *err)
{
	AUTO_FREE char *path = api_path("/runs/{}/events?limit=10000", run);
	AUTO_JSON items = api_items(api, path, err);
	struct story story;
	size_t i;
	json_t *event;

	if (!items)
		return -1;
	story_init(&story, options);
	story.history = INT64_MAX;
	json_array_foreach(items, i, event)
		event_tell(&story, story_text(event, "type"), event);
	story_fini(&story);
	return 0;
}

int story_exit_code(const json_t *run)
{
	const char *verdict = json_text(run, "verdict", NULL);
	const char *state = story_text(run, "state");

	if (strcmp(state, "stopped") == 0)
		return STORY_OTHER;
	if (strcmp(state, "failed") == 0)
		return STORY_FAILED;
	if (!verdict)
		return STORY_OTHER;
	return strcmp(verdict, "verified") == 0 ? STORY_VERIFIED : strcmp(verdict, "failed") == 0 ? STORY_FAILED : STORY_UNVERIFIED;
}

char *story_repositories(const json_t *run)
{
	AUTO_BUF names = buf_new(4096);
	size_t index;
	json_t *part;

	json_array_foreach(json_member(run, "repositories"), index, part)
		buf_add_format(&names, "%s%s", index ? " + " : "", json_text(part, "repository", ""));
	return terminal_line(names.length ? names.at : json_text(run, "repository", ""));
}

/* Each with its repository, where there are several. */
static void pulls_print(const json_t *run, const char *pages)
{
	const json_t *parts = json_member(run, "repositories");
	bool several = json_array_size(parts) > 1;
	size_t index;
	json_t *part;

	json_array_foreach(parts, index, part) {
		AUTO_FREE char *name = terminal_line(several ? story_text(part, "repository") : "");

		if (json_number(part, "pull", 0))
			printf("  pull request  %s/pulls/%lld%s%s\n", pages, (long long)json_number(part, "pull", 0),
			       several ? "  " : "", name);
	}
}

int story_conclude(struct api *api, const json_t *run)
{
	const char *verdict = json_text(run, "verdict", NULL);
	const char *state = story_text(run, "state");
	const char *id = story_text(run, "id");
	AUTO_FREE char *error = terminal_line(story_text(run, "error"));
	AUTO_FREE char *preview = terminal_line(story_text(run, "preview"));
	AUTO_JSON status = api_get(api, "/status", NULL);
	const char *pages = story_text(status, "pages");
	enum tone tone;
	const char *mark = story_mark(verdict, &tone);

	if (error[0])
		printf("\n%s✗%s %s\n", terminal_tone(stdout, TONE_BAD), terminal_end(stdout), error);
	if (verdict)
		printf("\n%s%s %s%s\n", terminal_tone(stdout, tone), mark, verdict_word(verdict), terminal_end(stdout));
	pulls_print(run, pages);
	if (!json_number(run, "pull", 0))
		printf("  page          %s/runs/%s\n", pages, id);
	if (preview[0] && strcmp(state, "review") == 0)
		printf("  preview       %s\n", preview);
	if (strcmp(state, "review") == 0)
		printf("  say something assay message %s \"…\"\n", id);
	if (strcmp(state, "failed") == 0 || strcmp(state, "stopped") == 0)
		printf("  try again     assay retry %s\n", id);
	return story_exit_code(run);
}
