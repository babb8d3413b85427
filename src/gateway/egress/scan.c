/* Between a request's pipeline and the scanner: what to do with what is found, and how much of a body may go. */
#include "gateway/egress/scan.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/dlp/dlp.h"
#include "gateway/egress/brokered.h"
#include "gateway/egress/frames.h"
#include "gateway/egress/pipeline_priv.h"
#include "gateway/egress/record.h"
#include "gateway/egress/scan_rules.h"
#include "gateway/policy/policy.h"
#include "http/websocket.h"

#define REMEDY "leave it out; a credential that is needed there is put in by the gateway (assay secret set)"
#define FIELD_SHOWN_MAX ((size_t)200)
#define EXTENSIONS_BYTES_MAX ((size_t)4096)

/* ---- verdicts ---- */

void scan_verdict_set(struct pipeline *pipeline, const struct dlp_message *message)
{
	struct egress_verdict *verdict = &pipeline->verdict;
	const struct dlp_finding *findings, *worst = NULL;
	size_t count;

	findings = dlp_findings(message, &count);
	for (size_t i = 0; i < count; i++)
		if (!worst || findings[i].action > worst->action)
			worst = &findings[i];
	*verdict = (struct egress_verdict){.action = dlp_action(message) == DLP_HOLD ? EGRESS_APPROVE : EGRESS_DENY, .status = 403};
	(void)snprintf(verdict->rule, sizeof(verdict->rule), "dlp:%.59s", worst ? worst->rule : "too-much");
	(void)snprintf(pipeline->scan_why, sizeof(pipeline->scan_why), "it carries %s (%s, %s)",
		       worst ? worst->title : "more than is looked at", worst ? dlp_where_name(worst->where) : "body",
		       worst ? worst->view : "plain");
	verdict->why = pipeline->scan_why;
	verdict->remedy = REMEDY;
}

static void field_hide(struct exchange_headers *fields, size_t index)
{
	static const char *const shown[] = {"accept", "content-length", "content-type", "host", "user-agent"};
	struct exchange_header *field = &fields->at[index];

	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		if (strcmp(field->name, shown[i]) == 0 && strlen(field->value) < FIELD_SHOWN_MAX)
			return;
	memset(field->value, '*', strlen(field->value));
}

void scan_hide(struct pipeline *pipeline)
{
	struct exchange *exchange = &pipeline->exchange;
	struct egress_request *request = &pipeline->request;

	for (size_t i = 0; pipeline->hidden & (1U << DLP_HEADER | 1U << DLP_TRAILER) && i < exchange->request_headers.count; i++)
		field_hide(&exchange->request_headers, i);
	if (pipeline->hidden & (1U << DLP_PATH | 1U << DLP_QUERY)) {
		if (pipeline->hidden & 1U << DLP_PATH)
			request->path = VIEW("/[hidden]");
		request->query = request->query.length ? VIEW("[hidden]") : VIEW("");
		free(exchange->url);
		exchange->url = pipeline_url(request);
		exchange->response_body.length = 0;
		exchange->response_body.cut = true;
	}
	if (pipeline->hidden & (1U << DLP_BODY | 1U << DLP_MESSAGE)) {
		exchange->request_body.length = 0;
		exchange->request_body.cut = true;
	}
}

void scan_redact(const struct dlp_message *message, char *bytes, size_t length, uint64_t offset)
{
	const struct dlp_finding *findings;
	size_t count;

	findings = dlp_findings(message, &count);
	for (size_t i = 0; i < count; i++) {
		if (findings[i].action != DLP_REDACT || !findings[i].exact)
			continue;
		for (uint64_t at = findings[i].from > offset ? findings[i].from : offset;
		     at < findings[i].to && at < offset + length; at++)
			bytes[at - offset] = '*';
	}
}

/* Offers of extensions that cannot be read are not made. */
void scan_offers(struct pipeline *pipeline)
{
	struct egress_request *request = &pipeline->request;
	AUTO_BUF joined = buf_new(EXTENSIONS_BYTES_MAX);
	size_t kept = 0, at = SIZE_MAX;

	buf_clear(&pipeline->tail);
	for (size_t i = 0; i < request->field_count; i++) {
		if (!view_is(pipeline->fields[i].name, "sec-websocket-extensions")) {
			pipeline->fields[kept++] = pipeline->fields[i];
			continue;
		}
		if (joined.length)
			buf_add_text(&joined, ", ");
		buf_add_view(&joined, pipeline->fields[i].value);
		if (at == SIZE_MAX) {
			at = kept;
			pipeline->fields[kept++] = pipeline->fields[i];
		}
	}
	request->field_count = kept;
	if (at == SIZE_MAX)
		return;
	if (!joined.over && websocket_offers_filter(buf_view(&joined), &pipeline->tail, NULL) == 0 && pipeline->tail.length) {
		pipeline->fields[at].value = buf_view(&pipeline->tail);
		return;
	}
	memmove(&pipeline->fields[at], &pipeline->fields[at + 1], (kept - at - 1) * sizeof(pipeline->fields[0]));
	request->field_count--;
}

const char *scan_host(struct env *env, const char *host)
{
	if (host_address_canonical(view_of(host), (char[HOST_NAME_MAX_BYTES]){0}) || env_stub(env, host))
		return NULL;
	return dlp_host(env->dlp, host, policy_host_listed(env->policy, host));
}

static bool name_hides(struct env *env, const char *host)
{
	return !host_address_canonical(view_of(host), (char[HOST_NAME_MAX_BYTES]){0}) && !policy_host_listed(env->policy, host) &&
	       dlp_host_carries(env->dlp, host);
}

void scan_name_show(struct env *env, const char *host, char shown[SCAN_SHOWN_BYTES])
{
	const char *domain = host + strlen(host);

	if (!name_hides(env, host)) {
		(void)snprintf(shown, SCAN_SHOWN_BYTES, "%s", host);
		return;
	}
	for (unsigned dots = 0; domain > host; domain--)
		if (domain[-1] == '.' && ++dots == 2)
			break;
	if (domain == host || name_hides(env, domain))
		domain = "";
	(void)snprintf(shown, SCAN_SHOWN_BYTES, "[hidden]%s%s", domain[0] ? "." : "", domain);
}

void scan_note(struct pipeline *pipeline, struct dlp_message *message)
{
	const struct dlp_finding *finding;

	while ((finding = dlp_finding_take(message))) {
		char rule[EGRESS_RULE_MAX], detail[128];
		struct ledger_row row = {.kind = LEDGER_FINDING, .offset = finding->from};

		pipeline->request.path_hidden |= finding->where == DLP_PATH;
		pipeline->hidden |= finding->action >= DLP_REDACT ? 1U << finding->where : 0;
		(void)snprintf(rule, sizeof(rule), "dlp:%.59s", finding->rule);
		(void)snprintf(detail, sizeof(detail), "%s: in its %s, %s", dlp_action_name(finding->action),
			       dlp_where_name(finding->where), finding->view);
		row.texts[LEDGER_RULE] = view_of(rule);
		row.texts[LEDGER_DETAIL] = view_of(detail);
		for (size_t i = 0; i < LEDGER_DIGEST_BYTES; i++)
			(void)sscanf(finding->digest + 2 * i, "%2hhx", &row.digest[i]);
		record_row(pipeline->env->worker, pipeline->number, &pipeline->request, row);
	}
}

enum scanned scan_request(struct pipeline *pipeline)
{
	struct worker *worker = pipeline->env->worker;
	const char *why;

	switch (scan_env_ready(pipeline->env)) {
	case SCAN_READY:
		break;
	case SCAN_READY_SOON:
		loop_timer_set(worker->loop, &pipeline->body_timer, SCAN_RULES_ASK_MS);
		return SCAN_WAIT;
	case SCAN_READY_NEVER:
		pipeline->verdict = (struct egress_verdict){
			.status = 503, .rule = "dlp", .why = "the rules that look for secrets do not compile"};
		return SCAN_REFUSE;
	}
	why = scan_host(pipeline->env, pipeline->request.host);
	if (why) {
		pipeline->verdict = (struct egress_verdict){
			.status = 403, .rule = "dlp:host", .why = why, .remedy = "have a rule name this very host, if it is one"};
		return SCAN_REFUSE;
	}
	pipeline->scan = dlp_begin(pipeline->env->dlp, DLP_BODY);
	dlp_head(pipeline->scan, brokered_scanned(pipeline));
	if (!pipeline->request.websocket)
		(void)dlp_feed(pipeline->scan, buf_view(&pipeline->held));
	if (pipeline->trailer_count)
		dlp_fields(pipeline->scan, DLP_TRAILER, pipeline->trailers, pipeline->trailer_count);
	if (pipeline->whole || pipeline->request.websocket)
		dlp_end(pipeline->scan);
	scan_note(pipeline, pipeline->scan);
	if (dlp_action(pipeline->scan) < DLP_HOLD)
		return SCAN_GO;
	scan_verdict_set(pipeline, pipeline->scan);
	return pipeline->verdict.action == EGRESS_APPROVE ? SCAN_HOLD : SCAN_REFUSE;
}

bool scan_held(struct pipeline *pipeline, struct view bytes)
{
	enum dlp_action before = dlp_action(pipeline->scan);

	(void)dlp_feed(pipeline->scan, bytes);
	if (pipeline->whole)
		dlp_end(pipeline->scan);
	scan_note(pipeline, pipeline->scan);
	if (dlp_action(pipeline->scan) < DLP_HOLD || dlp_action(pipeline->scan) == before)
		return false;
	scan_verdict_set(pipeline, pipeline->scan);
	pipeline->verdict.action = EGRESS_DENY;
	return true;
}

bool scan_trailers(struct pipeline *pipeline, const struct egress_field *fields, size_t count)
{
	if (!pipeline->scan)
		return true; /* nothing has looked at the head either */
	dlp_fields(pipeline->scan, DLP_TRAILER, fields, count);
	scan_note(pipeline, pipeline->scan);
	if (dlp_action(pipeline->scan) < DLP_HOLD)
		return false;
	scan_verdict_set(pipeline, pipeline->scan);
	pipeline->verdict.action = EGRESS_DENY;
	return true;
}

/* ---- bodies ---- */

struct view scan_let_out(struct pipeline *pipeline)
{
	struct buf *held = &pipeline->held;
	uint64_t free_bytes = held->length;

	if (pipeline->request.websocket) /* those are frames, for later */
		return view_make("", 0);
	scan_redact(pipeline->scan, held->at, held->length, 0);
	if (pipeline->whole)
		return buf_view(held);
	free_bytes = pipeline->body_waited ? dlp_flush(pipeline->scan) : dlp_feed(pipeline->scan, view_make("", 0));
	if (dlp_action(pipeline->scan) >= DLP_HOLD) /* found just now: the next byte ends it */
		free_bytes = 0;
	if (free_bytes > held->length)
		free_bytes = held->length;
	buf_clear(&pipeline->tail);
	if (held->length)
		buf_add(&pipeline->tail, held->at + free_bytes, held->length - (size_t)free_bytes);
	pipeline->let_go = free_bytes;
	return view_make(held->at, (size_t)free_bytes);
}

/* The part of the tail that may go, as `free_bytes` of the body may. What went before is dropped from it first. */
static struct view tail_take(struct pipeline *pipeline, uint64_t free_bytes, bool *refused)
{
	struct buf *tail = &pipeline->tail;
	size_t length;

	scan_note(pipeline, pipeline->scan);
	*refused = dlp_action(pipeline->scan) >= DLP_HOLD || tail->over;
	if (*refused) {
		scan_verdict_set(pipeline, pipeline->scan);
		pipeline->verdict.action = EGRESS_DENY;
		return view_make("", 0);
	}
	scan_redact(pipeline->scan, tail->at, tail->length, pipeline->let_go);
	length = free_bytes > pipeline->let_go ? (size_t)(free_bytes - pipeline->let_go) : 0;
	length = length < tail->length ? length : tail->length;
	pipeline->let_go += length;
	pipeline->tail_gone = length;
	return view_make(tail->at ? tail->at : "", length);
}

static void tail_drop(struct pipeline *pipeline)
{
	buf_drop_front(&pipeline->tail, pipeline->tail_gone);
	pipeline->tail_gone = 0;
}

/* All of the tail may go, and more of what comes behind it, as it is: only the rest of that is kept. False: another way must be gone. */
static bool tail_pass(struct pipeline *pipeline, struct view bytes, uint64_t free_bytes, struct view *first, struct view *more)
{
	struct buf *tail = &pipeline->tail;
	size_t length = tail->length, behind;

	if (dlp_action(pipeline->scan) >= DLP_REDACT || free_bytes < pipeline->let_go + length)
		return false;
	behind = (size_t)(free_bytes - pipeline->let_go) - length;
	behind = behind < bytes.length ? behind : bytes.length;
	if (!buf_reserve(tail, bytes.length - behind)) /* before it is lent: it may move */
		return false;
	*first = view_make(tail->at, length);
	*more = view_make(bytes.at, behind);
	buf_add(tail, bytes.at + behind, bytes.length - behind);
	pipeline->let_go += length + behind;
	pipeline->tail_gone = length;
	return true;
}

struct view scan_body(struct pipeline *pipeline, struct view bytes, struct view *more, bool *refused)
{
	struct view first;
	uint64_t free_bytes;

	*more = view_make("", 0);
	if (pipeline->frames)
		return frames_out(pipeline, bytes, refused);
	tail_drop(pipeline);
	free_bytes = dlp_feed(pipeline->scan, bytes);
	if (tail_pass(pipeline, bytes, free_bytes, &first, more)) {
		*refused = false;
		scan_note(pipeline, pipeline->scan);
		return first;
	}
	buf_add_view(&pipeline->tail, bytes);
	return tail_take(pipeline, free_bytes, refused);
}

struct view scan_body_end(struct pipeline *pipeline, bool *refused)
{
	*refused = false;
	if (pipeline->request.websocket)
		return view_make("", 0);
	tail_drop(pipeline);
	dlp_end(pipeline->scan);
	return tail_take(pipeline, UINT64_MAX, refused);
}

struct view scan_body_idle(struct pipeline *pipeline, bool *refused)
{
	*refused = false;
	if (pipeline->request.websocket || !pipeline->tail.length)
		return view_make("", 0);
	tail_drop(pipeline);
	return tail_take(pipeline, dlp_flush(pipeline->scan), refused);
}

void scan_free(struct pipeline *pipeline)
{
	dlp_free(pipeline->scan);
	pipeline->scan = NULL;
}
