/* Where a placeholder may stand, and what may not stand beside it. */
#include <ctype.h>

#include "base/scope.h"
#include "gateway/egress/aws.h"
#include "gateway/egress/broker_priv.h"
#include "gateway/policy/policy.h"

#define DECODE_ROUNDS 3 /* of percent-encoding */
#define SCHEME_MAX 32   /* of "Bearer ", "token " */

struct judging {
	const struct broker *broker;
	const struct egress_request *request;
	struct broker_plan *plan;
	struct egress_verdict *verdict;
	char slot[CREDENTIAL_SLOT_MAX]; /* of the field or parameter that is looked at */
};

static bool refuse(struct judging *judging, const char *rule, const char *why, const char *remedy)
{
	broker_refuse(judging->verdict, rule, why, remedy);
	return false;
}

static bool refuse_stray(struct judging *judging)
{
	return refuse(judging, "broker:stray-placeholder", "a placeholder of a credential stands where it may not be sent",
		      "send it as its program does: only to its own host, in its own place, as it is");
}

static bool is_due(const struct broker_credential *credential, const struct egress_request *request)
{
	return credential_allows(&credential->use, broker_scheme(request), request->host, request->port, request->method,
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
bool broker_basic_decode(struct view value, struct buf *out)
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
		if (policy_field_is(name, names[i]))
			return true;
	if (strict && view_is(name, "cookie"))
		return true;
	for (size_t i = 0; i < judging->broker->count; i++) {
		const struct credential_use *use = &judging->broker->credentials[i].use;

		if (use->place == CREDENTIAL_HEADER && policy_field_is(name, use->slot) &&
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
	bool basic = view_is(field->name, "authorization") && broker_basic_decode(field->value, &decoded);
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
