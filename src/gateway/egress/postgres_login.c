/* Start-up packets read strictly, and the three ways to prove a password. */
#include "gateway/egress/postgres_login.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "net/scram.h"

#define CODE_CANCEL 80877102u
#define CODE_TLS 80877103u
#define CODE_GSS 80877104u
#define CODE_VERSION 3u
#define CANCEL_BYTES 16
#define MESSAGE_OUT_MAX ((size_t)1 << 20)
#define GS2_HEADER "n,,"
#define CHANNEL "c=biws" /* base64 of GS2_HEADER: no channel binding */

static uint32_t number_at(const char *at)
{
	const unsigned char *bytes = (const unsigned char *)at;

	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void number_add(struct buf *out, uint32_t number)
{
	const unsigned char bytes[] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16), (unsigned char)(number >> 8),
				       (unsigned char)number};

	buf_add(out, bytes, sizeof(bytes));
}

/* ---- the client's end ---- */

/* "name\0"; false: it does not end. */
static bool text_take(struct view *rest, struct view *text)
{
	const char *end = rest->length ? memchr(rest->at, '\0', rest->length) : NULL;

	if (!end)
		return false;
	*text = view_make(rest->at, (size_t)(end - rest->at));
	*rest = view_make(end + 1, rest->length - text->length - 1);
	return true;
}

/* A name that a rule can name, and a path can hold. */
static bool name_take(struct view text, char name[POSTGRES_DATABASE_MAX])
{
	if (name[0] || !text.length || text.length >= POSTGRES_DATABASE_MAX)
		return false;
	for (size_t i = 0; i < text.length; i++)
		if (!isalnum((unsigned char)text.at[i]) && !strchr("_-.$@", text.at[i]))
			return false;
	if (view_is(text, ".") || view_is(text, ".."))
		return false;
	memcpy(name, text.at, text.length);
	name[text.length] = '\0';
	return true;
}

/* A walsender reads every database, whatever the login names. */
static bool is_replication(struct view value)
{
	static const char *const harmless[] = {"database", "false", "off", "no", "0"};

	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		if (view_equal_nocase(value, view_of(harmless[i])))
			return false;
	return true;
}

static enum postgres_start_kind parameters_parse(struct view rest, struct postgres_start *start)
{
	struct view name, value;

	while (rest.length > 1) {
		if (!text_take(&rest, &name) || !text_take(&rest, &value) || !name.length) {
			start->why = "a start-up packet whose parameters do not end";
			return POSTGRES_START_BAD;
		}
		if (view_is(name, "user") ? !name_take(value, start->user)
					  : view_is(name, "database") && !name_take(value, start->database)) {
			start->why = "a user or database that is named twice, or in letters that no rule can name";
			return POSTGRES_START_BAD;
		}
		if (view_is(name, "replication") && is_replication(value)) {
			start->why = "physical replication reads every database";
			return POSTGRES_START_BAD;
		}
	}
	if (rest.length != 1 || rest.at[0] || !start->user[0]) {
		start->why = "a start-up packet without an end, or a user";
		return POSTGRES_START_BAD;
	}
	if (!start->database[0])
		memcpy(start->database, start->user, sizeof(start->database));
	return POSTGRES_START_LOGIN;
}

enum postgres_start_kind postgres_start_parse(struct view bytes, struct postgres_start *start)
{
	uint32_t length, code;

	*start = (struct postgres_start){.why = NULL};
	if (bytes.length < 4)
		return POSTGRES_START_MORE;
	length = number_at(bytes.at);
	if (length < 8 || length > POSTGRES_START_BYTES_MAX) {
		start->why = "what came is no start-up packet of PostgreSQL";
		return POSTGRES_START_BAD;
	}
	if (bytes.length < length)
		return POSTGRES_START_MORE;
	start->packet = view_make(bytes.at, length);
	code = number_at(bytes.at + 4);
	if ((code == CODE_TLS || code == CODE_GSS) && length == 8)
		return code == CODE_TLS ? POSTGRES_START_TLS : POSTGRES_START_GSS;
	if (code == CODE_CANCEL && length == CANCEL_BYTES)
		return POSTGRES_START_CANCEL;
	if (code >> 16 != CODE_VERSION) {
		start->why = "another version of the PostgreSQL protocol than 3";
		return POSTGRES_START_BAD;
	}
	return parameters_parse(view_make(bytes.at + 8, length - 8), start);
}

int postgres_password_parse(struct view bytes, struct view *password, size_t *used)
{
	uint32_t length;
	struct view rest;

	if (bytes.length && bytes.at[0] != 'p')
		return -1;
	if (bytes.length < 5)
		return 0;
	length = number_at(bytes.at + 1);
	if (length < 5 || length > POSTGRES_START_BYTES_MAX)
		return -1;
	if (bytes.length < length + 1)
		return 0;
	rest = view_make(bytes.at + 5, length - 4);
	*used = length + 1;
	return text_take(&rest, password) && !rest.length ? 1 : -1;
}

void postgres_ask_password(struct buf *out)
{
	buf_add_char(out, 'R');
	number_add(out, 8);
	number_add(out, 3);
}

void postgres_ask_tls(struct buf *out)
{
	number_add(out, 8);
	number_add(out, CODE_TLS);
}

static void fatal_field(struct buf *out, char field, const char *text)
{
	buf_add_char(out, field);
	buf_add(out, text, strlen(text) + 1);
}

void postgres_fatal_format(struct buf *out, const char *code, const char *text, const char *hint)
{
	AUTO_BUF body = buf_new(MESSAGE_OUT_MAX);

	fatal_field(&body, 'S', "FATAL");
	fatal_field(&body, 'V', "FATAL");
	fatal_field(&body, 'C', code);
	fatal_field(&body, 'M', text);
	if (hint)
		fatal_field(&body, 'H', hint);
	buf_add_char(&body, '\0');
	buf_add_char(out, 'E');
	number_add(out, (uint32_t)(body.length + 4));
	buf_add_view(out, buf_view(&body));
}

/* ---- the server's end ---- */

enum step { STEP_ASKED, STEP_PROVED, STEP_SCRAM_FIRST, STEP_SCRAM_WORK, STEP_SCRAM_FINAL, STEP_SCRAM_DONE };

struct postgres_auth {
	char user[POSTGRES_DATABASE_MAX];
	struct buf password;
	char nonce[POSTGRES_NONCE_BYTES * 2 + 1];
	bool clear;
	enum step step;
	struct buf message; /* SCRAM's AuthMessage */
	struct buf final;   /* the client's last message without its proof */
	struct buf salt;
	uint32_t iterations;
	struct scram scram;
	bool worked;
};

static struct buf buf_of_secret(void)
{
	return buf_new(MESSAGE_OUT_MAX);
}

struct postgres_auth *postgres_auth_new(const char *user, struct view password, bool clear,
					const unsigned char nonce[POSTGRES_NONCE_BYTES])
{
	struct postgres_auth *auth = mem_new(sizeof(*auth));
	AUTO_BUF text = buf_new(sizeof(auth->nonce));

	(void)snprintf(auth->user, sizeof(auth->user), "%s", user);
	auth->clear = clear;
	auth->password = buf_of_secret();
	(void)buf_reserve(&auth->password, password.length + 1); /* it does not move, and leave a copy */
	buf_add_view(&auth->password, password);
	auth->message = buf_of_secret();
	auth->final = buf_of_secret();
	auth->salt = buf_of_secret();
	buf_add_hex(&text, nonce, POSTGRES_NONCE_BYTES);
	memcpy(auth->nonce, text.at, text.length);
	return auth;
}

void postgres_auth_free(struct postgres_auth *auth)
{
	if (!auth)
		return;
	if (auth->password.at)
		explicit_bzero(auth->password.at, auth->password.capacity);
	buf_fini(&auth->password);
	buf_fini(&auth->message);
	buf_fini(&auth->final);
	buf_fini(&auth->salt);
	explicit_bzero(auth, sizeof(*auth));
	free(auth);
}

/* A message of type 'p'. */
static void message_add(struct buf *out, struct view body)
{
	buf_add_char(out, 'p');
	number_add(out, (uint32_t)(body.length + 4));
	buf_add_view(out, body);
}

static void password_add(struct buf *out, struct view text)
{
	AUTO_BUF body = buf_new(MESSAGE_OUT_MAX);

	(void)buf_reserve(&body, text.length + 1);
	buf_add_view(&body, text);
	buf_add_char(&body, '\0');
	message_add(out, buf_view(&body));
	explicit_bzero(body.at, body.length);
}

static bool md5_add(const struct postgres_auth *auth, struct view salt, struct buf *out)
{
	AUTO_BUF text = buf_new(64);

	if (!scram_md5(buf_view(&auth->password), view_of(auth->user), salt, &text))
		return false; /* a machine where MD5 is forbidden */
	password_add(out, buf_view(&text));
	return true;
}

static void scram_begin(struct postgres_auth *auth, struct buf *out)
{
	AUTO_BUF body = buf_new(MESSAGE_OUT_MAX);
	AUTO_FREE char *bare = text_format("n=,r=%s", auth->nonce);

	buf_add(&body, "SCRAM-SHA-256", sizeof("SCRAM-SHA-256"));
	number_add(&body, (uint32_t)(strlen(GS2_HEADER) + strlen(bare)));
	buf_add_format(&body, GS2_HEADER "%s", bare);
	message_add(out, buf_view(&body));
	buf_add_format(&auth->message, "%s,", bare);
	auth->step = STEP_SCRAM_FIRST;
}

/* "r=…,s=…,i=…": in this order, and nothing else but what follows. */
static const char *scram_first_take(struct postgres_auth *auth, struct view text)
{
	struct view rest;
	struct view nonce = view_cut(text, ',', &rest);
	struct view salt = view_cut(rest, ',', &rest);
	struct view count = view_cut(rest, ',', &rest);
	uint64_t iterations;

	if (!view_starts(nonce, VIEW("r=")) || !view_starts(salt, VIEW("s=")) || !view_starts(count, VIEW("i=")))
		return "the server's SCRAM message cannot be read";
	nonce = view_make(nonce.at + 2, nonce.length - 2);
	if (!view_starts(nonce, view_of(auth->nonce)) || nonce.length == strlen(auth->nonce))
		return "the server's nonce does not go on from ours";
	if (buf_add_unbase64(&auth->salt, view_make(salt.at + 2, salt.length - 2), NULL) || !auth->salt.length ||
	    !view_to_u64(view_make(count.at + 2, count.length - 2), &iterations) || !iterations ||
	    iterations > POSTGRES_ITERATIONS_MAX)
		return "the server wants no salt, or more iterations than are made";
	auth->iterations = (uint32_t)iterations;
	buf_add_format(&auth->final, CHANNEL ",r=%.*s", (int)nonce.length, nonce.at);
	buf_add_view(&auth->message, text);
	buf_add_char(&auth->message, ',');
	buf_add_view(&auth->message, buf_view(&auth->final));
	auth->step = STEP_SCRAM_WORK;
	return NULL;
}

void postgres_auth_work(struct postgres_auth *auth)
{
	auth->worked = scram_prove(buf_view(&auth->password), buf_view(&auth->salt), auth->iterations, buf_view(&auth->message),
				   &auth->scram);
}

static void proof_add(struct postgres_auth *auth, struct buf *out)
{
	AUTO_BUF body = buf_new(MESSAGE_OUT_MAX);

	buf_add_view(&body, buf_view(&auth->final));
	buf_add_text(&body, ",p=");
	buf_add_base64(&body, auth->scram.proof, SCRAM_BYTES);
	message_add(out, buf_view(&body));
	auth->step = STEP_SCRAM_FINAL;
}

static const char *scram_final_take(struct postgres_auth *auth, struct view text)
{
	AUTO_BUF shown = buf_new(MESSAGE_OUT_MAX);
	struct view rest;
	struct view first = view_cut(text, ',', &rest);

	if (!view_starts(first, VIEW("v=")) || buf_add_unbase64(&shown, view_make(first.at + 2, first.length - 2), NULL) ||
	    !scram_signed(&auth->scram, buf_view(&shown)))
		return "the server cannot prove that it knows the password";
	auth->step = STEP_SCRAM_DONE;
	return NULL;
}

static bool offers_scram(struct view names)
{
	struct view name;

	while (text_take(&names, &name) && name.length)
		if (view_is(name, "SCRAM-SHA-256"))
			return true;
	return false;
}

enum { ASK_OK = 0, ASK_CLEAR = 3, ASK_MD5 = 5, ASK_SASL = 10, ASK_SASL_MORE = 11, ASK_SASL_FINAL = 12 };

/* An Authentication message; *done when it was the last. NULL, or why it cannot be. */
static const char *auth_take(struct postgres_auth *auth, struct view body, struct buf *out, bool *done)
{
	static const char unexpected[] = "the server asks for what does not follow from what it asked before";
	struct view rest;

	if (body.length < 4)
		return "the server's message is too short";
	rest = view_make(body.at + 4, body.length - 4);
	switch (number_at(body.at)) {
	case ASK_OK:
		*done = auth->step == STEP_ASKED || auth->step == STEP_PROVED || auth->step == STEP_SCRAM_DONE;
		return *done ? NULL : unexpected;
	case ASK_CLEAR:
		if (auth->step != STEP_ASKED)
			return unexpected;
		if (!auth->clear)
			return "the server wants the password itself, and what it is sent over is not TLS";
		password_add(out, buf_view(&auth->password));
		auth->step = STEP_PROVED;
		return NULL;
	case ASK_MD5:
		if (auth->step != STEP_ASKED || rest.length != 4)
			return unexpected;
		auth->step = STEP_PROVED;
		return md5_add(auth, rest, out) ? NULL : "the server wants MD5, which this machine forbids";
	case ASK_SASL:
		if (auth->step != STEP_ASKED)
			return unexpected;
		if (!offers_scram(rest))
			return "the server wants another way to log in than SCRAM-SHA-256";
		scram_begin(auth, out);
		return NULL;
	case ASK_SASL_MORE:
		return auth->step == STEP_SCRAM_FIRST ? scram_first_take(auth, rest) : unexpected;
	case ASK_SASL_FINAL:
		return auth->step == STEP_SCRAM_FINAL ? scram_final_take(auth, rest) : unexpected;
	default:
		return "the server wants another way to log in than a password";
	}
}

enum postgres_auth_result postgres_auth_feed(struct postgres_auth *auth, struct view *bytes, struct buf *out, struct buf *back,
					     const char **why)
{
	bool done = false;

	if (auth->step == STEP_SCRAM_WORK && auth->worked)
		proof_add(auth, out);
	while (auth->step != STEP_SCRAM_WORK && !done && bytes->length >= 5) {
		uint32_t length = number_at(bytes->at + 1);
		char type = bytes->at[0];
		struct view whole;

		*why = "the server breaks the protocol";
		if (length < 4 || length > POSTGRES_AUTH_BYTES_MAX || !strchr("RENv", type) || !type)
			return POSTGRES_AUTH_BROKEN;
		if (bytes->length < length + 1)
			return POSTGRES_AUTH_MORE;
		whole = view_make(bytes->at, length + 1);
		*bytes = view_make(bytes->at + whole.length, bytes->length - whole.length);
		if (type != 'R') { /* its error, a notice, or which options it does not know */
			buf_add_view(back, whole);
			if (type == 'E')
				return POSTGRES_AUTH_REFUSED;
			continue;
		}
		*why = auth_take(auth, view_make(whole.at + 5, length - 4), out, &done);
		if (*why)
			return POSTGRES_AUTH_BROKEN;
		if (done)
			buf_add_view(back, whole);
	}
	*why = NULL;
	return done ? POSTGRES_AUTH_DONE : auth->step == STEP_SCRAM_WORK ? POSTGRES_AUTH_WORK : POSTGRES_AUTH_MORE;
}
