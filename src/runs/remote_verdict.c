/*
 * A verdict as a check on a commit: its summary, and what is said at single lines.
 *
 * Theory of operation: findings that have a place go with the effect. Which of them are on lines that the change brings is asked of git when it is
 * sent, outside of any transaction; there they are annotations. The others have none: beside code that nobody touched they would be read as
 * somebody else's doing, so the summary tells them with their places. What git cannot tell is on no changed line.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/diff.h"
#include "base/log.h"
#include "base/markdown.h"
#include "base/scope.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"

#define SUMMARY_BYTES_MAX ((size_t)60000)
#define TITLE_MAX 200
#define LISTED_MAX 30
#define PLACE_BYTES_MAX ((size_t)8192)
#define DIFF_BYTES_MAX ((size_t)32 << 20)

static json_t *annotations_of(const json_t *report)
{
	json_t *list = json_array();
	size_t index;
	json_t *finding;

	json_array_foreach(json_member(report, "findings"), index, finding) {
		const char *file = json_text(finding, "file", "");
		const char *severity = json_text(finding, "severity", "");
		const char *level = strcmp(severity, "block") == 0  ? "failure"
				    : strcmp(severity, "warn") == 0 ? "warning"
								    : "notice";
		AUTO_FREE char *message = text_format("%s\n%s\n%s", json_text(finding, "title", ""),
						      json_text(finding, "detail", ""), json_text(finding, "reproduce", ""));

		if (!*file || json_array_size(list) >= REMOTE_ANNOTATIONS_MAX)
			continue;
		(void)json_array_append_new(list, json_pack("{s:s, s:I, s:s, s:s, s:s}", "path", file, "line",
							    (json_int_t)json_number(finding, "line", 0), "level", level, "title",
							    json_text(finding, "id", "finding"), "message", message));
	}
	return list;
}

static void summary_add(struct buf *out, const json_t *report)
{
	size_t index;
	json_t *item;

	markdown_code_add(out, json_text(report, "reason", ""), false);
	buf_add_text(out, "\n\n| gate | result | |\n|---|---|---|\n");
	json_array_foreach(json_member(report, "gates"), index, item) {
		buf_add_format(out, "| %s | %s | ", json_text(item, "title", json_text(item, "name", "")),
			       json_text(item, "status", ""));
		markdown_code_add(out, json_text(item, "reason", ""), true);
		buf_add_text(out, " |\n");
	}
	json_array_foreach(json_member(report, "findings"), index, item)
		if (index < LISTED_MAX) {
			buf_add_format(out, "%s- **%s** `%s` ", index ? "" : "\n", json_text(item, "severity", ""),
				       json_text(item, "id", ""));
			markdown_code_add(out, json_text(item, "title", ""), false);
			buf_add_char(out, '\n');
		}
	json_array_foreach(json_member(report, "not_covered"), index, item)
		if (index < LISTED_MAX && json_is_string(item)) {
			buf_add_text(out, index ? "- " : "\nNot covered:\n- ");
			markdown_code_add(out, json_string_value(item), false);
			buf_add_char(out, '\n');
		}
}

json_t *remote_check_data(const json_t *report, const char *base, const char *head, const char *url)
{
	static const enum remote_state states[] = {
		[VERDICT_VERIFIED] = REMOTE_GOOD, [VERDICT_FAILED] = REMOTE_BAD, [VERDICT_UNVERIFIED] = REMOTE_UNKNOWN};
	AUTO_BUF summary = buf_new(SUMMARY_BYTES_MAX);
	enum verdict verdict = verdict_of(report);
	AUTO_FREE char *title = text_format("%s: %.*s", verdict_name(verdict), TITLE_MAX, json_text(report, "reason", ""));
	json_t *data = json_object();

	summary_add(&summary, report);
	json_set_bytes(data, "title", view_of(title));
	json_set_bytes(data, "summary", buf_view(&summary));
	(void)json_object_set_new(data, "base", json_string(base ? base : ""));
	(void)json_object_set_new(data, "head", json_string(head));
	(void)json_object_set_new(data, "url", json_string(url));
	(void)json_object_set_new(data, "state", json_integer(states[verdict]));
	(void)json_object_set_new(data, "annotations", annotations_of(report));
	return data;
}

/* ---- where they are ---- */

/* "path:line"; owned by the caller. */
static char *place_of(const json_t *annotation)
{
	return text_format("%s:%lld", json_text(annotation, "path", ""), (long long)json_number(annotation, "line", 0));
}

/* Of the places asked for, those that the diff adds become true. */
static void places_mark(json_t *places, struct view diff)
{
	struct diff_reader reader = {.rest = diff};
	struct diff_line line;

	while (diff_next(&reader, &line)) {
		AUTO_BUF place = buf_new(PLACE_BYTES_MAX);

		buf_add_view(&place, line.path);
		buf_add_format(&place, ":%lld", (long long)line.number);
		if (!place.over && json_object_get(places, place.at))
			(void)json_object_set_new(places, place.at, json_true());
	}
}

/* {"path:line": is it changed}; owned by the caller. */
static json_t *places_of(const char *repository, const json_t *data)
{
	AUTO_BUF diff = buf_new(DIFF_BYTES_MAX);
	json_t *places = json_object();
	struct git_hash base;
	struct git_hash head;
	struct err err = {0};
	size_t index;
	json_t *annotation;

	json_array_foreach(json_member(data, "annotations"), index, annotation) {
		AUTO_FREE char *place = place_of(annotation);

		(void)json_object_set_new(places, place, json_false());
	}
	if (!json_object_size(places))
		return places;
	if (git_hash_parse(view_of(json_text(data, "base", "")), &base, &err) ||
	    git_hash_parse(view_of(json_text(data, "head", "")), &head, &err) || git_diff(repository, &base, &head, &diff, &err))
		log_warn("run=%s: which lines it changes cannot be told: %s", json_text(data, "run", ""), err.text);
	else
		places_mark(places, buf_view(&diff));
	return places;
}

static void elsewhere_add(struct buf *out, const json_t *list)
{
	size_t index;
	json_t *annotation;

	json_array_foreach((json_t *)(uintptr_t)list, index, annotation) {
		AUTO_FREE char *place = json_number(annotation, "line", 0) > 0 ? place_of(annotation)
									       : text_copy(json_text(annotation, "path", ""));
		struct view title = view_cut(view_of(json_text(annotation, "message", "")), '\n', &(struct view){0});
		AUTO_FREE char *said = view_copy(title);

		if (index == LISTED_MAX) {
			buf_add_format(out, "- … and %zu more\n", json_array_size(list) - index);
			break;
		}
		buf_add_text(out, index ? "- " : "\nNot on lines that this changes:\n- ");
		markdown_code_add(out, place, false);
		buf_add_format(out, " `%s` ", json_text(annotation, "title", ""));
		markdown_code_add(out, said, false);
		buf_add_char(out, '\n');
	}
}

void remote_check_place(const char *repository, json_t *data)
{
	AUTO_JSON places = places_of(repository, data);
	AUTO_JSON elsewhere = json_array();
	AUTO_BUF summary = buf_new(2 * SUMMARY_BYTES_MAX);
	json_t *on_lines = json_array();
	size_t index;
	json_t *annotation;

	json_array_foreach(json_member(data, "annotations"), index, annotation) {
		AUTO_FREE char *place = place_of(annotation);

		(void)json_array_append(json_is_true(json_object_get(places, place)) ? on_lines : elsewhere, annotation);
	}
	buf_add_text(&summary, json_text(data, "summary", ""));
	elsewhere_add(&summary, elsewhere);
	json_set_bytes(data, "summary", buf_view(&summary));
	(void)json_object_set_new(data, "annotations", on_lines);
}
