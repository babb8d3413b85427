/* Which form a file has, and what all of them share. */
#include "session/import_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "session/document.h"
#include "session/openapi.h"

const char *import_form_name(enum import_form form)
{
	static const char *const names[] = {NULL, "har", "openapi", "postman", "log"};

	return names[form];
}

void import_left_out(struct import *import, const char *format, ...)
{
	char line[600];
	AUTO_JSON holder = json_object();
	va_list args;

	if (json_array_size(import->left_out) >= IMPORT_LEFT_OUT_MAX)
		return;
	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	json_set_bytes(holder, "line", view_of(line));
	(void)json_array_append(import->left_out, json_member(holder, "line"));
	if (json_array_size(import->left_out) == IMPORT_LEFT_OUT_MAX)
		(void)json_array_append_new(import->left_out, json_string("and others: only the first are named"));
}

void import_add(struct import *import, struct exchange *exchange)
{
	if (import->session.count >= HAR_ENTRIES_MAX) {
		import_left_out(import, "a session has at most %d requests: what follows is left out", HAR_ENTRIES_MAX);
		exchange_fini(exchange);
		return;
	}
	exchange->seq = import->session.count + 1;
	if (!exchange->proto)
		exchange->proto = text_copy("http");
	session_add(&import->session, exchange);
}

void import_body(struct exchange_body *body, struct view bytes)
{
	if (!bytes.length || bytes.length > HAR_BODY_BYTES_MAX)
		return;
	body->at = view_copy(bytes);
	body->length = bytes.length;
	body->bytes = bytes.length;
}

void import_fini(struct import *import)
{
	session_fini(&import->session);
	json_decref(import->left_out);
	*import = (struct import){0};
}

static bool is_postman(const json_t *document)
{
	return json_is_array(json_member(document, "item")) && json_is_object(json_member(document, "info"));
}

/* A description: JSON or YAML. */
static int document_import(struct view text, const char *file_name, enum import_form form, struct import *import, struct err *err)
{
	AUTO_JSON document = document_parse(text, file_name, err);

	if (!document)
		return -1;
	if (form == IMPORT_POSTMAN || (form == IMPORT_GUESS && is_postman(document)))
		return import_postman(document, import, err) ? err_prefix(err, "%s", file_name) : 0;
	if (form == IMPORT_OPENAPI || openapi_is(document))
		return import_openapi(document, import, err) ? err_prefix(err, "%s", file_name) : 0;
	return err_set(
		err, ERR_INVALID,
		"%s: neither a HAR file (`log.entries`), nor an OpenAPI 3 document (`openapi`, `paths`), nor a Postman collection "
		"(`info`, `item`)",
		file_name);
}

/* HAR files are large, and read by their own parser: looked for near the beginning. */
static bool looks_har(struct view text)
{
	struct view head = view_make(text.at, text.length < 4096 ? text.length : 4096);

	return view_find(head, VIEW("\"log\"")) >= 0 &&
	       (view_find(head, VIEW("\"entries\"")) >= 0 || view_find(head, VIEW("\"creator\"")) >= 0 ||
		view_find(head, VIEW("\"version\"")) >= 0);
}

/* The first line has a request and a status as access logs do. */
static bool looks_log(struct view text)
{
	struct view line = view_cut(text, '\n', &(struct view){0});

	return line.length && line.at[0] != '{' && view_find(line, VIEW("] \"")) > 0 && view_find(line, VIEW(" [")) > 0;
}

static int har_import(struct view text, const char *file_name, struct import *import, struct err *err)
{
	return har_parse(text, &import->session, err) ? err_prefix(err, "%s", file_name) : 0;
}

static int form_parse(struct view text, const char *file_name, enum import_form form, struct import *import, struct err *err)
{
	if (form == IMPORT_HAR || (form == IMPORT_GUESS && looks_har(text)))
		return har_import(text, file_name, import, err);
	if (form == IMPORT_LOG || (form == IMPORT_GUESS && looks_log(text)))
		return import_log(text, import, err) ? err_prefix(err, "%s", file_name) : 0;
	return document_import(text, file_name, form, import, err);
}

int import_parse(struct view text, const char *file_name, enum import_form form, struct import *import, struct err *err)
{
	*import = (struct import){.left_out = json_array()};
	if (text.length > IMPORT_BYTES_MAX) {
		import_fini(import);
		return err_set(err, ERR_LIMIT, "%s: more than %zu MiB: take a part of it", file_name, IMPORT_BYTES_MAX >> 20);
	}
	if (form_parse(text, file_name, form, import, err) == 0)
		return 0;
	import_fini(import);
	return -1;
}
