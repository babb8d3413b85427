/* One message from its head to its end: what is looked at, in which order, and how much may go. */
#include <ctype.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/dlp/dlp_priv.h"
#include "gateway/dlp/inflate.h"
#include "gateway/dlp/spare.h"

#define HEAD_BYTES_MAX ((size_t)1 << 20)
#define SEGMENTS_MAX (EGRESS_FIELDS_MAX * 2 + 8)
#define VIEW_BUDGET ((int64_t)1 << 20)
#define OUT_BYTES ((size_t)32768)

struct dlp_message *dlp_begin(struct dlp *dlp, enum dlp_where where)
{
	struct dlp_message *message = mem_new(sizeof *message);

	atomic_fetch_add(&dlp->references, 1);
	message->dlp = dlp;
	(void)pthread_mutex_lock(&dlp->lock);
	message->rules = dlp_rules_ref(dlp->rules);
	message->secrets = dlp->secrets;
	if (message->secrets)
		atomic_fetch_add(&message->secrets->references, 1);
	message->known = known_ref(dlp->known);
	(void)pthread_mutex_unlock(&dlp->lock);
	message->feeding = where;
	message->view_budget = VIEW_BUDGET;
	node_init(&message->body, message, 0, "plain");
	return message;
}

void dlp_free(struct dlp_message *message)
{
	if (!message)
		return;
	node_fini(&message->body);
	free(message->findings);
	free(message->path);
	for (size_t i = 0; i < message->layer_count; i++)
		inflater_free(message->layers[i]);
	dlp_rules_unref(message->rules);
	secrets_unref(message->secrets);
	known_unref(message->known);
	dlp_unref(message->dlp);
	free(message);
}

/* Heads */

struct head {
	struct dlp_message *message;
	struct buf plain;
	struct buf pieced;
	size_t segment_count;
	struct segment segments[SEGMENTS_MAX]; /* not zeroed */
};

static void head_begin(struct head *head, struct dlp_message *message)
{
	head->message = message;
	head->plain = spare_buf(HEAD_BYTES_MAX);
	head->pieced = spare_buf(HEAD_BYTES_MAX * 4);
	head->segment_count = 0;
}

static void head_segment(struct head *head, enum dlp_where where)
{
	if (head->segment_count < SEGMENTS_MAX)
		head->segments[head->segment_count++] = (struct segment){head->plain.length, where};
}

/* Fields whose values programs choose, not people: joined with others they only make noise. */
static bool field_is_usual(struct view name)
{
	static const char *const usual[] = {
		"accept",
		"accept-charset",
		"accept-encoding",
		"accept-language",
		"cache-control",
		"content-length",
		"content-type",
		"date",
		"expect",
		"if-match",
		"if-none-match",
		"if-modified-since",
		"origin",
		"pragma",
		"priority",
		"range",
		"referer",
		"sec-fetch-dest",
		"sec-fetch-mode",
		"sec-fetch-site",
		"te",
		"user-agent",
		"via",
		"x-requested-with",
		"cookie",
	};

	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		if (view_equal_nocase(name, view_of(usual[i])))
			return true;
	return false;
}

/* A short value of a field that each request has: what came before it in other requests may make it one secret. */
static void head_ring(struct dlp_message *message, const char *field, struct view name, struct view value, enum dlp_where where)
{
	char text[RING_BYTES];
	struct look look = {.where = where, .view = "several requests", .known_only = true};

	if ((!message->known && (!message->secrets || !message->secrets->database)) || !value.length ||
	    value.length > RING_PIECE_MOST)
		return;
	look.text = view_make(text, window_ring(message->dlp, field, name, value, text));
	look_at(message, &look);
}

/* name=value pairs, cut by `by`: the values joined, then names and values joined. */
static void head_pairs(struct head *head, const char *field, struct view text, char by, enum dlp_where where)
{
	for (int pass = 0; pass < 2; pass++) {
		struct view rest = text;

		while (rest.length) {
			struct view value, pair = view_trim(view_cut(rest, by, &rest));
			struct view name = view_cut(pair, '=', &value);

			if (pass || !value.at)
				buf_add_view(&head->pieced, name);
			if (value.at)
				buf_add_view(&head->pieced, value);
			if (!pass)
				head_ring(head->message, field, name, value.at ? value : name, where);
		}
		buf_add_char(&head->pieced, '\n');
	}
}

static void head_path(struct head *head, struct view path)
{
	struct view rest = path, last = {"", 0};

	while (rest.length) {
		struct view segment = view_cut(rest, '/', &rest);

		buf_add_view(&head->pieced, segment);
		if (segment.length)
			last = segment;
	}
	buf_add_char(&head->pieced, '\n');
	head_ring(head->message, "path", VIEW(""), last, DLP_PATH);
}

static void head_fields(struct head *head, enum dlp_where where, const struct egress_field *fields, size_t count)
{
	head_segment(head, where);
	for (size_t i = 0; i < count; i++) {
		buf_add_view(&head->plain, fields[i].name);
		buf_add_text(&head->plain, ": ");
		buf_add_view(&head->plain, fields[i].value);
		buf_add_char(&head->plain, '\n');
		if (view_is(fields[i].name, "cookie"))
			head_pairs(head, "cookie", fields[i].value, ';', where);
	}
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < count; i++) {
			if (field_is_usual(fields[i].name))
				continue;
			if (pass)
				buf_add_view(&head->pieced, fields[i].name);
			else
				head_ring(head->message, "field", fields[i].name, fields[i].value, where);
			buf_add_view(&head->pieced, fields[i].value);
		}
		buf_add_char(&head->pieced, '\n');
	}
}

static void head_look(struct head *head)
{
	struct dlp_message *message = head->message;
	struct view plain = buf_view(&head->plain), pieced = buf_view(&head->pieced);
	struct look look = {.text = plain, .view = "plain", .segments = head->segments, .segment_count = head->segment_count};

	if (head->plain.over || head->pieced.over)
		dlp_finding_own(message, "too-much", "its head is too long to be looked at", DLP_BLOCK, "plain");
	else if (heads_had_nothing(message, plain, pieced))
		return;
	message->touched = head->plain.over || head->pieced.over;
	look_at(message, &look);
	look = (struct look){.text = pieced, .view = "joined", .where = head->segments[0].where, .pieced = true, .depth = 1};
	look_at(message, &look);
	if (!message->touched)
		heads_nothing_add(message, plain, pieced);
}

static void head_end(struct head *head)
{
	head_look(head);
	spare_buf_put(&head->plain);
	spare_buf_put(&head->pieced);
}

static void message_unreadable(struct dlp_message *message, const char *title)
{
	message->unreadable = true;
	dlp_finding_own(message, "unreadable", title, DLP_BLOCK, "plain");
}

/* Messages within a body, each compressed by itself (gRPC, Connect), are found where they begin: those that can be told by their beginning. */
static bool coding_is_found(struct view name)
{
	enum coding coding;

	return coding_parse(name, &coding) && coding != CODING_BROTLI;
}

void dlp_head(struct dlp_message *message, const struct egress_request *request)
{
	struct head head;

	head_begin(&head, message);
	if (message->rules->paths && !message->path)
		message->path = view_copy(request->path);
	head_segment(&head, DLP_PATH);
	buf_add_view(&head.plain, request->method);
	buf_add_char(&head.plain, ' ');
	buf_add_view(&head.plain, request->path);
	head_path(&head, request->path);
	if (request->query.length) {
		buf_add_char(&head.plain, '?');
		head_segment(&head, DLP_QUERY);
		buf_add_view(&head.plain, request->query);
		head_pairs(&head, "query", request->query, '&', DLP_QUERY);
	}
	buf_add_char(&head.plain, '\n');
	head_fields(&head, DLP_HEADER, request->fields, request->field_count);
	head_end(&head);
	for (size_t i = 0; i < request->field_count; i++) {
		struct view name = request->fields[i].name, value = view_trim(request->fields[i].value);

		if (view_equal_nocase(name, VIEW("content-encoding")))
			dlp_coding(message, value);
		else if ((view_equal_nocase(name, VIEW("grpc-encoding")) ||
			  view_equal_nocase(name, VIEW("connect-content-encoding"))) &&
			 value.length && !coding_is_found(value))
			message_unreadable(message, "its messages are compressed in a way that cannot be read");
	}
}

void dlp_fields(struct dlp_message *message, enum dlp_where where, const struct egress_field *fields, size_t count)
{
	struct head head;

	head_begin(&head, message);
	head_fields(&head, where, fields, count);
	head_end(&head);
}

/* Bodies */

void dlp_coding(struct dlp_message *message, struct view content_encoding)
{
	enum coding codings[LAYERS_MAX + 1];
	struct view rest = content_encoding;
	size_t count = message->layer_count;

	for (size_t i = 0; i < count; i++)
		codings[i] = CODING_NONE; /* an earlier field's are undone last */
	while (rest.length) {
		struct view name = view_trim(view_cut(rest, ',', &rest));

		if (!name.length)
			continue;
		if (count > LAYERS_MAX || !coding_parse(name, &codings[count])) {
			message_unreadable(message, count > LAYERS_MAX ? "its body is compressed more than twice"
								       : "its content-encoding is not one that can be read");
			return;
		}
		count += codings[count] != CODING_NONE;
	}
	if (count > LAYERS_MAX) {
		message_unreadable(message, "its body is compressed more than twice");
		return;
	}
	for (size_t i = message->layer_count; i < count; i++) {
		/* The last one named was applied last. */
		memmove(message->layers + 1, message->layers, message->layer_count * sizeof *message->layers);
		message->layers[0] = inflater_new(codings[i]);
		message->layer_count++;
	}
}

static void layer_feed(struct dlp_message *message, size_t layer, struct view bytes)
{
	char out[OUT_BYTES];

	if (layer == message->layer_count) {
		node_feed(&message->body, bytes);
		return;
	}
	while (!message->unreadable) {
		size_t made, before = bytes.length;
		enum inflated result = inflater_run(message->layers[layer], &bytes, out, sizeof out, &made);

		if (made)
			layer_feed(message, layer + 1, view_make(out, made));
		switch (result) {
		case INFLATED_MORE:
			break;
		case INFLATED_END:
			/* Bytes behind the end are no part of it, and read as they are: these, and what comes after them. */
			node_feed(&message->body, bytes);
			return;
		case INFLATED_BROKEN:
			message_unreadable(message, "its body is not compressed as its head says");
			return;
		case INFLATED_LIMIT:
			message->unreadable = true;
			dlp_finding_own(message, "too-much", "what is compressed in it becomes too large", DLP_BLOCK, "plain");
			return;
		}
		if (made < sizeof out && (!bytes.length || bytes.length == before))
			return;
	}
}

/* Of a coded body the bytes may go that were taken two blocks ago: what came of them was looked at, and the hold-back is behind them. */
static uint64_t message_free(const struct dlp_message *message)
{
	uint64_t seen = message->body.base + message->body.fresh;

	if (message->action >= DLP_HOLD)
		return 0;
	if (message->layer_count)
		return message->mark[1];
	return seen > DLP_HOLD_BACK ? seen - DLP_HOLD_BACK : 0;
}

uint64_t dlp_feed(struct dlp_message *message, struct view bytes)
{
	if (!message->unreadable && !message->ended) {
		layer_feed(message, 0, bytes);
		message->fed += bytes.length;
	}
	return message_free(message);
}

uint64_t dlp_flush(struct dlp_message *message)
{
	node_look(&message->body, false);
	return message->action >= DLP_HOLD ? 0 : message->fed;
}

static int compare_findings(const void *a, const void *b)
{
	const struct dlp_finding *left = a, *right = b;

	if (left->action != right->action)
		return left->action < right->action ? 1 : -1;
	return left->from < right->from ? -1 : left->from > right->from;
}

void dlp_end(struct dlp_message *message)
{
	if (message->ended)
		return;
	message->ended = true;
	if (message->fed && message->fed <= RING_PIECE_MOST && message->body.text)
		head_ring(message, "body", VIEW(""), view_make(message->body.text, message->body.length), message->feeding);
	node_look(&message->body, true);
	node_fini(&message->body); /* its memory is for the next one, which may begin long before this one is freed */
	if (message->count > 1)
		qsort(message->findings, message->count, sizeof *message->findings, compare_findings);
}

enum dlp_action dlp_action(const struct dlp_message *message)
{
	return message->action;
}

const struct dlp_finding *dlp_findings(const struct dlp_message *message, size_t *count)
{
	*count = message->count;
	return message->findings;
}

const struct dlp_finding *dlp_finding_take(struct dlp_message *message)
{
	for (size_t i = 0; i < message->count; i++)
		if (!message->findings[i].taken) {
			message->findings[i].taken = true;
			return &message->findings[i];
		}
	return NULL;
}

const char *dlp_where_name(enum dlp_where where)
{
	static const char *const names[] = {"path", "query", "header", "body", "trailer", "message", "host"};

	return names[where];
}
