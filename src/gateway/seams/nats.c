/*
 * NATS lines.
 *
 * Theory of operation: each direction is lines that end in CRLF; those of the verbs with a payload say how long it is, and it follows, with a
 * CRLF of its own. Headers are the front of a payload, in the form of HTTP's.
 */
#include "gateway/seams/nats.h"

#include <stdlib.h>

#include "base/scope.h"

#define WORDS_MAX 7
#define PAYLOAD_MAX ((uint64_t)64 << 20) /* the most that servers can be told to take */
#define HEADERS_MAX 64
#define ACK_PREFIX "$JS.ACK."

/* One direction. */
struct way {
	struct buf line;
	bool payload;     /* one comes */
	uint64_t left;    /* of it, with its CRLF */
	uint64_t content; /* left of it without */
	uint64_t headers_left;
	char *subject;
	char *reply;
	int64_t begun_us;
	struct buf headers;
	struct exchange_body body;
};

struct nats {
	reader_tell *tell;
	void *self;
	int64_t now_us;
	bool blind;
	struct way ways[2]; /* client, server */
};

static void *nats_make(reader_tell *tell, void *self)
{
	struct nats *nats = mem_new(sizeof(*nats));

	nats->tell = tell;
	nats->self = self;
	for (int i = 0; i < 2; i++) {
		nats->ways[i].line = buf_new(NATS_LINE_MAX);
		nats->ways[i].headers = buf_new(EXCHANGE_BODY_KEPT_MAX);
	}
	return nats;
}

static void message_clear(struct way *way)
{
	free(TAKE(way->subject));
	free(TAKE(way->reply));
	free(way->body.at);
	way->body = (struct exchange_body){0};
	way->payload = false;
	buf_clear(&way->headers);
}

static void all_clear(struct nats *nats)
{
	for (int i = 0; i < 2; i++)
		message_clear(&nats->ways[i]);
}

static void tell(struct nats *nats, const char *command, struct view statement, const char *complete, const char *error)
{
	const struct reader_event event = {.command = command,
					   .statement = statement,
					   .complete = error ? NULL : complete,
					   .error = error,
					   .begun_us = nats->now_us,
					   .ended_us = nats->now_us};

	nats->tell(nats->self, &event);
}

static void go_blind(struct nats *nats, const char *why)
{
	if (nats->blind)
		return;
	nats->blind = true;
	all_clear(nats);
	tell(nats, "unread", (struct view){0}, why, NULL);
}

static void nats_end(void *reader, const char *why, int64_t now_us)
{
	struct nats *nats = reader;

	(void)why;
	(void)now_us;
	all_clear(nats);
	for (int i = 0; i < 2; i++) {
		buf_fini(&nats->ways[i].line);
		buf_fini(&nats->ways[i].headers);
	}
	free(nats);
}

/* ---- JetStream ---- */

/* "STREAM CONSUMER" of a reply subject $JS.ACK.[domain.account.]STREAM.CONSUMER.TRIES.…; NULL: none of those. */
static char *consumer_of(const char *reply, bool *again)
{
	struct view parts[12];
	size_t count = 0;
	size_t at;

	if (!reply || strncmp(reply, ACK_PREFIX, sizeof(ACK_PREFIX) - 1) != 0)
		return NULL;
	for (struct view rest = view_of(reply + sizeof(ACK_PREFIX) - 1); rest.at && count < ARRAY_LEN(parts);)
		parts[count++] = view_cut(rest, '.', &rest);
	at = count > 7 ? 2 : 0; /* the longer form begins with the domain and the account */
	if (count < at + 3)
		return NULL;
	*again = !view_is(parts[at + 2], "1");
	return text_format("%.*s %.*s", (int)parts[at].length, parts[at].at, (int)parts[at + 1].length, parts[at + 1].at);
}

/* Is what the client published an answer to a delivery? Then it is told as that. */
static bool answer_tell(struct nats *nats, const struct way *way)
{
	struct view body = view_make(way->body.at, way->body.length);
	bool again;
	AUTO_FREE char *consumer = consumer_of(way->subject, &again);
	const struct reader_event event = {.command = view_starts(body, VIEW("-NAK"))    ? "requeue"
						      : view_starts(body, VIEW("+TERM")) ? "reject"
											 : "ack",
					   .statement = view_of(consumer),
					   .place = view_cut(view_of(consumer), ' ', &(struct view){0}),
					   .complete = "",
					   .begun_us = nats->now_us,
					   .ended_us = nats->now_us};

	if (!consumer)
		return false;
	if (!view_starts(body, VIEW("+WPI"))) /* "I am at it" */
		nats->tell(nats->self, &event);
	return true;
}

/* ---- messages ---- */

static void headers_parse(struct view text, struct exchange_headers *headers)
{
	(void)view_cut(text, '\n', &text); /* "NATS/1.0" */
	while (text.length && headers->count < HEADERS_MAX) {
		struct view value;
		struct view name = view_cut(view_cut(text, '\n', &text), ':', &value);

		if (value.at && name.length)
			exchange_header_add(headers, view_trim(name), view_trim(value));
	}
}

static void message_done(struct nats *nats, struct way *way)
{
	bool server = way == &nats->ways[1];
	struct exchange holder = {.request_headers = {NULL, 0}};
	bool again = false;
	AUTO_FREE char *consumer = server ? consumer_of(way->reply, &again) : NULL;
	const struct reader_event event = {.command = server ? "deliver" : "publish",
					   .statement = view_of(consumer),
					   .place = view_of(way->subject),
					   .complete = again ? "redelivered" : "",
					   .begun_us = way->begun_us,
					   .ended_us = nats->now_us,
					   .headers = &holder.request_headers,
					   .body = &way->body};

	if (server || !answer_tell(nats, way)) {
		headers_parse(buf_view(&way->headers), &holder.request_headers);
		nats->tell(nats->self, &event);
	}
	exchange_fini(&holder);
	message_clear(way);
}

static void payload_take(struct nats *nats, struct way *way, struct view *bytes)
{
	size_t take = way->left < bytes->length ? (size_t)way->left : bytes->length;
	struct view content = view_make(bytes->at, way->content < take ? (size_t)way->content : take);
	size_t front = way->headers_left < content.length ? (size_t)way->headers_left : content.length;

	buf_add(&way->headers, content.at, front);
	way->headers_left -= front;
	exchange_body_add(&way->body, view_make(content.at + front, content.length - front));
	way->content -= content.length;
	way->left -= take;
	*bytes = view_make(bytes->at + take, bytes->length - take);
	if (!way->left)
		message_done(nats, way);
}

/* ---- lines ---- */

static size_t words_split(struct view line, struct view words[WORDS_MAX])
{
	size_t count = 0;

	while (line.length && count < WORDS_MAX) {
		size_t begin = 0, end;

		while (begin < line.length && (line.at[begin] == ' ' || line.at[begin] == '\t'))
			begin++;
		end = begin;
		while (end < line.length && line.at[end] != ' ' && line.at[end] != '\t')
			end++;
		if (end > begin)
			words[count++] = view_make(line.at + begin, end - begin);
		line = view_make(line.at + end, line.length - end);
	}
	return count;
}

/*
 * The verbs with a payload: {how many words before the reply subject, which may be left out; how many numbers at the end}.
 *	PUB subject [reply] bytes		HPUB subject [reply] header-bytes bytes
 *	MSG subject id [reply] bytes		HMSG subject id [reply] header-bytes bytes
 */
static const struct verb {
	const char *name;
	int way;
	size_t before;
	size_t numbers;
} verbs[] = {{"PUB", 0, 2, 1}, {"HPUB", 0, 2, 2}, {"MSG", 1, 3, 1}, {"HMSG", 1, 3, 2}};

static void message_line(struct nats *nats, struct way *way, const struct verb *verb, const struct view *words, size_t count)
{
	bool reply = count == verb->before + verb->numbers + 1;
	uint64_t headers = 0, bytes;

	if ((!reply && count != verb->before + verb->numbers) || !view_to_u64(words[count - 1], &bytes) || bytes > PAYLOAD_MAX ||
	    (verb->numbers == 2 && (!view_to_u64(words[count - 2], &headers) || headers > bytes))) {
		go_blind(nats, "a broken line");
		return;
	}
	message_clear(way);
	way->subject = view_copy(words[1]);
	way->reply = reply ? view_copy(words[verb->before]) : NULL;
	way->payload = true;
	way->content = bytes;
	way->left = bytes + 2;
	way->headers_left = headers;
	way->begun_us = nats->now_us;
}

static void line_done(struct nats *nats, int side, struct view line)
{
	struct view words[WORDS_MAX];
	size_t count = words_split(line, words);

	if (!count)
		return;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (verbs[i].way == side && view_equal_nocase(words[0], view_of(verbs[i].name))) {
			message_line(nats, &nats->ways[side], &verbs[i], words, count);
			return;
		}
	if (side == 0 && view_equal_nocase(words[0], VIEW("SUB")) && count >= 3) {
		const struct reader_event event = {.command = "subscribe",
						   .statement = count > 3 ? words[2] : (struct view){0},
						   .place = words[1],
						   .complete = "",
						   .begun_us = nats->now_us,
						   .ended_us = nats->now_us};

		nats->tell(nats->self, &event);
	} else if (side == 1 && view_equal_nocase(words[0], VIEW("-ERR"))) {
		AUTO_FREE char *error = view_copy(view_trim(view_make(line.at + 4, line.length - 4)));

		tell(nats, "close", (struct view){0}, NULL, error);
	} else if (line.at[0] < ' ' || (unsigned char)line.at[0] >= 127) {
		go_blind(nats, "encrypted");
	}
}

static void way_read(struct nats *nats, int side, struct view bytes)
{
	struct way *way = &nats->ways[side];

	while (!nats->blind && bytes.length) {
		const char *end;
		size_t take;

		if (way->payload) {
			payload_take(nats, way, &bytes);
			continue;
		}
		end = memchr(bytes.at, '\n', bytes.length);
		take = end ? (size_t)(end - bytes.at) + 1 : bytes.length;
		buf_add(&way->line, bytes.at, take);
		bytes = view_make(bytes.at + take, bytes.length - take);
		if (way->line.over) {
			go_blind(nats, "a line that does not end, or TLS");
		} else if (end) {
			line_done(nats, side, view_trim(buf_view(&way->line)));
			buf_clear(&way->line);
		}
	}
}

static void nats_client(void *reader, struct view bytes, int64_t now_us)
{
	struct nats *nats = reader;

	nats->now_us = now_us;
	if (bytes.length && bytes.at[0] == 0x16 && !nats->ways[0].payload && !nats->ways[0].line.length)
		go_blind(nats, "encrypted: the client speaks TLS");
	way_read(nats, 0, bytes);
}

static void nats_server(void *reader, struct view bytes, int64_t now_us)
{
	struct nats *nats = reader;

	nats->now_us = now_us;
	way_read(nats, 1, bytes);
}

static size_t nats_in_flight(const void *reader)
{
	(void)reader; /* what waits for an acknowledgement the server is asked: not every delivery does */
	return 0;
}

static bool nats_looks(struct view bytes, bool server)
{
	return server && view_starts(bytes, VIEW("INFO {"));
}

const struct reader_ops reader_nats = {"nats", nats_make, nats_end, nats_client, nats_server, nats_in_flight, nats_looks};
