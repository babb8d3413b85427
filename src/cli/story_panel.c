/* The panel: what a run does now, drawn over itself on a terminal by a thread of its own; and the marks that all of a story's lines have. */
#include <poll.h>
#include <stdio.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/story_priv.h"

#define PLAN_SHOWN 10
#define DRAW_MS 100

const char *story_text(const json_t *object, const char *key)
{
	const char *text = json_text(object, key, NULL);

	return text ? text : "";
}

const char *story_mark(const char *status, enum tone *tone)
{
	static const struct {
		const char *status;
		const char *mark;
		enum tone tone;
	} rows[] = {
		{"done", "✓", TONE_GOOD},       {"pass", "✓", TONE_GOOD},         {"verified", "✓", TONE_GOOD},
		{"completed", "✓", TONE_GOOD},  {"failed", "✗", TONE_BAD},        {"fail", "✗", TONE_BAD},
		{"unstable", "~", TONE_UNSURE}, {"unverified", "?", TONE_UNSURE}, {"skipped", "–", TONE_FAINT},
		{"waiting", "…", TONE_BUSY},    {"running", "▸", TONE_BUSY},      {"in_progress", "▸", TONE_BUSY},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (status && strcmp(rows[i].status, status) == 0) {
			*tone = rows[i].tone;
			return rows[i].mark;
		}
	*tone = TONE_FAINT;
	return "·";
}

char *story_took(int64_t ms)
{
	AUTO_BUF text = buf_new(64);

	if (ms >= 0)
		duration_format(&text, ms);
	return text.length ? buf_take(&text) : text_copy("");
}

void story_panel_clear(struct story *story)
{
	if (story->drawn)
		printf("\033[%dA\033[J", story->drawn);
	story->drawn = 0;
}

static void panel_line(struct story *story, int indent, const char *mark, enum tone tone, const char *text)
{
	AUTO_FREE char *fitting = terminal_fit(text, terminal_columns(stdout) - indent - 3);

	printf("%*s%s%s%s %s\n", indent, "", terminal_tone(stdout, tone), mark, terminal_end(stdout), fitting);
	story->drawn++;
}

static void panel_services(struct story *story)
{
	AUTO_BUF text = buf_new(4096);

	for (size_t i = 0; i < story->service_count; i++) {
		AUTO_FREE char *ms = story_took(story->services[i].ms);

		buf_add_format(&text, "%s%s %s", i ? " · " : "", story->services[i].name, story->services[i].ms < 0 ? "…" : ms);
	}
	if (text.length)
		panel_line(story, 4, " ", TONE_PLAIN, text.at);
}

static void panel_draw(struct story *story)
{
	static const char *const frames[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
	AUTO_FREE char *ms = story_took(world_now_ms(world_real) - story->started_ms);
	AUTO_FREE char *head = text_format("%-*s %-9s %s", STEP_WIDTH, story->step ? story->step : "", ms,
					   story->detail ? story->detail : "");
	size_t i;
	json_t *item;

	story_panel_clear(story);
	if (!story->step)
		return;
	panel_line(story, 0, frames[story->frame++ % ARRAY_LEN(frames)], TONE_BUSY, head);
	panel_services(story);
	json_array_foreach(story->plan, i, item) {
		enum tone tone;
		const char *mark = story_mark(story_text(item, "state"), &tone);

		if (i < PLAN_SHOWN)
			panel_line(story, 4, mark, tone, story_text(item, "text"));
	}
	if (story->thought)
		panel_line(story, 4, "“", TONE_FAINT, story->thought);
	if (story->action)
		panel_line(story, 4, "›", TONE_BUSY, story->action);
	if (story->gate)
		panel_line(story, 4, "▸", TONE_BUSY, story->gate);
}

void *story_panel_main(void *self)
{
	struct story *story = self;
	bool stop = false;

	while (!stop) {
		(void)pthread_mutex_lock(&story->mutex);
		stop = story->stop;
		if (stop)
			story_panel_clear(story);
		else
			panel_draw(story);
		(void)fflush(stdout);
		(void)pthread_mutex_unlock(&story->mutex);
		(void)poll(NULL, 0, stop ? 0 : DRAW_MS);
	}
	return NULL;
}
