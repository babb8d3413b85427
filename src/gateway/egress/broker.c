/* Where a placeholder may stand, and what takes its place. */
#include "gateway/egress/broker.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/egress/aws.h"

#define TAG_VALUE 1
#define TAG_STRAY 2
#define DECODE_ROUNDS 3                               /* of percent-encoding */
#define SCHEME_MAX 32                                 /* of "Bearer ", "token " */
#define SIGNED_SCANNED "AWS4-HMAC-SHA256 placeholder" /* what a signature is replaced by until there is one */
#define MARK VIEW(CREDENTIAL_MARK)

struct broker_credential {
	char name[CREDENTIAL_NAME_MAX];
	char *placeholder;
	size_t placeholder_bytes;
	size_t mark_at; /* of CREDENTIAL_MARK in it */
	struct credential_use use;
};

struct broker {
	struct broker_credential *credentials;
	size_t count;
	size_t references;
	struct swap *strays; /* finds placeholders in a body that none goes into; made when it is first wanted */
};

struct broker_text {
	struct broker_text *next;
	struct buf bytes;
};

/* ---- what there is ---- */

static int credential_parse(const json_t *json, struct broker_credential *credential, struct err *err)
{
	const char *name, *placeholder, *place;
	const json_t *rules = json_member(json, "for");
	json_t *rule;
	size_t index;
	ptrdiff_t at;

	if (json_text_get(json, "name", &name, err) || json_text_get(json, "placeholder", &placeholder, err) ||
	    json_text_get(json, "in", &place, err))
		return -1;
	if (!credential_name_valid(view_of(name)))
		return err_set(err, ERR_INVALID, "a credential's name is none");
	(void)snprintf(credential->name, sizeof(credential->name), "%s", name);
	at = view_find(view_of(placeholder), MARK);
	if (at < 0 || strlen(placeholder) > CREDENTIAL_VALUE_MAX)
		return err_set(err, ERR_INVALID, "credential %s: its placeholder is none", name);
	credential->placeholder = text_copy(placeholder);
	credential->placeholder_bytes = strlen(placeholder);
	credential->mark_at = (size_t)at;
	if (credential_place_parse(view_of(place), &credential->use, err) || !json_is_array(rules))
		return err_set(err, ERR_INVALID, "credential %s: `for` and `in` are expected", name);
	json_array_foreach((json_t *)(uintptr_t)rules, index, rule)
		if (!json_is_string(rule) || credential_rule_parse(view_of(json_string_value(rule)), &credential->use, err))
			return err_set(err, ERR_INVALID, "credential %s: rule %zu is none", name, index + 1);
	credential->use.require = json_flag(json, "require", false);
	return credential_use_check(&credential->use, err);
}

int broker_new(const json_t *credentials, struct broker **broker, struct err *err)
{
	struct broker *made = mem_new(sizeof(*made));
	json_t *json;
	size_t index;

	if (credentials && (!json_is_array(credentials) || json_array_size(credentials) > BROKER_CREDENTIALS_MAX)) {
		free(made);
		return err_set(err, ERR_INVALID, "`credentials` must be a list of at most %d", BROKER_CREDENTIALS_MAX);
	}
	made->references = 1;
	made->credentials = mem_new_array(json_array_size(credentials) + 1, sizeof(*made->credentials));
	json_array_foreach((json_t *)(uintptr_t)credentials, index, json) {
		made->count++;
		if (credential_parse(json, &made->credentials[index], err)) {
			broker_free(made);
			return -1;
		}
	}
	*broker = made;
	return 0;
}

struct broker *broker_ref(struct broker *broker)
{
	if (broker)
		broker->references++;
	return broker;
}

void broker_free(struct broker *broker)
{
	if (!broker || --broker->references)
		return;
	for (size_t i = 0; i < broker->count; i++)
		free(broker->credentials[i].placeholder);
	swap_free(broker->strays);
	free(broker->credentials);
	free(broker);
}

size_t broker_count(const struct broker *broker)
{
	return broker ? broker->count : 0;
}

struct view broker_placeholder(const struct broker *broker, size_t index)
{
	return view_make(broker->credentials[index].placeholder, broker->credentials[index].placeholder_bytes);
}

const char *broker_name(const struct broker *broker, size_t index)
{
	return broker->credentials[index].name;
}

bool broker_goes_into_bodies(const struct broker *broker, size_t index)
{
	return broker->credentials[index].use.place == CREDENTIAL_BODY ||
	       broker->credentials[index].use.place == CREDENTIAL_WEBSOCKET;
}

/* ---- judging ---- */

struct judging {
	const struct broker *broker;
	const struct egress_request *request;
	struct broker_plan *plan;
	struct egress_verdict *verdict;
	char slot[CREDENTIAL_SLOT_MAX]; /* of the field or parameter that is looked at */
};

static bool refuse(struct judging *judging, const char *rule, const char *why, const char *remedy)
{
	*judging->verdict = (struct egress_verdict){.action = EGRESS_DENY, .status = 403, .why = why, .remedy = remedy};
	(void)snprintf(judging->verdict->rule, sizeof(judging->verdict->rule), "%s", rule);
	return false;
}

static bool refuse_stray(struct judging *judging)
{
	return refuse(judging, "broker:stray-placeholder", "a placeholder of a credential stands where it may not be sent",
		      "send it as its program does: only to its own host, in its own place, as it is");
}

static enum credential_scheme scheme_of(const struct egress_request *request)
{
	if (view_is(request->method, LOGIN_METHOD))
		return CREDENTIAL_POSTGRES;
	return request->tls ? CREDENTIAL_HTTPS : CREDENTIAL_HTTP;
}

static bool is_due(const struct broker_credential *credential, const struct egress_request *request)
{
	return credential_allows(&credential->use, scheme_of(request), request->host, request->port, request->method,
				 request->path);
}

static bool want_add(struct judging *judging, size_t credential)
{
	struct broker_plan *plan = judging->plan;

	for (size_t i = 0; i < plan->count; i++)
		if (plan->wants[i].credential == credential)
			return true;
	if (plan->count == BROKER_WANTS_MAX)
		return refuse(judging, "broker:too-many", "too many credentials in one request", "send them in several");
	if (!plan->wants)
		plan->wants = mem_new_array(BROKER_WANTS_MAX, sizeof(*plan->wants));
	plan->wants[plan->count++].credential = credential;
	return true;
}

/* The placeholder whose mark is at text[mark]; SIZE_MAX: none of this environment. */
static size_t placeholder_at(const struct broker *broker, struct view text, size_t mark, size_t *from)
{
	for (size_t i = 0; broker && text.at && i < broker->count; i++) {
		const struct broker_credential *credential = &broker->credentials[i];

		if (mark < credential->mark_at || text.length - (mark - credential->mark_at) < credential->placeholder_bytes)
			continue;
		*from = mark - credential->mark_at;
		if (memcmp(text.at + *from, credential->placeholder, credential->placeholder_bytes) == 0)
			return i;
	}
	return SIZE_MAX;
}

static bool place_right(const struct judging *judging, const struct broker_credential *credential, enum credential_place place)
{
	if (credential->use.place != (uint16_t)place || !is_due(credential, judging->request))
		return false;
	return (place != CREDENTIAL_HEADER && place != CREDENTIAL_QUERY) || strcmp(credential->use.slot, judging->slot) == 0;
}

/* Every mark in the text must be of a placeholder that may stand there; *found counts them. */
static bool text_judge(struct judging *judging, struct view text, enum credential_place place, size_t *found)
{
	size_t at = 0;
	ptrdiff_t mark;

	while ((mark = view_find(view_make(text.at + at, text.length - at), MARK)) >= 0) {
		size_t from = 0;
		size_t index = placeholder_at(judging->broker, text, at + (size_t)mark, &from);

		if (!judging->broker || index >= judging->broker->count ||
		    !place_right(judging, &judging->broker->credentials[index], place))
			return refuse_stray(judging);
		if (!want_add(judging, index))
			return false;
		++*found;
		at = from + judging->broker->credentials[index].placeholder_bytes;
	}
	return true;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

static void percent_decode(struct view text, struct buf *out)
{
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] == '%' && i + 2 < text.length && hex_digit(text.at[i + 1]) >= 0 && hex_digit(text.at[i + 2]) >= 0) {
			buf_add_char(out, (char)(hex_digit(text.at[i + 1]) << 4 | hex_digit(text.at[i + 2])));
			i += 2;
		} else {
			buf_add_char(out, text.at[i]);
		}
	}
}

/* The marks of base64, of any environment's placeholders: the same for all, made once. */
static const struct swap *base64_marks(void)
{
	static _Thread_local struct swap *marks;

	if (!marks) {
		marks = swap_new();
		swap_add_base64(marks, MARK, TAG_STRAY);
	}
	return marks;
}

static size_t marks_count(struct view text)
{
	size_t count = 0;
	ptrdiff_t at;

	while ((at = view_find(text, MARK)) >= 0) {
		size_t used = (size_t)at + MARK.length;

		count++;
		text = view_make(text.at + used, text.length - used);
	}
	return count;
}

/* Is there a placeholder in other clothes, besides those that stand there as they are? */
static bool disguise_judge(struct judging *judging, struct view text)
{
	AUTO_BUF odd = buf_new(text.length + 1);
	AUTO_BUF even = buf_new(text.length + 1);
	size_t plain = marks_count(text);
	struct view now = text;

	if (swap_find(base64_marks(), text) >= 0)
		return refuse_stray(judging);
	for (int round = 0; round < DECODE_ROUNDS && memchr(now.at, '%', now.length); round++) {
		struct buf *decoded = round % 2 ? &odd : &even; /* the other one is what is decoded */

		buf_clear(decoded);
		percent_decode(now, decoded);
		now = buf_view(decoded);
		if (marks_count(now) != plain || swap_find(base64_marks(), now) >= 0)
			return refuse_stray(judging);
	}
	return true;
}

/* "Basic dXNlcjpwYXNz": the decoded part, when the field is one. */
static bool basic_decode(struct view value, struct buf *out)
{
	struct view rest;
	struct view scheme = view_cut(value, ' ', &rest);

	return rest.at && view_equal_nocase(scheme, VIEW("basic")) && !buf_add_unbase64(out, view_trim(rest), NULL);
}

/* What remains beside the placeholder may only be the name of a scheme. */
static bool remainder_plain(const struct judging *judging, struct view value)
{
	ptrdiff_t mark = view_find(value, MARK);
	size_t from = 0;
	size_t index = mark < 0 ? SIZE_MAX : placeholder_at(judging->broker, value, (size_t)mark, &from);

	if (index == SIZE_MAX || from > SCHEME_MAX || from + judging->broker->credentials[index].placeholder_bytes != value.length)
		return false;
	for (size_t i = 0; i < from; i++)
		if (!isalpha((unsigned char)value.at[i]) && value.at[i] != '-' && (value.at[i] != ' ' || i + 1 != from))
			return false;
	return true;
}

/* Fields that carry a credential, whoever reads them. */
static bool is_credential_field(const struct judging *judging, struct view name, bool strict)
{
	static const char *const names[] = {"authorization", "proxy-authorization", "x-api-key",
					    "api-key",       "x-goog-api-key",      "private-token",
					    "x-auth-token",  "x-access-token",      "x-amz-security-token"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_is(name, names[i]))
			return true;
	if (strict && view_is(name, "cookie"))
		return true;
	for (size_t i = 0; i < judging->broker->count; i++) {
		const struct credential_use *use = &judging->broker->credentials[i].use;

		if (use->place == CREDENTIAL_HEADER && view_is(name, use->slot) &&
		    credential_is_for_host(use, judging->request->host, judging->request->port))
			return true;
	}
	return false;
}

static bool is_credential_parameter(struct view name)
{
	static const char *const names[] = {"key",          "api_key", "apikey", "api-key",
					    "access_token", "token",   "auth",   "private_token"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_equal_nocase(name, view_of(names[i])))
			return true;
	return false;
}

static bool refuse_foreign(struct judging *judging)
{
	return refuse(judging, "broker:foreign-credential", "this host takes only the credential that Assay holds for it",
		      "use the placeholder from the environment's variables, and no other key");
}

/* A longer name than a slot can have fits none. */
static void slot_set(struct judging *judging, struct view name)
{
	size_t length = name.length < sizeof(judging->slot) ? name.length : sizeof(judging->slot) - 1;

	if (length)
		memcpy(judging->slot, name.at, length);
	judging->slot[length] = '\0';
}

/* Signed for AWS, with the key id of a credential that may sign this request: it is to be signed anew. */
static bool field_signs(struct judging *judging, const struct egress_field *field, bool *carried, bool *good)
{
	struct aws_claim claim;

	if (!view_is(field->name, "authorization") || !aws_claim_parse(field->value, &claim))
		return false;
	for (size_t i = 0; i < judging->broker->count; i++) {
		const struct broker_credential *credential = &judging->broker->credentials[i];

		if (credential->use.place != CREDENTIAL_AWS || !view_is(claim.key_id, credential->use.slot) ||
		    !is_due(credential, judging->request))
			continue;
		*good = !*carried && want_add(judging, i);
		if (*carried)
			*good = refuse_foreign(judging);
		*carried = true;
		return true;
	}
	return false;
}

/* To a host for which there is a key that signs, nothing goes that another key signed. */
static bool unsignable_judge(struct judging *judging)
{
	const char *why = NULL;

	for (size_t i = 0; i < judging->broker->count && !why; i++)
		if (judging->broker->credentials[i].use.place == CREDENTIAL_AWS &&
		    credential_is_for_host(&judging->broker->credentials[i].use, judging->request->host, judging->request->port))
			why = aws_cannot(judging->request);
	return !why ||
	       refuse(judging, "broker:cannot-sign", why,
		      "have its program send the body unsigned or whole (AWS_REQUEST_CHECKSUM_CALCULATION=when_required), and "
		      "the signature in Authorization");
}

static bool field_judge(struct judging *judging, const struct egress_field *field, bool brokered, bool strict, bool *carried)
{
	AUTO_BUF decoded = buf_new(field->value.length + 1);
	size_t found = 0;
	bool basic = view_is(field->name, "authorization") && basic_decode(field->value, &decoded);
	bool good = true;

	if (field_signs(judging, field, carried, &good))
		return good;
	slot_set(judging, field->name);
	if (view_find(field->name, MARK) >= 0)
		return refuse_stray(judging);
	if (basic && view_find(buf_view(&decoded), MARK) >= 0) {
		if (!text_judge(judging, buf_view(&decoded), CREDENTIAL_BASIC, &found))
			return false;
	} else {
		if (!text_judge(judging, field->value, CREDENTIAL_HEADER, &found) || !disguise_judge(judging, field->value))
			return false;
		if (found && brokered && is_credential_field(judging, field->name, strict) &&
		    !remainder_plain(judging, field->value))
			return refuse_foreign(judging);
	}
	if (brokered && !found && field->value.length && is_credential_field(judging, field->name, strict))
		return refuse_foreign(judging);
	if (found > 1 || (found && *carried && view_is(field->name, "authorization")))
		return refuse_foreign(judging); /* one credential, once */
	*carried = *carried || found;
	return true;
}

static bool query_judge(struct judging *judging, bool brokered, bool *carried)
{
	struct view rest = judging->request->query;

	while (rest.length) {
		struct view value;
		struct view pair = view_cut(rest, '&', &rest);
		struct view name = view_cut(pair, '=', &value);
		size_t found = 0;

		slot_set(judging, name);
		if (view_find(name, MARK) >= 0)
			return refuse_stray(judging);
		if (!value.at)
			continue;
		if (!text_judge(judging, value, CREDENTIAL_QUERY, &found))
			return false;
		if (brokered && is_credential_parameter(name) && (!found ? value.length > 0 : !remainder_plain(judging, value)))
			return refuse_foreign(judging);
		*carried = *carried || found;
	}
	return true;
}

enum broker_answer broker_judge(const struct broker *broker, const struct egress_request *request, struct broker_plan *plan,
				struct egress_verdict *verdict)
{
	static const struct broker none = {.count = 0};
	struct judging judging = {.broker = broker ? broker : &none, .request = request, .plan = plan, .verdict = verdict};
	bool brokered = false, required = false, carried = false;
	size_t found = 0;

	for (size_t i = 0; i < judging.broker->count; i++) {
		const struct credential_use *use = &judging.broker->credentials[i].use;

		brokered = brokered || credential_is_for_host(use, request->host, request->port);
		required = required || (use->require && is_due(&judging.broker->credentials[i], request));
		carried = carried || (use->place >= CREDENTIAL_BODY && use->place < CREDENTIAL_AWS &&
				      is_due(&judging.broker->credentials[i], request));
	}
	if (view_find(view_of(request->host), MARK) >= 0 || view_find(request->method, MARK) >= 0) {
		(void)refuse_stray(&judging);
		return BROKER_REFUSED;
	}
	if (!text_judge(&judging, request->path, CREDENTIAL_PATH, &found) || !disguise_judge(&judging, request->path) ||
	    !query_judge(&judging, brokered, &carried) || !disguise_judge(&judging, request->query) || !unsignable_judge(&judging))
		return BROKER_REFUSED;
	carried = carried || found;
	for (size_t i = 0; i < request->field_count; i++)
		if (!field_judge(&judging, &request->fields[i], brokered, required, &carried))
			return BROKER_REFUSED;
	if (required && !carried) {
		(void)refuse(&judging, "broker:credential-required",
			     "this request must carry the credential that Assay holds for it",
			     "use the placeholder from the environment's variables");
		return BROKER_REFUSED;
	}
	/* What goes into a body is released with the head: later it would be too late. */
	for (size_t i = 0; i < judging.broker->count; i++) {
		const struct broker_credential *credential = &judging.broker->credentials[i];
		bool body = credential->use.place == CREDENTIAL_BODY && request->body_bytes != 0;
		bool messages = credential->use.place == CREDENTIAL_WEBSOCKET && request->websocket;

		if ((body || messages) && is_due(credential, request) && !want_add(&judging, i))
			return BROKER_REFUSED;
	}
	return plan->count ? BROKER_RELEASE : BROKER_PLAIN;
}

void broker_plan_fini(struct broker_plan *plan)
{
	if (plan->wants)
		explicit_bzero(plan->wants, BROKER_WANTS_MAX * sizeof(*plan->wants));
	free(plan->wants);
	*plan = (struct broker_plan){0, NULL};
}

static bool want_signs(const struct broker *broker, const struct broker_want *want)
{
	return broker->credentials[want->credential].use.place == CREDENTIAL_AWS;
}

/* Does anything of it go into the request, as it is? */
bool broker_puts_in(const struct broker *broker, const struct broker_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (!want_signs(broker, &plan->wants[i]))
			return true;
	return false;
}

/* ---- logins ---- */

bool broker_logs_in(const struct broker *broker, const char *host, uint16_t port)
{
	for (size_t i = 0; broker && i < broker->count; i++)
		if (broker->credentials[i].use.place == CREDENTIAL_PASSWORD &&
		    credential_is_for_host(&broker->credentials[i].use, host, port))
			return true;
	return false;
}

bool broker_login(const struct broker *broker, const struct egress_request *request, struct view placeholder,
		  struct broker_plan *plan)
{
	for (size_t i = 0; broker && i < broker->count; i++) {
		const struct broker_credential *credential = &broker->credentials[i];

		if (credential->use.place != CREDENTIAL_PASSWORD || !view_equal(placeholder, broker_placeholder(broker, i)) ||
		    !credential_allows(&credential->use, CREDENTIAL_POSTGRES, request->host, request->port, VIEW(""),
				       request->path))
			continue;
		plan->wants = mem_new_array(BROKER_WANTS_MAX, sizeof(*plan->wants));
		plan->wants[plan->count++].credential = i;
		return true;
	}
	return false;
}

/* ---- releasing ---- */

static void text_put(char *place, size_t bytes, struct view text)
{
	if (text.length < bytes)
		memcpy(place, text.at, text.length);
	else
		memset(place, 'x', bytes); /* unended: the vault refuses it */
}

void broker_ask(const struct broker *broker, const struct broker_plan *plan, size_t index, const struct egress_request *request,
		struct vault_release_request *ask)
{
	struct aws_claim claim;

	*ask = (struct vault_release_request){.scheme = (uint16_t)scheme_of(request), .port = request->port};
	text_put(ask->env, sizeof(ask->env), view_of(request->origin.env));
	text_put(ask->name, sizeof(ask->name), view_of(broker->credentials[plan->wants[index].credential].name));
	text_put(ask->host, sizeof(ask->host), view_of(request->host));
	text_put(ask->method, sizeof(ask->method), request->method);
	text_put(ask->path, sizeof(ask->path), request->path);
	for (size_t i = 0; want_signs(broker, &plan->wants[index]) && i < request->field_count; i++)
		if (view_is(request->fields[i].name, "authorization") && aws_claim_parse(request->fields[i].value, &claim))
			text_put(ask->scope, sizeof(ask->scope), claim.scope);
}

int broker_answered(const struct broker *broker, struct broker_plan *plan, size_t index, const struct vault_release_reply *reply,
		    struct egress_verdict *verdict)
{
	struct broker_want *want = &plan->wants[index];
	struct judging judging = {.verdict = verdict};
	struct view value = view_make(reply->value, reply->value_bytes);

	if (reply->errno_value || reply->value_bytes > sizeof(want->value) ||
	    (want_signs(broker, want) ? reply->value_bytes != SIGV4_KEY_BYTES
				      : credential_value_check(&broker->credentials[want->credential].use, value, NULL) != 0)) {
		(void)refuse(&judging, "broker:not-released", "the vault does not release the credential for this request",
			     "its run may be over; `assay secret list` shows what it is for");
		return -1;
	}
	want->value_bytes = reply->value_bytes;
	memcpy(want->value, reply->value, reply->value_bytes);
	return 0;
}

/* ---- putting in ---- */

static struct buf *head_text(struct broker_head *head)
{
	struct broker_text *text = mem_new(sizeof(*text));

	text->bytes = buf_new(BUF_MAX_DEFAULT);
	text->next = head->texts;
	head->texts = text;
	return &text->bytes;
}

void broker_head_fini(struct broker_head *head)
{
	while (head->texts) {
		struct broker_text *text = head->texts;

		head->texts = text->next;
		if (text->bytes.at)
			explicit_bzero(text->bytes.at, text->bytes.capacity);
		buf_fini(&text->bytes);
		free(text);
	}
}

/* Placeholders of the plan that go to `place`, replaced in `text`; percent-encoded in a URL. */
static void fill(const struct broker *broker, const struct broker_plan *plan, enum credential_place place, struct view text,
		 struct buf *out)
{
	struct swap *swap = swap_new();

	for (size_t i = 0; i < plan->count; i++) {
		const struct broker_want *want = &plan->wants[i];
		struct view value = view_make(want->value, want->value_bytes);
		AUTO_BUF encoded = buf_new(3 * CREDENTIAL_VALUE_MAX);

		if (broker->credentials[want->credential].use.place != (uint16_t)place)
			continue;
		if (place == CREDENTIAL_QUERY || place == CREDENTIAL_PATH) {
			buf_add_url(&encoded, value);
			value = buf_view(&encoded);
		}
		(void)swap_add(swap, broker_placeholder(broker, want->credential), value, TAG_VALUE);
		if (encoded.at)
			explicit_bzero(encoded.at, encoded.length);
	}
	swap_text(swap, text, out);
	swap_free(swap);
}

static struct view filled(const struct broker *broker, const struct broker_plan *plan, enum credential_place place,
			  struct view text, struct broker_head *head)
{
	struct buf *out;

	if (view_find(text, MARK) < 0)
		return text;
	out = head_text(head);
	fill(broker, plan, place, text, out);
	return buf_view(out);
}

static struct view field_filled(const struct broker *broker, const struct broker_plan *plan, const struct egress_field *field,
				struct broker_head *head)
{
	AUTO_BUF decoded = buf_new(field->value.length + 1);
	struct buf *plain, *out;

	if (!view_is(field->name, "authorization") || !basic_decode(field->value, &decoded) ||
	    view_find(buf_view(&decoded), MARK) < 0)
		return filled(broker, plan, CREDENTIAL_HEADER, field->value, head);
	plain = head_text(head);
	fill(broker, plan, CREDENTIAL_BASIC, buf_view(&decoded), plain);
	out = head_text(head);
	buf_add_text(out, "Basic ");
	buf_add_base64(out, plain->at, plain->length);
	return buf_view(out);
}

/* The one that signs; NULL: none does. */
static const struct broker_want *plan_signs(const struct broker *broker, const struct broker_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (want_signs(broker, &plan->wants[i]))
			return &plan->wants[i];
	return NULL;
}

/* Signed by who holds the placeholder, and by the key that was released: why not, or NULL. */
static const char *sign(const struct broker *broker, const struct broker_want *want, const struct egress_request *request,
			struct view body, bool whole, struct egress_field *field, struct broker_head *head)
{
	unsigned char held[SIGV4_KEY_BYTES];
	AUTO_BUF before = buf_new(SIGV4_SIGNATURE_BYTES + 1), after = buf_new(SIGV4_SIGNATURE_BYTES + 1);
	char scope[SIGV4_SCOPE_MAX];
	struct aws_claim claim = {.key_id = VIEW("")};
	const char *why;
	struct buf *out;

	for (size_t i = 0; i < request->field_count && !claim.signature.length; i++)
		if (view_is(request->fields[i].name, "authorization"))
			(void)aws_claim_parse(request->fields[i].value, &claim);
	(void)snprintf(scope, sizeof(scope), "%.*s", (int)claim.scope.length, claim.scope.at ? claim.scope.at : "");
	if (!sigv4_key(broker_placeholder(broker, want->credential), scope, held))
		return "its signature is for no day, region and service";
	why = aws_sign(request, &claim, body, whole, held, &before);
	if (why)
		return why;
	if (!view_equal(claim.signature, buf_view(&before)))
		return "its signature was not made with the placeholder";
	why = aws_sign(&head->request, &claim, body, whole, want->value, &after);
	if (why)
		return why;
	out = head_text(head);
	aws_claim_format(&claim, buf_view(&after), out);
	field->value = buf_view(out);
	return NULL;
}

int broker_sign(const struct broker *broker, const struct broker_plan *plan, const struct egress_request *request, struct view body,
		bool whole, struct broker_head *head, struct egress_verdict *verdict)
{
	struct judging judging = {.verdict = verdict};
	const struct broker_want *want = plan_signs(broker, plan);
	const char *why = "its signature is missing";

	if (!want)
		return 0;
	for (size_t i = 0; i < head->request.field_count; i++)
		if (view_is(head->fields[i].name, "authorization")) {
			why = sign(broker, want, request, body, whole, &head->fields[i], head);
			break;
		}
	if (!why)
		return 0;
	(void)refuse(&judging, "broker:cannot-sign", why,
		     "sign it with the secret key of the environment's variables, and nothing that a proxy may change");
	broker_head_fini(head);
	return -1;
}

int broker_apply(const struct broker *broker, const struct broker_plan *plan, const struct egress_request *request,
		 struct broker_head *head, struct egress_verdict *verdict)
{
	struct judging judging = {.verdict = verdict};
	bool readable = broker_puts_in(broker, plan); /* what comes back must be */
	bool left;

	*head = (struct broker_head){.request = *request};
	head->request.fields = head->fields;
	head->request.field_count = 0;
	head->request.path = filled(broker, plan, CREDENTIAL_PATH, request->path, head);
	head->request.query = filled(broker, plan, CREDENTIAL_QUERY, request->query, head);
	left = view_find(head->request.path, MARK) >= 0 || view_find(head->request.query, MARK) >= 0;
	for (size_t i = 0; i < request->field_count; i++) {
		struct egress_field field = request->fields[i];

		if (readable && (view_is(field.name, "range") || view_is(field.name, "if-range") ||
				 view_is(field.name, "accept-encoding") || view_is(field.name, "sec-websocket-extensions")))
			continue;
		if (plan_signs(broker, plan) && view_is(field.name, "authorization") && aws_is_signed(field.value))
			field.value = VIEW(SIGNED_SCANNED);
		field.value = field_filled(broker, plan, &field, head);
		left = left || view_find(field.value, MARK) >= 0;
		head->fields[head->request.field_count++] = field;
	}
	if (readable && head->request.field_count < EGRESS_FIELDS_MAX)
		head->fields[head->request.field_count++] = (struct egress_field){VIEW("accept-encoding"), VIEW("identity")};
	if (!left)
		return 0;
	(void)refuse(&judging, "broker:unresolved", "a placeholder is left in the request", "see `assay secret list`");
	broker_head_fini(head);
	return -1;
}

struct swap *broker_mask(const struct broker *broker, const struct broker_plan *plan)
{
	struct swap *swap = swap_new();

	for (size_t i = 0; i < plan->count; i++) {
		const struct broker_want *want = &plan->wants[i];

		if (want_signs(broker, want))
			continue;
		swap_add_masks(swap, view_make(want->value, want->value_bytes), broker_placeholder(broker, want->credential));
	}
	return swap;
}

static struct swap *strays_new(struct swap *swap)
{
	(void)swap_add(swap, MARK, MARK, TAG_STRAY);
	swap_add_base64(swap, MARK, TAG_STRAY);
	return swap;
}

struct swap *broker_body(struct broker *broker, const struct broker_plan *plan, bool websocket)
{
	enum credential_place place = websocket ? CREDENTIAL_WEBSOCKET : CREDENTIAL_BODY;
	struct swap *swap = NULL;

	for (size_t i = 0; plan && i < plan->count; i++) {
		const struct broker_want *want = &plan->wants[i];

		if (broker->credentials[want->credential].use.place != (uint16_t)place)
			continue;
		if (!swap)
			swap = swap_new();
		(void)swap_add(swap, broker_placeholder(broker, want->credential), view_make(want->value, want->value_bytes),
			       TAG_VALUE);
	}
	if (swap || !broker)
		return strays_new(swap ? swap : swap_new());
	if (!broker->strays)
		broker->strays = strays_new(swap_new());
	return swap_like(broker->strays);
}

bool broker_body_stray(const struct swap *body)
{
	return swap_hits(body, TAG_STRAY) > 0;
}

bool broker_body_takes(const struct broker *broker, const struct broker_plan *plan, bool websocket)
{
	enum credential_place place = websocket ? CREDENTIAL_WEBSOCKET : CREDENTIAL_BODY;

	for (size_t i = 0; i < plan->count; i++)
		if (broker->credentials[plan->wants[i].credential].use.place == (uint16_t)place)
			return true;
	return false;
}

bool broker_body_resizes(const struct broker *broker, const struct broker_plan *plan, bool websocket)
{
	enum credential_place place = websocket ? CREDENTIAL_WEBSOCKET : CREDENTIAL_BODY;

	for (size_t i = 0; i < plan->count; i++) {
		const struct broker_want *want = &plan->wants[i];

		if (broker->credentials[want->credential].use.place == (uint16_t)place &&
		    want->value_bytes != broker->credentials[want->credential].placeholder_bytes)
			return true;
	}
	return false;
}
