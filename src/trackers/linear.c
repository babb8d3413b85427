/* Documents, answers and the shapes of activities. */
#include "trackers/linear.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/digest.h"
#include "base/scope.h"
#include "http/client.h"
#include "http/rest.h"
#include "trackers/linear_documents.h"

#define SEND_MS 20000
#define LONGEST_BLOCK_MS ((int64_t)2 * 3600 * 1000)

/* ---- documents ---- */

struct view linear_document(const char *name)
{
	struct view rest = view_make(linear_documents, linear_documents_length);

	while (rest.length) {
		ptrdiff_t end = view_find(rest, VIEW("\n\n"));
		struct view one = view_make(rest.at, end < 0 ? rest.length : (size_t)end);
		struct view after;
		struct view found;

		rest = end < 0 ? (struct view){0} : view_make(rest.at + end + 2, rest.length - (size_t)end - 2);
		(void)view_cut(one, ' ', &after);
		found = view_make(after.at, 0);
		while (found.length < after.length && after.at[found.length] != '(' && after.at[found.length] != ' ')
			found.length++;
		if (view_is(found, name))
			return one;
	}
	return (struct view){0};
}

/* ---- what an answer means ---- */

static int64_t header_number(const struct linear_answer *answer, const char *name)
{
	const char *text = answer->header ? answer->header(answer->self, name) : NULL;
	uint64_t number;

	return text && view_to_u64(view_trim(view_of(text)), &number) && number <= INT64_MAX ? (int64_t)number : -1;
}

/* The latest reset among the buckets that are empty; resets are milliseconds since 1970. */
static int64_t blocked_until(const struct linear_answer *answer, int64_t now_ms)
{
	static const char *const buckets[] = {"Requests", "Complexity", "Endpoint-Requests"};
	int64_t seconds = header_number(answer, "Retry-After");
	int64_t until_ms = seconds >= 0 && seconds < LONGEST_BLOCK_MS / 1000 ? now_ms + seconds * 1000 : 0;

	for (size_t i = 0; i < ARRAY_LEN(buckets); i++) {
		AUTO_FREE char *left = text_format("X-RateLimit-%s-Remaining", buckets[i]);
		AUTO_FREE char *reset = text_format("X-RateLimit-%s-Reset", buckets[i]);
		int64_t at_ms = header_number(answer, reset);

		if (header_number(answer, left) == 0 && at_ms > until_ms)
			until_ms = at_ms;
	}
	return until_ms > now_ms + LONGEST_BLOCK_MS ? now_ms + LONGEST_BLOCK_MS : until_ms;
}

/* The vendor's codes, and what its callers do next. */
static enum err_kind kind_of(const char *code, const char *type, const char *message)
{
	static const struct {
		const char *name;
		enum err_kind kind;
	} rows[] = {
		{"RATELIMITED", ERR_LIMIT},
		{"ratelimited", ERR_LIMIT},
		{"AUTHENTICATION_ERROR", ERR_DENIED},
		{"authentication error", ERR_DENIED},
		{"FORBIDDEN", ERR_DENIED},
		{"forbidden", ERR_DENIED},
		{"USAGE_LIMIT_EXCEEDED", ERR_DENIED},
		{"usage limit exceeded", ERR_DENIED},
		{"INTERNAL_SERVER_ERROR", ERR_RETRY},
		{"internal error", ERR_RETRY},
		{"lock timeout", ERR_RETRY},
		{"bootstrap error", ERR_RETRY},
		{"network error", ERR_RETRY},
	};

	if (strcmp(code, "INPUT_ERROR") == 0 &&
	    (strstr(message, "conflict on insert") || strstr(message, "already exists") || strstr(message, "Duplicate attachment")))
		return ERR_CONFLICT;
	if (strstr(message, "not found"))
		return ERR_NOT_FOUND;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(code, rows[i].name) == 0 || strcmp(type, rows[i].name) == 0)
			return rows[i].kind;
	return ERR_INVALID;
}

static int errors_judge(const struct linear_answer *answer, const json_t *errors, int64_t now_ms, struct linear_said *said,
			struct err *err)
{
	const json_t *first = json_array_get(errors, 0);
	const json_t *more = json_member(first, "extensions");
	const char *code = json_text(more, "code", "");
	const char *message = json_text(first, "message", "it gives no reason");
	const char *told = json_text(more, "userPresentableMessage", message);
	AUTO_FREE char *both = text_format("%s %s", message, told);
	enum err_kind kind = answer->status == 429 ? ERR_LIMIT : kind_of(code, json_text(more, "type", ""), both);

	if (kind == ERR_LIMIT)
		said->blocked_until_ms = blocked_until(answer, now_ms);
	said->expired = answer->status == 401 || strcmp(code, "AUTHENTICATION_ERROR") == 0;
	return err_set(err, said->expired ? ERR_DENIED : kind, "Linear answers %u%s%s: %.300s", answer->status, code[0] ? " " : "",
		       code, told);
}

static bool payload_failed(const json_t *data)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)data, key, value)
		if (json_is_object(value) && !json_flag(value, "success", true))
			return true;
	return false;
}

int linear_answer_judge(const struct linear_answer *answer, int64_t now_ms, json_t **data, struct linear_said *said,
			struct err *err)
{
	AUTO_JSON body = json_parse(answer->body, NULL);
	const json_t *errors = json_member(body, "errors");

	*data = NULL;
	said->requests_left = header_number(answer, "X-RateLimit-Requests-Remaining");
	if (json_array_size(errors))
		return errors_judge(answer, errors, now_ms, said, err);
	if (answer->status == 401) {
		said->expired = true;
		return err_set(err, ERR_DENIED, "Linear refuses the token (401): connect it anew");
	}
	if (answer->status == 429) {
		said->blocked_until_ms = blocked_until(answer, now_ms);
		return err_set(err, ERR_LIMIT, "Linear's limit of requests is reached");
	}
	if (answer->status == 403)
		return err_set(err, ERR_DENIED, "Linear answers 403");
	if (answer->status == 404)
		return err_set(err, ERR_NOT_FOUND, "Linear answers 404: is `base` right?");
	/* Whatever is no JSON comes from something between: it is asked again. */
	if (!json_is_object(body) || answer->status >= 500 || answer->status == 408 || answer->status == 425)
		return err_set(err, ERR_RETRY, "Linear answers %u%s", answer->status, json_is_object(body) ? "" : ", and no JSON");
	if (answer->status >= 300 || !json_is_object(json_member(body, "data")))
		return err_set(err, ERR_INVALID, "Linear answers %u without data", answer->status);
	if (payload_failed(json_member(body, "data")))
		return err_set(err, ERR_RETRY, "Linear answers that it did not succeed, and not why");
	*data = json_incref(json_member(body, "data"));
	return 0;
}

static const char *response_header(void *self, const char *name)
{
	return http_response_header(self, name);
}

int linear_call(const struct linear_access *access, const char *operation, const json_t *variables, int64_t now_ms, json_t **data,
		struct linear_said *said, struct err *err)
{
	struct view document = linear_document(operation);
	AUTO_FREE char *url = text_format("%s/graphql", access->base);
	AUTO_FREE char *bearer = text_format("%s%s", strncmp(access->token, "lin_api_", 8) == 0 ? "" : "Bearer ", access->token);
	AUTO_BUF body = buf_new(LINEAR_ANSWER_BYTES_MAX);
	AUTO_JSON request = NULL;
	AUTO_RESPONSE response = {0};
	const struct http_header headers[] = {
		{"Authorization", bearer}, {"Content-Type", "application/json"}, {"User-Agent", "assay/" ASSAY_VERSION}};

	*data = NULL;
	*said = (struct linear_said){.requests_left = -1};
	if (!document.length)
		return err_set(err, ERR_INVALID, "there is no document `%s`", operation);
	request = json_pack("{s:s%, s:s, s:O*}", "query", document.at, document.length, "operationName", operation, "variables",
			    variables);
	json_format(&body, request);
	if (buf_finish(&body, err))
		return -1;
	const struct http_call call = {.method = "POST",
				       .url = url,
				       .headers = headers,
				       .header_count = ARRAY_LEN(headers),
				       .body = buf_view(&body),
				       .has_body = true,
				       .timeout_ms = SEND_MS,
				       .body_bytes_max = LINEAR_ANSWER_BYTES_MAX};
	int failed = http_client_call(&call, &response, err);

	explicit_bzero(bearer, strlen(bearer));
	if (failed)
		return err_prefix(err, "Linear");
	const struct linear_answer answer = {response.status, buf_view(&response.body), response_header, &response};

	return linear_answer_judge(&answer, now_ms, data, said, err);
}

struct linear_uuid linear_uuid_of(const char *operation)
{
	struct digest digest = digest_of(view_of(operation));
	struct linear_uuid uuid;
	const char *d = digest.text;

	(void)snprintf(uuid.text, sizeof(uuid.text), "%.8s-%.4s-4%.3s-a%.3s-%.12s", d, d + 8, d + 12, d + 15, d + 18);
	return uuid;
}

/* ---- activities ---- */

static json_t *text_json(const char *text)
{
	json_t *object = json_object();

	json_set_bytes(object, "body", view_of(text));
	return object;
}

json_t *linear_words(const char *type, const char *text)
{
	json_t *content = text_json(text);

	(void)json_object_set_new(content, "type", json_string(type));
	return content;
}

json_t *linear_thought(const char *text)
{
	return linear_words("thought", text);
}

json_t *linear_action(const char *action, const char *parameter, const char *result)
{
	json_t *content = json_pack("{s:s}", "type", "action");

	json_set_bytes(content, "action", view_of(action));
	json_set_bytes(content, "parameter", view_of(parameter));
	if (result)
		json_set_bytes(content, "result", view_of(result));
	return content;
}

json_t *linear_options(const char *const *values, size_t count)
{
	json_t *options = json_array();

	for (size_t i = 0; i < count && i < LINEAR_OPTIONS_MAX; i++) {
		json_t *option = json_object();

		json_set_bytes(option, "value", view_of(values[i]));
		(void)json_array_append_new(options, option);
	}
	return json_pack("{s:o}", "options", options);
}

json_t *linear_plan(const json_t *plan)
{
	static const char *const states[][2] = {{"completed", "completed"},    {"done", "completed"},
						{"in_progress", "inProgress"}, {"running", "inProgress"},
						{"cancelled", "canceled"},     {"canceled", "canceled"}};
	json_t *list = json_array();
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)plan, i, item) {
		const char *state = json_text(item, "state", "");
		const char *status = "pending";
		json_t *step = json_object();

		for (size_t k = 0; k < ARRAY_LEN(states); k++)
			if (strcmp(state, states[k][0]) == 0)
				status = states[k][1];
		json_set_bytes(step, "content", view_of(json_text(item, "text", "")));
		(void)json_object_set_new(step, "status", json_string(status));
		(void)json_array_append_new(list, step);
	}
	return list;
}

/* ---- states ---- */

static const json_t *states_of(const json_t *data)
{
	return json_member(json_member(json_member(data, "team"), "states"), "nodes");
}

const char *linear_started_state(const json_t *data)
{
	const char *found = NULL;
	double lowest = 0;
	json_t *state;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)states_of(data), i, state) {
		double position = json_number_value(json_member(state, "position"));

		if (strcmp(json_text(state, "type", ""), "started") != 0 || (found && position >= lowest))
			continue;
		found = json_text(state, "id", NULL);
		lowest = position;
	}
	return found;
}

const char *linear_state_named(const json_t *data, const char *name)
{
	json_t *state;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)states_of(data), i, state)
		if (strcasecmp(json_text(state, "name", ""), name) == 0)
			return json_text(state, "id", NULL);
	return NULL;
}

/* ---- files ---- */

int linear_upload(struct world world, const json_t *data, const char *type, struct view bytes, char **asset, struct err *err)
{
	const json_t *file = json_member(json_member(data, "fileUpload"), "uploadFile");
	const char *url;
	const char *shown;
	struct rest_call call = {.method = "PUT", .bytes = bytes, .type = type, .plain = true};
	AUTO_ANSWER answer = {0};
	size_t count = 0;
	json_t *header;
	size_t i;

	if (json_text_get(file, "uploadUrl", &url, err) || json_text_get(file, "assetUrl", &shown, err))
		return err_prefix(err, "Linear's place for a file");
	call.url = url;
	json_array_foreach(json_member(file, "headers"), i, header) {
		const char *name = json_text(header, "key", "");

		if (count < REST_HEADERS_MAX && *name && strcasecmp(name, "Content-Type") != 0)
			call.headers[count++] = (struct http_header){name, json_text(header, "value", "")};
	}
	if (rest_ask(world, &call, &answer, err)) {
		/* The place is of a minute: another one is asked for. */
		if (answer.status)
			err->kind = ERR_RETRY;
		return err_prefix(err, "Linear's place for a file");
	}
	*asset = text_copy(shown);
	return 0;
}
