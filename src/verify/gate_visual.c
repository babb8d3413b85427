/*
 * What people see: the preview's pages in Chromium, on base, base again and head.
 *
 * Theory of operation: the pages are those of `verify.pages`, those that recorded sessions got as HTML, and what they link to on the base. Each version is
 * looked at in a fresh environment, and what blocks was seen in a second one of the head. Errors of the console and requests that fail, which neither run of the base has, block: a page is broken. What a screen
 * reader would say, and what the eye sees outside of what differs on the base by itself, is shown and warns: only a person knows whether it is meant.
 */
#include <stdlib.h>

#include "verify/browser.h"
#include "verify/picture.h"
#include "verify/rehearsal.h"

#define LOOKS ((size_t)4)
#define LINES_SHOWN 3
#define WEIGHT_PROBLEM 55
#define WEIGHT_SEEN 12

struct looks {
	struct ladder *ladder;
	struct gate *gate;
	char *origin; /* as seen from the workspace */
	json_t *paths;
	json_t *pages[LOOKS]; /* of base, base again, head, and head again once something blocks */
};

struct look {
	struct looks *looks;
	size_t place;
	json_t *paths;
	bool crawl;
};

static void looks_fini(struct looks *looks)
{
	free(looks->origin);
	json_decref(looks->paths);
	for (size_t i = 0; i < ARRAY_LEN(looks->pages); i++)
		json_decref(looks->pages[i]);
}

static const struct service *preview_service(const struct blueprint *blueprint)
{
	for (size_t i = 0; i < blueprint->service_count; i++)
		if (blueprint->services[i].preview && blueprint->services[i].port)
			return &blueprint->services[i];
	return NULL;
}

/* ---- which pages ---- */

static void path_add(json_t *paths, const char *path)
{
	for (size_t i = 0; i < json_array_size(paths); i++)
		if (strcmp(json_string_value(json_array_get(paths, i)), path) == 0)
			return;
	if (path[0] == '/' && json_array_size(paths) < BROWSER_PAGES_MAX)
		(void)json_array_append_new(paths, json_string(path));
}

/* Those that the base answered as HTML when the sessions were replayed. */
static void paths_of_run(json_t *paths, const json_t *run)
{
	const json_t *entries = json_member(run, "entries");

	for (size_t i = 0; i < json_array_size(entries); i++) {
		const json_t *entry = json_array_get(entries, i);
		const json_t *request = json_member(entry, "request");
		const json_t *headers = json_member(json_member(entry, "response"), "headers");
		const char *url = json_text(request, "url", "");
		const char *scheme = strstr(url, "://");
		const char *path = scheme ? strchr(scheme + 3, '/') : url;
		AUTO_BUF text = buf_new((size_t)1 << 20);

		json_format(&text, headers);
		if (path && strcmp(json_text(request, "method", "GET"), "GET") == 0 &&
		    json_number(json_member(entry, "response"), "status", 0) == 200 &&
		    view_find(buf_view(&text), VIEW("text/html")) >= 0)
			path_add(paths, path);
	}
}

static bool paths_find(struct looks *looks)
{
	const struct texts *named = &looks->ladder->blueprint->verify.pages;

	looks->paths = json_array();
	for (size_t i = 0; i < named->count; i++)
		path_add(looks->paths, named->at[i]);
	paths_of_run(looks->paths, looks->ladder->base_run);
	return json_array_size(looks->paths) > 0;
}

/* ---- looking ---- */

static void side_look(struct side *side)
{
	struct look *look = (struct look *)(uintptr_t)side->argument;
	json_t **pages = &look->looks->pages[look->place];

	side->result = ladder_env_up(side, &side->err);
	if (side->result)
		return;
	*pages = browser_look(side->ladder, side->env, look->looks->origin, look->paths, look->crawl, &side->err);
	if (!*pages && (side->err.kind == ERR_RETRY || side->err.kind == ERR_BROKEN)) /* of a busy machine, or of Chromium */
		*pages = browser_look(side->ladder, side->env, look->looks->origin, look->paths, look->crawl, &side->err);
	side->result = *pages ? 0 : -1;
	ladder_env_down(side->ladder, side->env);
}

static struct side side_of(struct look *look, const char *label)
{
	struct ladder *ladder = look->looks->ladder;

	return (struct side){.ladder = ladder,
			     .gate = look->looks->gate->name,
			     .label = label,
			     .commit = look->place < 2 ? &ladder->request->base : &ladder->request->head,
			     .argument = look};
}

/* The base says which pages there are; the others show the same ones. */
static int look_at_all(struct looks *looks, struct err *err)
{
	struct look base = {.looks = looks, .place = 0, .paths = looks->paths, .crawl = true};
	struct look again = {.looks = looks, .place = 1, .paths = looks->paths};
	struct look head = {.looks = looks, .place = 2, .paths = looks->paths};
	struct side sides[] = {side_of(&base, "base"), side_of(&again, "base again"), side_of(&head, "head")};

	side_look(&sides[0]);
	if (!sides[0].result)
		sides_run(side_look, (struct side *const[]){&sides[1], &sides[2]}, 2);
	for (size_t i = 0; i < ARRAY_LEN(sides); i++)
		if (sides[i].result) {
			*err = sides[i].err;
			if (i && err->kind == ERR_NOT_FOUND)
				err->kind = ERR_BROKEN; /* on the base there was a Chromium */
			return -1;
		}
	return 0;
}

static int look_again(struct looks *looks, struct err *err)
{
	struct look look = {.looks = looks, .place = 3, .paths = looks->paths};
	struct side side = side_of(&look, "head again");

	side_look(&side);
	if (side.result)
		*err = side.err;
	if (side.result && err->kind == ERR_NOT_FOUND)
		err->kind = ERR_BROKEN;
	return side.result;
}

/* ---- comparing ---- */

static void PRINTF_LIKE(8, 9) found(struct looks *looks, const char *kind, const char *path, const char *within,
				    enum severity severity, int weight, const char *detail, const char *format, ...)
{
	AUTO_FREE char *place = text_format("GET %s", path);
	char title[600];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(title, sizeof(title), format, args);
	va_end(args);
	(void)finding_add(looks->gate->findings,
			  &(struct finding){.gate = looks->gate->name,
					    .kind = kind,
					    .place = place,
					    .path = within,
					    .severity = severity,
					    .weight = weight,
					    .title = title,
					    .detail = detail},
			  NULL);
}

/* A text without its numbers, by which it is the same one. Owned by the caller. */
static char *form_of(const char *text)
{
	char *form = text_copy(text);
	char *to = form;

	for (const char *at = form; *at; at++)
		if (*at < '0' || *at > '9')
			*to++ = *at;
	*to = '\0';
	return form;
}

static json_t *forms_of(const json_t *texts)
{
	json_t *forms = json_object();
	size_t index;
	json_t *text;

	json_array_foreach(texts, index, text) {
		AUTO_FREE char *form = form_of(json_string_value(text));

		(void)json_object_set_new(forms, form, json_true());
	}
	return forms;
}

static bool has_form(const json_t *forms, const json_t *text)
{
	AUTO_FREE char *form = form_of(json_string_value(text));

	return json_member(forms, form) != NULL;
}

static void problems_judge(struct looks *looks, const char *path, const json_t *const pages[3])
{
	AUTO_JSON base = forms_of(json_member(pages[0], "problems"));
	AUTO_JSON again = forms_of(json_member(pages[1], "problems"));
	const json_t *problems = json_member(pages[2], "problems");
	size_t index;
	json_t *problem;

	json_array_foreach(problems, index, problem) {
		AUTO_FREE char *form = form_of(json_string_value(problem));

		if (!has_form(base, problem) && !has_form(again, problem))
			found(looks, "page-problem", path, form, SEVERITY_BLOCK, WEIGHT_PROBLEM, "Neither look at the base has it.",
			      "page %s: %s", path, json_string_value(problem));
	}
}

/* Up to LINES_SHOWN of the lines that both `with` have and `without` has not, each as "sign line"; how many there are. */
static size_t lines_gone(const json_t *with, const json_t *too, const json_t *without, char sign, struct buf *out)
{
	AUTO_JSON also = forms_of(too);
	AUTO_JSON not_in = forms_of(without);
	size_t count = 0;
	size_t index;
	json_t *line;

	json_array_foreach(with, index, line) {
		if (!has_form(also, line) || has_form(not_in, line))
			continue;
		if (count++ < LINES_SHOWN)
			buf_add_format(out, "%s%c %s", out->length ? "\n" : "", sign, json_string_value(line));
	}
	return count;
}

static void lines_judge(struct looks *looks, const char *path, const json_t *const pages[3])
{
	const json_t *base = json_member(pages[0], "lines");
	const json_t *again = json_member(pages[1], "lines");
	const json_t *head = json_member(pages[2], "lines");
	AUTO_BUF shown = buf_new(BUF_MAX_DEFAULT);
	AUTO_JSON either = json_array();
	size_t gone = lines_gone(base, again, head, '-', &shown);
	size_t fresh;

	(void)json_array_extend(either, (json_t *)(uintptr_t)base);
	(void)json_array_extend(either, (json_t *)(uintptr_t)again);
	fresh = lines_gone(head, head, either, '+', &shown);
	if (gone || fresh)
		found(looks, "page-text", path, "", SEVERITY_WARN, WEIGHT_SEEN, shown.at ? shown.at : "",
		      "page %s: %zu %s gone and %zu new, as a screen reader has it", path, gone,
		      gone == 1 ? "part is" : "parts are", fresh);
}

static void picture_take(const json_t *page, struct buf *png)
{
	struct err err;

	if (buf_add_unbase64(png, view_of(json_text(page, "png", "")), &err))
		buf_clear(png);
}

static void pictures_judge(struct looks *looks, size_t number, const char *path, const json_t *const pages[3])
{
	static const char *const labels[] = {"base", "base-again", "head"};
	struct region regions[PICTURE_REGIONS_MAX];
	AUTO_BUF detail = buf_new(BUF_MAX_DEFAULT);
	AUTO_BUF base = buf_new(PICTURE_BYTES_MAX);
	AUTO_BUF again = buf_new(PICTURE_BYTES_MAX);
	AUTO_BUF head = buf_new(PICTURE_BYTES_MAX);
	struct buf *const pngs[] = {&base, &again, &head};
	struct err err;
	int count;

	for (size_t i = 0; i < 3; i++)
		picture_take(pages[i], pngs[i]);
	count = picture_compare(buf_view(&base), buf_view(&again), buf_view(&head), regions, &err);
	if (count < 0)
		ladder_not_covered(looks->ladder, "visual: page %s: %s", path, err.text);
	for (int i = 0; i < count; i++)
		buf_add_format(&detail, "%s%d x %d at %d, %d", i ? "; " : "", regions[i].width, regions[i].height, regions[i].x,
			       regions[i].y);
	for (size_t i = 0; i < 3; i += 2) {
		AUTO_FREE char *name = text_format("visual/%zu-%s.png", number, labels[i]);
		AUTO_FREE char *title = text_format("%s, %s", path, i ? "after" : "before");

		if (count > 0)
			ladder_media(looks->ladder, name, title, "image/png", buf_view(pngs[i]));
		else
			ladder_artefact(looks->ladder, name, buf_view(pngs[i]));
	}
	if (count > 0)
		found(looks, "page-picture", path, "", SEVERITY_WARN, WEIGHT_SEEN, detail.at,
		      "page %s looks otherwise in %d %s (visual/%zu-head.png)", path, count, count == 1 ? "place" : "places",
		      number);
}

/* By the look at the head of that place. */
static void pages_judge(struct looks *looks, size_t head)
{
	int64_t html = 0;

	for (size_t i = 0; i < json_array_size(looks->pages[0]); i++) {
		const json_t *const pages[3] = {json_array_get(looks->pages[0], i), json_array_get(looks->pages[1], i),
						json_array_get(looks->pages[head], i)};
		const char *path = json_text(pages[0], "path", "");
		int64_t before = json_number(pages[0], "status", 0);
		int64_t after = json_number(pages[2], "status", 0);

		if (!json_flag(pages[0], "html", false))
			continue;
		if (before != json_number(pages[1], "status", 0)) {
			ladder_not_covered(looks->ladder, "visual: page %s: the base answers now %lld, now %lld", path,
					   (long long)before, (long long)json_number(pages[1], "status", 0));
			continue;
		}
		html++;
		if (before != after) {
			found(looks, "page-status", path, "", SEVERITY_BLOCK, WEIGHT_PROBLEM, "", "page %s answers %lld, not %lld",
			      path, (long long)after, (long long)before);
			continue;
		}
		problems_judge(looks, path, pages);
		lines_judge(looks, path, pages);
		pictures_judge(looks, i + 1, path, pages);
	}
	gate_count(looks->gate, "pages", html);
}

/* What blocks and is not there at a second look only warns. */
static int confirm(struct looks *looks, struct err *err)
{
	json_t *first = looks->gate->findings;
	AUTO_JSON again = json_array();
	size_t index;
	json_t *finding;

	if (look_again(looks, err))
		return -1;
	looks->gate->findings = again;
	pages_judge(looks, 3);
	looks->gate->findings = first;
	json_array_foreach(first, index, finding) {
		if (!finding_is(finding, SEVERITY_BLOCK) || finding_find(again, json_text(finding, "id", "")))
			continue;
		(void)json_object_set_new(finding, "severity", json_string(severity_name(SEVERITY_WARN)));
		json_set_bytes(finding, "detail", VIEW("Seen at the first look at the change, and not at the second."));
	}
	return 0;
}

/* ---- the rung ---- */

static int skip(struct looks *looks, const char *why)
{
	looks->gate->status = GATE_SKIPPED;
	gate_reason(looks->gate, "%s", why);
	return 0;
}

int gate_visual(struct ladder *ladder, struct gate *gate, struct err *err)
{
	__attribute__((cleanup(looks_fini))) struct looks looks = {.ladder = ladder, .gate = gate};
	const struct service *service = preview_service(ladder->blueprint);

	if (!service)
		return skip(&looks, "no service has a preview");
	if (!paths_find(&looks))
		return skip(&looks, "no recorded session has a page, and verify.pages names none");
	looks.origin = text_format("http://%s:%u", service->name, service->port);
	if (look_at_all(&looks, err)) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		ladder_not_covered(ladder, "visual: %s", err->text);
		return skip(&looks, err->text);
	}
	pages_judge(&looks, 2);
	return findings_block(gate->findings) ? confirm(&looks, err) : 0;
}
