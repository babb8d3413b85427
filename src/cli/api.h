/*
 * api: how the subcommands talk to `assay serve`: HTTP over its Unix socket (doc/api.md). When no server runs, one is started in
 * the background, which ends by itself when it is idle, and that is said on standard error.
 *
 *	AUTO_API struct api *api = api_open(program, true, &err);
 *	AUTO_FREE char *path = api_path("/environments/{}/freeze", id);
 *	AUTO_JSON json = api ? api_post(api, path, NULL, &err) : NULL;
 *	if (!json)
 *		return cli_fail(program, as_json, &err);
 *
 * All calls block. Errors of the server come back with their kind and text; no answer at all is ERR_RETRY.
 */
#ifndef ASSAY_CLI_API_H
#define ASSAY_CLI_API_H

#include "base/json.h"

struct api;

/* `program` stands in front of what is said: "assay env up". With `start` false a server that does not run is ERR_NOT_FOUND. */
struct api *api_open(const char *program, bool start, struct err *err);
void api_close(struct api *api); /* NULL is fine */
void scope_api(struct api **api);
/* When the server that api_open() started has died (it did not end in order: then calls fail, and streams with them), starts it again.
 * Its runs go on where they were. */
void api_revive(struct api *api);
#define AUTO_API __attribute__((cleanup(scope_api)))

const char *api_socket(const struct api *api); /* path: for those who speak to it themselves (terminals) */

/* Each `{}` of the pattern is replaced by the next argument (const char *), percent-encoded: "/issues/{}/comments", "12". Give as many
 * as there are `{}`; the pattern's own text stays as it is. Owned by the caller. Paths are below /api/v1. */
char *api_path(const char *pattern, ...);

/* The answer, owned by the caller. `body` NULL sends {}. api_items gives the array of {"items": […]}. */
json_t *api_get(struct api *api, const char *path, struct err *err);
json_t *api_items(struct api *api, const char *path, struct err *err);
json_t *api_post(struct api *api, const char *path, const json_t *body, struct err *err);
/* POST of bytes that are no JSON. */
json_t *api_post_bytes(struct api *api, const char *path, struct view bytes, struct err *err);
json_t *api_delete(struct api *api, const char *path, struct err *err);
/* What is no JSON: a diff, a log, a record. */
MUST_USE int api_text(struct api *api, const char *path, struct buf *out, struct err *err);

/* Called for each server-sent event; false ends the stream (the call then succeeds). `name` is its event, `id` its number or 0;
 * about once a second without any event it is called with `name` NULL, so that a spinner can turn and a wait can be broken off. */
struct api_listener {
	bool (*event)(void *self, const char *name, int64_t id, const json_t *data);
	void *self;
};

/* GET of a stream: returns at its end. */
MUST_USE int api_follow(struct api *api, const char *path, struct api_listener listener, struct err *err);
/* GET of text that stays open (logs?follow=1): bytes as they come; an empty view about once a second; false ends it. */
MUST_USE int api_follow_text(struct api *api, const char *path, bool (*bytes)(void *self, struct view view), void *self,
			     struct err *err);
/* POST of long work: `progress` events go to the listener (which may have event NULL), the answer is what `done` carried, owned by
 * the caller; an `error` event is the error. */
json_t *api_work(struct api *api, const char *path, const json_t *body, struct api_listener listener, struct err *err);
/* A listener for api_work that prints each step that ended as a line on standard error: "  clone db  14 ms". */
struct api_listener api_progress_printer(void);

#endif
