/* Learning, judging, and the layers of an answer: status, headers, cookies, body. */
#include "verify/compare_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "verify/call.h"
#include "verify/format.h"
#include "verify/tree.h"

#define BODY_MAX ((size_t)16 << 20)
#define TITLE_MAX 400

/* ---- noise ---- */

static char *noise_key(const struct judge *judge, const char *path)
{
	return text_format("%s\n%d %s\n%s", judge->place, (int)judge->layer, judge->within, path);
}

const json_t *judge_noise(const struct judge *judge, const char *path)
{
	AUTO_FREE char *key = noise_key(judge, path);

	return json_object_get(judge->comparison->noise, key);
}

void judge_learn(struct judge *judge, const char *path, const json_t *expected, const json_t *got)
{
	AUTO_FREE char *key = noise_key(judge, path);
	json_t *first = class_join(json_object_get(judge->noise, key), expected ? expected : json_null());
	json_t *both = class_join(first, got ? got : json_null());

	json_decref(first);
	(void)json_object_set_new(judge->noise, key, both);
}

/* ---- reporting ---- */

static json_t *request_shown(const json_t *request)
{
	json_t *shown = json_object();
	AUTO_BUF body = buf_new(BODY_MAX);
	AUTO_JSON holder = json_object();

	call_body(&body, request);
	(void)json_object_set_new(shown, "method", json_string(json_text(request, "method", "GET")));
	(void)json_object_set_new(shown, "url", json_string(json_text(request, "url", "/")));
	json_set_bytes(holder, "body", buf_view(&body));
	(void)json_object_set_new(shown, "body", body.length ? evidence_of(json_member(holder, "body")) : json_null());
	return shown;
}

/* "body.items[].price", "header location": as people name it in a declaration. */
static void where_format(struct buf *out, const struct judge *judge, const char *path)
{
	static const char *const words[] = {
		[LAYER_BODY] = "body",         [LAYER_HEADER] = "header", [LAYER_COOKIE] = "cookie", [LAYER_SEAM] = "seam",
		[LAYER_OUTBOUND] = "outbound", [LAYER_ROWS] = "rows",     [LAYER_KEYS] = "keys",     [LAYER_LOG] = "log"};
	bool body = judge->layer == LAYER_BODY;

	buf_add_text(out, words[judge->layer]);
	if (judge->within[0])
		buf_add_format(out, " %s", judge->within);
	if (path[0])
		buf_add_format(out, "%s%s", body && path[0] != '[' ? "." : body ? "" : " ", path);
}

/* Says in a finding which request it is of, and what that called before and now. */
static void request_tell(struct judge *judge, json_t *made)
{
	const json_t *inside = judge->comparison->options.inside;
	AUTO_JSON expected = tree_exchanges(judge->base_entry);
	AUTO_JSON got = tree_exchanges(judge->head_entry);
	AUTO_BUF first = buf_new(4096);

	(void)json_object_set_new(made, "at", json_integer((json_int_t)judge->at));
	judge_first_difference(judge, &first);
	json_set_bytes(made, "detail", buf_view(&first));
	(void)json_object_set_new(made, "request", request_shown(json_member(judge->base_entry, "request")));
	(void)json_object_set_new(made, "session", json_string(json_text(judge->base_entry, "session", "")));
	(void)json_object_set_new(made, "entry", json_integer(json_number(judge->base_entry, "index", 0)));
	(void)json_object_set_new(made, "expected_tree", tree_rows(expected, inside));
	(void)json_object_set_new(made, "got_tree", tree_rows(got, inside));
	if (json_member(judge->base_entry, "said"))
		(void)json_object_set(made, "expected_said", json_member(judge->base_entry, "said"));
	if (json_member(judge->head_entry, "said"))
		(void)json_object_set(made, "got_said", json_member(judge->head_entry, "said"));
}

void judge_report(struct judge *judge, const char *kind, const char *path, enum severity severity, int weight,
		  const json_t *expected, const json_t *got, const char *format, ...)
{
	AUTO_FREE char *full_path = text_format("%d %s %s", (int)judge->layer, judge->within, path);
	AUTO_FREE char *title = NULL;
	char text[TITLE_MAX * 2];
	struct finding finding;
	json_t *made;
	va_list args;
	bool fresh;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	title = text_format("%s: %s", judge->place, text);
	finding = (struct finding){.gate = judge->comparison->options.gate,
				   .kind = kind,
				   .place = judge->place,
				   .path = full_path,
				   .severity = severity,
				   .weight = weight,
				   .title = title,
				   .expected = expected,
				   .got = got};
	made = finding_add(judge->findings, &finding, &fresh);
	if (made && fresh) {
		AUTO_BUF where = buf_new(8192);

		where_format(&where, judge, path);
		json_set_bytes(made, "where", buf_view(&where));
	}
	if (made && fresh && judge->base_entry)
		request_tell(judge, made);
}

/* ---- answers ---- */

static bool header_ignored(const char *name)
{
	static const char *const names[] = {"date", "content-length", "connection", "keep-alive", "transfer-encoding",
					    "age",  "alt-svc"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* "text/html;charset=UTF-8" and "text/html; charset=utf-8" are the same. */
static void content_type_normalise(json_t *headers)
{
	AUTO_FREE char *text = text_copy(json_text(headers, "content-type", NULL));
	size_t to = 0;

	if (!text)
		return;
	for (size_t i = 0; text[i]; i++)
		if (text[i] != ' ' && text[i] != '"')
			text[to++] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
	text[to] = '\0';
	json_set_bytes(headers, "content-type", view_of(text));
}

static json_t *headers_compared(const json_t *response)
{
	json_t *headers = call_headers(response);
	const char *name;
	json_t *value;
	void *next;

	json_object_foreach_safe(headers, next, name, value) if (header_ignored(name))(void) json_object_del(headers, name);
	/* Validators follow the body, which is compared itself: that they are there is what counts. */
	if (json_member(headers, "etag"))
		(void)json_object_set_new(headers, "etag", json_string("present"));
	if (json_member(headers, "last-modified"))
		(void)json_object_set_new(headers, "last-modified", json_string("present"));
	content_type_normalise(headers);
	return headers;
}

static void judge_headers(struct judge *judge, const json_t *expected, const json_t *got)
{
	AUTO_JSON a = headers_compared(expected);
	AUTO_JSON b = headers_compared(got);
	AUTO_JSON cookies_a = call_cookies(expected);
	AUTO_JSON cookies_b = call_cookies(got);

	judge->layer = LAYER_HEADER;
	judge_values(judge, a, b);
	judge->layer = LAYER_COOKIE;
	judge_values(judge, cookies_a, cookies_b);
}

/* Text line by line: a list of strings, where each line can be noisy by its form. */
static json_t *text_lines(struct view text)
{
	json_t *lines = json_array();

	while (text.length && json_array_size(lines) < 20000) {
		struct view line = view_cut(text, '\n', &text);
		AUTO_JSON holder = json_object();

		json_set_bytes(holder, "line", line);
		(void)json_array_append(lines, json_member(holder, "line"));
	}
	return lines;
}

static bool is_text(const json_t *response)
{
	const char *type = call_header(response, "content-type");

	return type && (strncasecmp(type, "text/", 5) == 0 || strcasestr(type, "javascript") || strcasestr(type, "xml"));
}

static void judge_lines(struct judge *judge, struct view expected, struct view got)
{
	AUTO_JSON a = text_lines(expected);
	AUTO_JSON b = text_lines(got);

	for (size_t i = 0; i < json_array_size(a) || i < json_array_size(b); i++) {
		AUTO_FREE char *path = text_format("line %zu", i + 1);
		const json_t *left = json_array_get(a, i);
		const json_t *right = json_array_get(b, i);
		const json_t *class_ = judge->noise ? NULL : judge_noise(judge, path);

		if (left && right && (json_equal(left, right) || (class_ && class_has(class_, right))))
			continue;
		if (judge->noise && left && right) {
			judge_learn(judge, path, left, right);
			continue;
		}
		if (judge->noise)
			judge_learn(judge, "#lines", NULL, NULL);
		else if (!judge_noise(judge, "#lines"))
			judge_report(judge, "text", "", SEVERITY_BLOCK, WEIGHT_VALUE, left, right, "body differs from %s on", path);
		return;
	}
}

static void judge_bytes(struct judge *judge, struct view expected, struct view got)
{
	if (view_equal(expected, got))
		return;
	if (judge->noise)
		judge_learn(judge, "#bytes", NULL, NULL);
	else if (!judge_noise(judge, "#bytes"))
		judge_report(judge, "bytes", "", SEVERITY_BLOCK, WEIGHT_VALUE, NULL, NULL,
			     "body of %zu bytes differs from that of %zu", got.length, expected.length);
}

static void judge_body(struct judge *judge, const json_t *expected, const json_t *got)
{
	AUTO_JSON a = call_body_json(expected);
	AUTO_JSON b = call_body_json(got);
	AUTO_BUF raw_a = buf_new(BODY_MAX);
	AUTO_BUF raw_b = buf_new(BODY_MAX);

	judge->layer = LAYER_BODY;
	if (a && b) {
		judge_values(judge, a, b);
		return;
	}
	call_body(&raw_a, expected);
	call_body(&raw_b, got);
	if (a && !judge->noise && !judge_noise(judge, "")) {
		judge_report(judge, "type", "", SEVERITY_BLOCK, WEIGHT_SHAPE + 3, a, json_member(got, "body"),
			     "the body is no JSON any more");
		return;
	}
	if (is_text(expected) || is_text(got))
		judge_lines(judge, buf_view(&raw_a), buf_view(&raw_b));
	else
		judge_bytes(judge, buf_view(&raw_a), buf_view(&raw_b));
}

static json_t *answer_shown(const json_t *entry)
{
	const json_t *response = json_member(entry, "response");
	json_t *body;

	if (!json_is_object(response))
		return json_pack("{s:s}", "error", json_text(entry, "error", "no answer"));
	body = call_body_json(response);
	return json_pack("{s:i, s:o}", "status", (int)json_number(response, "status", 0), "body",
			 body ? body : evidence_of(json_member(response, "body")));
}

/* Returns whether both answered with the same status. */
static bool judge_status(struct judge *judge)
{
	const json_t *a = json_member(judge->base_entry, "response");
	const json_t *b = json_member(judge->head_entry, "response");
	int expected = (int)json_number(a, "status", 0);
	int got = (int)json_number(b, "status", 0);
	AUTO_JSON shown_a = NULL;
	AUTO_JSON shown_b = NULL;

	if (expected == got && json_is_object(a) && json_is_object(b))
		return true;
	shown_a = answer_shown(judge->base_entry);
	shown_b = answer_shown(judge->head_entry);
	if (!json_is_object(b))
		judge_report(judge, "no-answer", "", SEVERITY_BLOCK, WEIGHT_ANSWER + 1, shown_a, shown_b,
			     "no answer instead of %d (%s)", expected, json_text(judge->head_entry, "error", "it took too long"));
	else
		judge_report(judge, "status", "", SEVERITY_BLOCK, WEIGHT_ANSWER, shown_a, shown_b, "answers %d instead of %d", got,
			     expected);
	return false;
}

/* ---- one entry, all entries ---- */

static void judge_entry(struct judge *judge)
{
	const json_t *a = json_member(judge->base_entry, "response");
	const json_t *b = json_member(judge->head_entry, "response");
	AUTO_BUF endpoint = buf_new(8192);
	bool alike;

	call_place(&endpoint, judge->base_entry);
	judge->place = endpoint.at;
	judge->within = "";
	judge->layer = LAYER_BODY;
	judge->soft = json_number(a, "status", 0) >= 400;
	if (json_object_get(judge->comparison->unstable, judge->place))
		return;
	alike = judge->noise ? true : judge_status(judge);
	if (alike) {
		judge_headers(judge, a, b);
		judge_body(judge, a, b);
	}
	judge_seams(judge, json_member(judge->base_entry, "seams"), json_member(judge->head_entry, "seams"), alike);
	if (!judge->noise)
		judge_cascades(judge);
	judge->place = NULL;
}

static void judge_run(struct judge *judge, const json_t *expected, const json_t *got)
{
	const json_t *a = json_member(expected, "entries");
	const json_t *b = json_member(got, "entries");

	for (size_t i = 0; i < json_array_size(a); i++) {
		judge->at = i;
		judge->base_entry = json_array_get(a, i);
		judge->head_entry = json_array_get(b, i);
		if (judge->head_entry)
			judge_entry(judge);
	}
	judge->base_entry = judge->head_entry = NULL;
	judge_rows(judge, json_member(expected, "rows"), json_member(got, "rows"), json_array_size(a));
	if (!judge->noise)
		judge_logs(judge, got);
}

/* Where the base answers one request in two ways, nothing can be said about the endpoint. */
static void learn_unstable(struct comparison *comparison)
{
	const json_t *a = json_member(comparison->base, "entries");
	const json_t *b = json_member(comparison->again, "entries");

	for (size_t i = 0; i < json_array_size(a); i++) {
		const json_t *first = json_array_get(a, i);
		const json_t *second = json_array_get(b, i);
		int status = call_status(first);
		int again = call_status(second);
		AUTO_BUF endpoint = buf_new(8192);
		AUTO_FREE char *reason = NULL;

		if (json_flag(first, "in_passing", false) || (status && status == again))
			continue;
		call_place(&endpoint, first);
		if (!status || !again)
			reason = text_format("the base did not answer (%s)",
					     json_text(status ? second : first, "error", "it took too long"));
		else
			reason = text_format("the base answered %d, and %d the second time", status, again);
		(void)json_object_set_new(comparison->unstable, endpoint.at, json_string(reason));
	}
}

struct comparison *comparison_new(const json_t *base, const json_t *again, const struct compare_options *options)
{
	struct comparison *comparison = mem_new(sizeof(*comparison));
	struct judge judge = {.comparison = comparison};

	*comparison = (struct comparison){base, again, *options, json_object(), json_object()};
	learn_unstable(comparison);
	judge.noise = comparison->noise;
	judge_run(&judge, base, again);
	return comparison;
}

void comparison_free(struct comparison *comparison)
{
	if (!comparison)
		return;
	json_decref(comparison->noise);
	json_decref(comparison->unstable);
	free(comparison);
}

json_t *comparison_judge(const struct comparison *comparison, const json_t *head)
{
	struct judge judge = {.comparison = comparison, .findings = json_array()};

	judge_run(&judge, comparison->base, head);
	findings_sort(judge.findings);
	return judge.findings;
}

json_t *comparison_noise(const struct comparison *comparison)
{
	json_t *list = json_array();
	const char *key;
	json_t *class_;

	json_object_foreach(comparison->noise, key, class_) {
		struct view layer;
		struct view path;
		struct view rest;
		struct view place = view_cut(view_of(key), '\n', &rest);
		AUTO_BUF text = buf_new(8192);
		AUTO_BUF described = buf_new(8192);
		json_t *row = json_object();
		uint64_t number = 0;

		layer = view_cut(rest, '\n', &path);
		layer = view_cut(layer, ' ', &rest);
		(void)view_to_u64(layer, &number);
		buf_add_view(&text, rest);
		if (number <= LAYER_COOKIE)
			buf_add_text(&text, number == LAYER_BODY ? "body" : number == LAYER_HEADER ? "header" : "cookie");
		if (path.length)
			buf_add_format(&text, "%s%.*s", text.length ? " " : "", (int)path.length, path.at);
		class_describe(&described, class_);
		json_set_bytes(row, "endpoint", place);
		json_set_bytes(row, "path", buf_view(&text));
		json_set_bytes(row, "class", buf_view(&described));
		(void)json_array_append_new(list, row);
	}
	return list;
}

json_t *comparison_unstable(const struct comparison *comparison)
{
	json_t *list = json_array();
	const char *endpoint;
	json_t *reason;

	json_object_foreach(comparison->unstable, endpoint, reason)
		(void)json_array_append_new(list, json_pack("{s:s, s:O}", "endpoint", endpoint, "reason", reason));
	return list;
}

void findings_confirm(json_t *findings, const json_t *again, json_t *unstable)
{
	for (size_t i = 0; i < json_array_size(findings); i++) {
		json_t *finding = json_array_get(findings, i);
		const json_t *second = finding_find(again, json_text(finding, "id", ""));

		if (!finding_is(finding, SEVERITY_BLOCK) || (second && finding_is(second, SEVERITY_BLOCK)))
			continue;
		(void)json_object_set_new(finding, "severity", json_string(severity_name(SEVERITY_WARN)));
		(void)json_object_set_new(finding, "detail", json_string("seen in one of two runs of the change: unstable"));
		(void)json_array_append_new(unstable, json_pack("{s:O, s:s}", "endpoint", json_member(finding, "place"), "reason",
								"a difference was seen in one of two runs of the change"));
	}
	findings_sort(findings);
}
