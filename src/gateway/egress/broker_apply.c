/* What takes a placeholder's place: in the head, in signatures and in bodies; and the masks of what comes back. */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/egress/aws.h"
#include "gateway/egress/broker_priv.h"

#define SIGNED_SCANNED "AWS4-HMAC-SHA256 placeholder" /* what a signature is replaced by until there is one */

struct broker_text {
	struct broker_text *next;
	struct buf bytes;
};

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

	if (!view_is(field->name, "authorization") || !broker_basic_decode(field->value, &decoded) ||
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
		if (broker_want_signs(broker, &plan->wants[i]))
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
	broker_refuse(verdict, "broker:cannot-sign", why,
		      "sign it with the secret key of the environment's variables, and nothing that a proxy may change");
	broker_head_fini(head);
	return -1;
}

int broker_apply(const struct broker *broker, const struct broker_plan *plan, const struct egress_request *request,
		 struct broker_head *head, struct egress_verdict *verdict)
{
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
	broker_refuse(verdict, "broker:unresolved", "a placeholder is left in the request", "see `assay secret list`");
	broker_head_fini(head);
	return -1;
}

struct swap *broker_mask(const struct broker *broker, const struct broker_plan *plan)
{
	struct swap *swap = swap_new();

	for (size_t i = 0; i < plan->count; i++) {
		const struct broker_want *want = &plan->wants[i];

		if (broker_want_signs(broker, want))
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
