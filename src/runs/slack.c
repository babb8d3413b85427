/*
 * Slack: what is said there taken, over signed HTTP or Socket Mode (slack_socket.c), and what is said here written.
 *
 * A connection is of one workspace, whose bot token is a secret of the connection (slack_access.c). A thread of a channel is a session: what was asked in it is the
 * issue. Progress is one message that is changed (board.h), with a task for each step and a button to stop; questions have a button for
 * each answer. A message carries its operation as metadata, by which it is found again when the answer to its making was lost.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "runs/board.h"
#include "runs/runs_priv.h"
#include "runs/slack_priv.h"

#define METADATA "assay"
#define REPLIES_MAX 100 /* of a thread that are looked at */
#define MESSAGE_BYTES_MAX ((size_t)64 << 10)
#define TITLE_BYTES_MAX 120

/* ---- in ---- */

static int event_parse(const struct connection *connection, struct view body, struct tracker_event *event, struct err *err)
{
	return slack_event_parse(body, json_text(connection->configuration, "account", NULL),
				 json_text(connection->configuration, "self", NULL), event, err);
}

static int verify(const struct connection *connection, const struct webhook_request *request, int64_t now_ms, struct err *err)
{
	const char *secret = connection_secret(connection, "signing_secret");

	return secret ? webhook_verify(WEBHOOK_SLACK, secret, request, now_ms, err)
		      : err_set(err, ERR_DENIED, "the connection has no signing_secret");
}

static int keys(const struct connection *connection, const struct webhook_request *request, struct inbox_keys *out, struct err *err)
{
	AUTO_FREE char *challenge = slack_challenge(request->body);
	AUTO_TRACKER_EVENT event = {0};

	if (challenge) {
		AUTO_JSON answer = json_pack("{s:s}", "challenge", challenge);
		AUTO_BUF text = buf_new(MESSAGE_BYTES_MAX);

		json_format(&text, answer);
		out->ignored = true;
		out->answer = buf_finish(&text, err) ? NULL : buf_take(&text);
		return out->answer ? 0 : -1;
	}
	if (event_parse(connection, request->body, &event, err))
		return -1;
	out->ignored = event.kind == TRACKER_IGNORED || event.actor_is_self || !event.key[0];
	out->delivery = text_copy(json_text(event.raw, "event_id", event.key));
	out->content = event.key[0] ? text_copy(event.key) : NULL;
	out->stream = event.thread ? text_copy(event.thread) : NULL;
	out->known = event.only_known && event.thread ? thread_id_of(connection->id, event.account, event.thread) : NULL;
	out->kind = text_format("%.60s", json_text(json_member(event.raw, "event"), "type", json_text(event.raw, "type", "")));
	return 0;
}

static int take(struct runs *runs, struct store_tx *tx, const struct connection *connection, const struct inbox_message *message,
		struct err *err)
{
	AUTO_TRACKER_EVENT event = {0};

	return event_parse(connection, message->data, &event, err) ? -1 : thread_take(runs, tx, connection, &event, err);
}

const struct inbox_source inbox_slack = {.name = "slack", .verify = verify, .keys = keys, .take = take};

/* ---- asking ---- */

/* `arguments` are stolen; *answer is owned by the caller, and NULL where nobody wants it. `error` gets Slack's word. Blocks. */
static int ask_with(const struct speaking *speaking, const char *method, bool is_read, json_t *arguments, json_t **answer,
		    char error[64], struct err *err)
{
	AUTO_JSON owned = arguments;
	AUTO_JSON ignored = NULL;
	struct slack_asking asking = {
		{.world = speaking->runs->options.world, .method = method, .arguments = arguments, .is_read = is_read},
		answer ? answer : &ignored,
		error};
	const struct token_call call = {speaking->thread.connection, speaking->thread.account, slack_asking_act, &asking};
	struct token_said said;

	if (!token_use(speaking->runs, &call, &said, err))
		return 0;
	speaking->answer->blocked_until_ms = said.blocked_until_ms;
	return -1;
}

static int ask(const struct speaking *speaking, const char *method, bool is_read, json_t *arguments, json_t **answer,
	       struct err *err)
{
	char error[64] = "";

	return ask_with(speaking, method, is_read, arguments, answer, error, err);
}

/* {"channel", name: ts} */
static json_t *place_of(const struct speaking *speaking, const char *name)
{
	struct view ts;
	struct view channel = view_cut(view_of(speaking->thread.thread), ':', &ts);

	return json_pack("{s:s%, s:s%}", "channel", channel.at, channel.length, name, ts.at ? ts.at : "", ts.length);
}

/* ---- messages ---- */

static int replies(const struct speaking *speaking, json_t **answer, struct err *err)
{
	json_t *arguments = place_of(speaking, "ts");

	(void)json_object_set_new(arguments, "limit", json_integer(REPLIES_MAX));
	(void)json_object_set_new(arguments, "include_all_metadata", json_true());
	return ask(speaking, "conversations.replies", true, arguments, answer, err);
}

/* One of ours that is there already; *ts (owned) is NULL when none is. */
static int message_find(const struct speaking *speaking, const char *operation, char **ts, struct err *err)
{
	AUTO_JSON answer = NULL;
	json_t *message;
	size_t i;

	*ts = NULL;
	if (replies(speaking, &answer, err)) {
		/* Without the scope to read, what was lost may be said twice; it is not lost. */
		if (err->kind != ERR_DENIED && err->kind != ERR_NOT_FOUND)
			return -1;
		*err = (struct err){0};
		return 0;
	}
	json_array_foreach(json_member(answer, "messages"), i, message) {
		const json_t *metadata = json_member(message, "metadata");
		const char *theirs = json_text(json_member(metadata, "event_payload"), "operation", "");

		if (strcmp(json_text(metadata, "event_type", ""), METADATA) == 0 && strcmp(theirs, operation) == 0) {
			*ts = text_copy(json_text(message, "ts", NULL));
			return 0;
		}
	}
	return 0;
}

/* `blocks` are borrowed. What Slack does not know of them yet is left out. */
static int message_send(const struct speaking *speaking, const char *method, json_t *arguments, const char *text,
			const json_t *blocks, json_t **answer, struct err *err)
{
	AUTO_JSON owned = arguments;
	char error[64] = "";

	json_set_bytes(owned, "text", view_of(text));
	(void)json_object_set(owned, "blocks", (json_t *)(uintptr_t)blocks);
	if (!ask_with(speaking, method, false, json_incref(owned), answer, error, err))
		return 0;
	if (strcmp(error, "invalid_blocks") != 0)
		return -1;
	*err = (struct err){0};
	AUTO_JSON plain = json_pack("[o]", slack_section(text));

	(void)json_object_set(owned, "blocks", plain);
	return ask(speaking, method, false, json_incref(owned), answer, err);
}

static int message_make(const struct speaking *speaking, const char *operation, const char *text, const json_t *blocks, char **ts,
			struct err *err)
{
	json_t *arguments = place_of(speaking, "thread_ts");
	AUTO_JSON answer = NULL;

	(void)json_object_set_new(arguments, "unfurl_links", json_false());
	(void)json_object_set_new(arguments, "metadata",
				  json_pack("{s:s, s:{s:s}}", "event_type", METADATA, "event_payload", "operation", operation));
	if (message_send(speaking, "chat.postMessage", arguments, text, blocks, &answer, err))
		return -1;
	*ts = text_copy(json_text(answer, "ts", NULL));
	return *ts ? 0 : err_set(err, ERR_RETRY, "Slack made a message and does not say which");
}

/* ---- the board ---- */

static void lines_write(const json_t *board, struct buf *out)
{
	const char *now = json_text(board, "now", NULL);
	json_t *each;
	size_t i;

	json_array_foreach(json_member(board, "lines"), i, each) {
		AUTO_FREE char *line = slack_mrkdwn(view_of(json_string_value(each)));

		buf_add_format(out, "• %s\n", line);
	}
	if (now) {
		AUTO_FREE char *line = slack_mrkdwn(view_of(now));

		buf_add_format(out, "%s …\n", line);
	}
}

static void links_write(const json_t *board, struct buf *out)
{
	json_t *each;
	size_t i;

	json_array_foreach(json_member(board, "links"), i, each) {
		AUTO_FREE char *markdown = text_format("[%s](%s)", json_text(each, "label", ""), json_text(each, "url", ""));
		AUTO_FREE char *link = slack_mrkdwn(view_of(markdown));

		buf_add_format(out, "%s%s", i ? "  ·  " : "", link);
	}
}

static json_t *blocks_of(const json_t *board)
{
	json_t *blocks = json_array();
	AUTO_BUF lines = buf_new(MESSAGE_BYTES_MAX);
	AUTO_BUF links = buf_new(MESSAGE_BYTES_MAX);
	AUTO_FREE char *head = text_format("*%s*", board_title(board));

	if (json_array_size(json_member(board, "plan")))
		(void)json_array_append_new(blocks, slack_plan(board_title(board), json_member(board, "plan")));
	else
		(void)json_array_append_new(blocks, slack_section(head));
	lines_write(board, &lines);
	links_write(board, &links);
	if (lines.length)
		(void)json_array_append_new(blocks, slack_section(lines.at));
	if (links.length)
		(void)json_array_append_new(blocks, slack_context(links.at));
	if (!json_flag(board, "over", false))
		(void)json_array_append_new(
			blocks, slack_actions(json_pack("[o]", slack_button(SLACK_ACTION_STOP, "Stop", "stop", "danger"))));
	return blocks;
}

/* {"channel", "ts"} of a message. */
static json_t *place_with(const struct speaking *speaking, const char *ts)
{
	json_t *place = place_of(speaking, "ts");

	(void)json_object_set_new(place, "ts", json_string(ts));
	return place;
}

static int board_make(const struct speaking *speaking, const json_t *board, const char *text, const json_t *blocks, char **ts,
		      struct err *err)
{
	AUTO_FREE char *name = board_name(&speaking->thread, board);

	if (message_find(speaking, name, ts, err))
		return -1;
	return *ts ? 0 : message_make(speaking, name, text, blocks, ts, err);
}

static int send_board(struct speaking *speaking, struct err *err)
{
	AUTO_JSON board = board_read(&speaking->thread);
	AUTO_FREE char *ts = board_message(&speaking->thread, board);
	AUTO_BUF markdown = buf_new(MESSAGE_BYTES_MAX);
	AUTO_FREE char *text = NULL;
	AUTO_JSON blocks = NULL;

	if (board_is_told(&speaking->thread, board))
		return 0;
	board_markdown(board, &markdown);
	text = slack_mrkdwn(buf_view(&markdown));
	blocks = blocks_of(board);
	if (ts) {
		if (!message_send(speaking, "chat.update", place_with(speaking, ts), text, blocks, NULL, err))
			return board_told(speaking->runs, &speaking->thread, board, ts, err);
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		/* A person removed it. */
		*err = (struct err){0};
		free(TAKE(ts));
	}
	if (board_make(speaking, board, text, blocks, &ts, err))
		return -1;
	return board_told(speaking->runs, &speaking->thread, board, ts, err);
}

static int board_end(struct speaking *speaking, struct err *err)
{
	AUTO_JSON board = board_read(&speaking->thread);
	AUTO_FREE char *ts = board_message(&speaking->thread, board);

	return ts ? send_board(speaking, err) : 0;
}

/* ---- questions and final words ---- */

/* A message of its own, to whoever gave the work; `buttons` are stolen. */
static int tell(struct speaking *speaking, const char *markdown, json_t *buttons, struct err *err)
{
	AUTO_JSON owned = buttons;
	const char *operation = speaking->effect->operation;
	const char *actor = speaking->thread.actor;
	AUTO_FREE char *words = slack_mrkdwn(view_of(markdown));
	AUTO_FREE char *text = text_format("%s%s%s%s", actor ? "<@" : "", actor ? actor : "", actor ? "> " : "", words);
	AUTO_JSON blocks = json_pack("[o]", slack_section(text));
	AUTO_FREE char *ts = NULL;

	if (speaking->effect->tries > 1 && message_find(speaking, operation, &ts, err))
		return -1;
	if (ts)
		return 0;
	if (json_array_size(owned))
		(void)json_array_append_new(blocks, slack_actions(json_incref(owned)));
	return message_make(speaking, operation, text, blocks, &ts, err);
}

/* ---- pictures ---- */

static int picture_upload(void *self, const char *file, struct view bytes, char **id, struct err *err)
{
	const struct speaking *speaking = self;
	AUTO_JSON place = NULL;

	if (ask(speaking, "files.getUploadURLExternal", true,
		json_pack("{s:s, s:I}", "filename", file, "length", (json_int_t)bytes.length), &place, err))
		return -1;
	return slack_upload(speaking->runs->options.world, place, "image/png", bytes, id, err);
}

static bool is_of(const json_t *pictures, const char *file)
{
	for (size_t i = 0; i < json_array_size(pictures); i++) {
		AUTO_FREE char *name = picture_file(json_array_get(pictures, i));

		if (strcmp(name, file) == 0)
			return true;
	}
	return false;
}

/* Is there a message with these pictures? Some may not have been brought when it was written, whichever. */
static bool is_shared(const json_t *messages, const json_t *pictures)
{
	for (size_t i = 0; i < json_array_size(messages); i++) {
		const json_t *files = json_member(json_array_get(messages, i), "files");
		size_t ours = 0;

		for (size_t k = 0; k < json_array_size(files); k++)
			ours += is_of(pictures, json_text(json_array_get(files, k), "name", ""));
		if (ours && ours == json_array_size(files))
			return true;
	}
	return false;
}

/* One message with all of them: it exists only when they are shared, so that what was brought before and not is seen by nobody. */
static int pictures_share(struct speaking *speaking, json_t *pictures, struct err *err)
{
	json_t *arguments = place_of(speaking, "thread_ts");
	json_t *files = json_array();
	const char *why;
	json_t *each;
	size_t i;

	json_array_foreach(pictures, i, each)
		if (json_text(each, "url", NULL))
			(void)json_array_append_new(files, json_pack("{s:s, s:s}", "id", json_text(each, "url", ""), "title",
								     json_text(each, "name", "")));
	(void)json_object_set(arguments, "channel_id", json_member(arguments, "channel"));
	(void)json_object_del(arguments, "channel");
	(void)json_object_set_new(arguments, "initial_comment", json_string("What the agent saw, in its own environment:"));
	(void)json_object_set_new(arguments, "files", files);
	if (!json_array_size(files)) {
		json_decref(arguments);
		return 0;
	}
	if (!ask(speaking, "files.completeUploadExternal", false, arguments, NULL, err))
		return 0;
	if (!voice_picture_is_over(speaking, err))
		return -1;
	why = err->text;
	json_array_foreach(pictures, i, each)
		if (json_text(each, "url", NULL))
			json_set_bytes(each, "why", view_of(why));
	*err = (struct err){0};
	return 0;
}

/* Before the last words, which say what could not be brought. */
static int pictures_send(struct speaking *speaking, struct buf *text, struct err *err)
{
	const json_t *wanted = json_member(speaking->speech, "pictures");
	AUTO_JSON pictures = NULL;
	AUTO_JSON thread = NULL;

	if (!json_array_size(wanted))
		return 0;
	if (speaking->effect->tries > 1) {
		if (replies(speaking, &thread, err) && err->kind != ERR_DENIED && err->kind != ERR_NOT_FOUND)
			return -1;
		*err = (struct err){0};
		if (is_shared(json_member(thread, "messages"), wanted))
			return 0;
	}
	pictures = voice_pictures(speaking, picture_upload, err);
	if (!pictures || pictures_share(speaking, pictures, err))
		return -1;
	voice_pictures_write(pictures, false, text);
	return 0;
}

static int send_final(struct speaking *speaking, struct err *err)
{
	AUTO_BUF text = buf_new(MESSAGE_BYTES_MAX);

	buf_add_text(&text, json_text(speaking->speech, "text", ""));
	return board_end(speaking, err) || pictures_send(speaking, &text, err) || buf_finish(&text, err)
		       ? -1
		       : tell(speaking, text.at, NULL, err);
}

static int send_ask(struct speaking *speaking, struct err *err)
{
	const char *hold = json_text(speaking->speech, "hold", "");
	json_t *buttons = json_array();
	json_t *option;
	size_t i;

	json_array_foreach(json_member(speaking->speech, "options"), i, option)
		if (i < SLACK_BUTTONS_MAX && json_is_string(option)) {
			AUTO_FREE char *action = text_format(SLACK_ACTION_ANSWER ".%zu", i);
			/* A button is of what stands above it, whatever is asked later. */
			AUTO_FREE char *value = text_format("%s%s%s", json_string_value(option), hold[0] ? " " : "", hold);

			(void)json_array_append_new(buttons, slack_button(action, json_string_value(option), value, NULL));
		}
	if (board_end(speaking, err)) {
		json_decref(buttons);
		return -1;
	}
	return tell(speaking, json_text(speaking->speech, "text", ""), buttons, err);
}

/* A thread has no state that others would look at. */
static int send_state(struct speaking *speaking, struct err *err)
{
	(void)speaking;
	(void)err;
	return 0;
}

/* ---- the thread as an issue ---- */

static json_t *comments_of(const struct connection *connection, const json_t *answer, const char *request)
{
	const char *self = json_text(connection->configuration, "self", "");
	json_t *comments = json_array();
	json_t *message;
	size_t i;

	json_array_foreach(json_member(answer, "messages"), i, message) {
		const char *user = json_text(message, "user", "somebody");
		AUTO_FREE char *text = slack_plain(view_of(json_text(message, "text", "")), self);
		json_t *comment;

		if (strcmp(user, self) == 0 || json_text(message, "bot_id", NULL) || strcmp(text, request) == 0 || !text[0])
			continue;
		comment = json_pack("{s:s, s:s}", "id", json_text(message, "ts", ""), "author", user);
		json_set_bytes(comment, "text", view_of(text));
		(void)json_array_append_new(comments, comment);
	}
	return comments;
}

/* The first line, without being cut in a character. */
static void title_set(json_t *texts, const char *request)
{
	struct view rest;
	struct view line = view_trim(view_cut(view_trim(view_of(request)), '\n', &rest));
	size_t length = line.length > TITLE_BYTES_MAX ? TITLE_BYTES_MAX : line.length;

	while (length < line.length && length && ((unsigned char)line.at[length] & 0xc0) == 0x80)
		length--;
	json_set_bytes(texts, "title", length ? view_make(line.at, length) : VIEW("Asked in Slack"));
}

/* What can be read of it: without the scopes for that, what was asked is all there is. */
static void thread_read_there(struct speaking *speaking, const char *what, json_t **answer)
{
	struct err err = {0};
	bool is_link = strcmp(what, "chat.getPermalink") == 0;

	if (is_link ? ask(speaking, what, true, place_of(speaking, "message_ts"), answer, &err) : replies(speaking, answer, &err))
		log_info("connection=%s thread=%s: %s", speaking->thread.connection, speaking->thread.id, err.text);
	speaking->answer->blocked_until_ms = 0;
}

static int fetch(struct speaking *speaking, struct voice_item *item, struct err *err)
{
	json_t *request = json_parse(view_of(speaking->thread.request), err);
	const char *text = json_text(request, "text", "");
	json_t *texts = json_object();
	json_t *messages = NULL;
	json_t *link = NULL;
	AUTO_CONNECTION connection = {0};

	voice_item_keep(item, texts);
	if (!request)
		return -1;
	voice_item_keep(item, request);
	if (connection_load(speaking->runs, speaking->thread.connection, &connection, err))
		return -1;
	thread_read_there(speaking, "conversations.replies", &messages);
	thread_read_there(speaking, "chat.getPermalink", &link);
	json_t *comments = comments_of(&connection, messages, text);

	title_set(texts, text);
	json_set_bytes(texts, "url", view_of(json_text(link, "permalink", "")));
	json_decref(messages);
	json_decref(link);
	voice_item_keep(item, comments);
	item->item = (struct thread_item){.item = speaking->thread.item,
					  .item_id = speaking->thread.item_id,
					  .url = json_text(texts, "url", "")[0] ? json_text(texts, "url", NULL) : NULL,
					  .title = json_text(texts, "title", NULL),
					  .body = text,
					  .comments = comments};
	return 0;
}

/* ---- the table ---- */

static const struct voice_row rows[] = {
	{"thought", send_board}, {"action", send_board},   {"plan", send_board},  {"links", send_board},
	{"ask", send_ask},       {"response", send_final}, {"error", send_final}, {"state", send_state},
};

static int say(struct speaking *speaking, struct err *err)
{
	return voice_say(rows, ARRAY_LEN(rows), speaking, err);
}

const struct voice voice_slack = {
	.kind = "slack", .tokens = &slack_tokens, .has_board = true, .say = say, .fetch = fetch, .check = slack_check};
