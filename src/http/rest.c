/* Answers of code hosts and trackers, sorted by what the caller does next. */
#include "http/rest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"

#define SECONDS_MAX ((uint64_t)7 * 86400)
#define STATUS_REFUSED 403
#define STATUS_BUSY 429
#define BOUNDARY_BYTES 16

void rest_answer_fini(struct rest_answer *answer)
{
	json_decref(answer->body);
	buf_fini(&answer->text);
	*answer = (struct rest_answer){0};
}

/* What a host says went wrong: "message", and the messages of "errors"; GitLab has lists and objects there. */
static void said_add(struct buf *out, const json_t *value)
{
	const char *key;
	size_t index;
	json_t *item;

	if (json_is_string(value))
		buf_add_format(out, "%s%s", out->length ? "; " : "", json_string_value(value));
	if (json_is_array(value))
		json_array_foreach((json_t *)(uintptr_t)value, index, item)
			said_add(out, item);
	if (!json_is_object(value))
		return;
	if (json_text(value, "field", NULL) && json_text(value, "code", NULL))
		buf_add_format(out, "%s%s is %s", out->length ? "; " : "", json_text(value, "field", ""),
			       json_text(value, "code", ""));
	json_object_foreach((json_t *)(uintptr_t)value, key, item)
		if (strcmp(key, "message") == 0 || strcmp(key, "errors") == 0 || strcmp(key, "error") == 0 ||
		    strcmp(key, "error_description") == 0 || json_is_array(item))
			said_add(out, item);
}

static bool header_number(const struct http_response *response, const char *name, uint64_t *number)
{
	const char *text = http_response_header(response, name);

	return text && view_to_u64(view_of(text), number);
}

/* One of the buckets: nothing is left of it, and it is filled again at a time. */
static int64_t bucket_until(const struct http_response *response, const char *remaining, const char *reset, int64_t now_ms)
{
	uint64_t left;
	uint64_t seconds;

	if (!header_number(response, remaining, &left) || left || !header_number(response, reset, &seconds) ||
	    seconds > (uint64_t)now_ms / 1000 + SECONDS_MAX)
		return 0;
	return (int64_t)seconds * 1000 > now_ms ? (int64_t)seconds * 1000 + 1000 : now_ms + 1000;
}

/* 0: this refusal is no limit. */
static int64_t limit_until(const struct http_response *response, const char *said, int64_t now_ms)
{
	uint64_t seconds;
	int64_t until;

	if (response->status != STATUS_REFUSED && response->status != STATUS_BUSY)
		return 0;
	if (header_number(response, "Retry-After", &seconds) && seconds < SECONDS_MAX)
		return now_ms + (int64_t)seconds * 1000;
	until = bucket_until(response, "X-RateLimit-Remaining", "X-RateLimit-Reset", now_ms);
	if (!until)
		until = bucket_until(response, "RateLimit-Remaining", "RateLimit-Reset", now_ms);
	if (!until && (response->status == STATUS_BUSY || strcasestr(said, "secondary rate limit") ||
		       strcasestr(said, "abuse detection") || strcasestr(said, "login attempts")))
		until = now_ms + REST_PAUSE_MS;
	return until;
}

static enum err_kind kind_of(unsigned status)
{
	switch (status) {
	case 401:
	case STATUS_REFUSED:
		return ERR_DENIED;
	case 404:
	case 410:
		return ERR_NOT_FOUND;
	case 409:
		return ERR_CONFLICT;
	case 408:
	case 425:
		return ERR_RETRY;
	default:
		return status >= 500 ? ERR_RETRY : ERR_INVALID;
	}
}

/* "POST /repos/…": of a URL what follows the host. */
static const char *path_of(const char *url)
{
	const char *host = strstr(url, "://");
	const char *path = host ? strchr(host + 3, '/') : NULL;

	return path ? path : url;
}

static int judge(struct world world, const struct rest_call *call, const struct http_response *response, struct rest_answer *answer,
		 struct err *err)
{
	const char *method = call->method ? call->method : call->body || call->type ? "POST" : "GET";
	const char *path = path_of(call->url);
	AUTO_BUF said = buf_new(400);

	if (response->status >= 300 && response->status < 400 && !call->plain)
		return err_set(err, ERR_NOT_FOUND, "%s %.200s: the host answers %u: it is at %.300s now", method, path,
			       response->status, answer->location);
	if (response->status >= 200 && response->status < 400) {
		if (answer->body || call->plain || !response->body.length)
			return 0;
		return err_set(err, ERR_RETRY, "%s %.200s: the answer is no JSON", method, path);
	}
	said_add(&said, answer->body);
	answer->wait_until_ms = limit_until(response, said.at ? said.at : "", world_now_ms(world));
	if (answer->wait_until_ms)
		return err_set(err, ERR_LIMIT, "%s %.200s: the host answers %u: %s", method, path, response->status,
			       said.at ? said.at : "a limit is reached");
	return err_set(err, kind_of(response->status), "%s %.200s: the host answers %u%s%s%s%s", method, path, response->status,
		       said.length ? ": " : "", said.at ? said.at : "", *answer->needs ? "; it needs " : "", answer->needs);
}

static void header_keep(char *place, size_t size, const struct http_response *response, const char *name)
{
	const char *text = http_response_header(response, name);

	(void)snprintf(place, size, "%s", text ? text : "");
}

/* RFC 8288: <URL>; rel="next", <URL>; rel="last" */
static void next_keep(char *place, size_t size, const char *link)
{
	struct view rest = view_of(link);

	*place = '\0';
	while (rest.length) {
		struct view one = view_trim(view_cut(rest, ',', &rest));
		ptrdiff_t end = view_find(one, VIEW(">"));

		if (end > 1 && one.at[0] == '<' && view_find(one, VIEW("rel=\"next\"")) > end && (size_t)end < size)
			(void)snprintf(place, size, "%.*s", (int)end - 1, one.at + 1);
	}
}

static void answer_read(struct rest_answer *answer, const struct rest_call *call, struct http_response *response)
{
	const char *link = http_response_header(response, "Link");

	answer->status = response->status;
	next_keep(answer->next, sizeof(answer->next), link ? link : "");
	header_keep(answer->location, sizeof(answer->location), response, "Location");
	header_keep(answer->scopes, sizeof(answer->scopes), response, "X-OAuth-Scopes");
	header_keep(answer->needs, sizeof(answer->needs), response, "X-Accepted-GitHub-Permissions");
	if (call->plain && response->status < 300)
		buf_add_view(&answer->text, buf_view(&response->body));
	else if (response->body.length)
		answer->body = json_parse(buf_view(&response->body), NULL);
}

char *rest_form(struct world world, const char *field, const char *file, const char *file_type, struct view bytes, struct buf *out)
{
	unsigned char random[BOUNDARY_BYTES];
	AUTO_BUF boundary = buf_new(sizeof("assay-") + 2 * sizeof(random));

	world_random(world, random, sizeof(random));
	buf_add_text(&boundary, "assay-");
	buf_add_hex(&boundary, random, sizeof(random));
	buf_add_format(out, "--%s\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\nContent-Type: %s\r\n\r\n",
		       boundary.at, field, file, file_type);
	buf_add_view(out, bytes);
	buf_add_format(out, "\r\n--%s--\r\n", boundary.at);
	return text_format("multipart/form-data; boundary=%s", boundary.at);
}

int rest_ask(struct world world, const struct rest_call *call, struct rest_answer *answer, struct err *err)
{
	struct http_header headers[REST_HEADERS_MAX + 2] = {{"User-Agent", "assay/" ASSAY_VERSION}};
	AUTO_BUF body = buf_new(REST_ANSWER_BYTES_MAX);
	AUTO_RESPONSE response = {0};
	struct http_call http = {.method = call->method,
				 .url = call->url,
				 .headers = headers,
				 .header_count = 1,
				 .has_body = call->body || call->type,
				 .body = call->bytes,
				 .timeout_ms = REST_TIMEOUT_MS,
				 .body_bytes_max = REST_ANSWER_BYTES_MAX};

	*answer = (struct rest_answer){.text = buf_new(REST_ANSWER_BYTES_MAX)};
	for (size_t i = 0; i < REST_HEADERS_MAX && call->headers[i].name; i++)
		headers[http.header_count++] = call->headers[i];
	if (call->body) {
		json_format(&body, call->body);
		if (buf_finish(&body, err))
			return -1;
		http.body = buf_view(&body);
		headers[http.header_count++] = (struct http_header){"Content-Type", "application/json"};
	} else if (call->type) {
		headers[http.header_count++] = (struct http_header){"Content-Type", call->type};
	}
	if (http_client_call(&http, &response, err)) {
		if (err && err->kind == ERR_BROKEN)
			err->kind = ERR_RETRY;
		else if (err && err->kind == ERR_LIMIT)
			err->kind = ERR_INVALID; /* too large: waiting makes it no smaller */
		return err_prefix(err, "%s", path_of(call->url));
	}
	answer_read(answer, call, &response);
	return judge(world, call, &response, answer, err);
}
