/*
 * Theory of operation: a text is fed to the streams of the two databases in blocks; what they report is kept as hits (rule, first and last
 * end), and confirmed on the block and the DLP_HOLD_BACK bytes before it. Then the views of the same bytes are made, each of them looked at
 * as a text of its own. A block is as much as has come when it is full, when the caller wants an answer, or at the end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/scope.h"
#include "gateway/dlp/dlp_priv.h"
#include "gateway/dlp/spare.h"
#include "gateway/dlp/views.h"

#define HITS_MAX 256
#define TURNED_CONTEXT ((size_t)512) /* around what shows that something is written backwards */
#define AFTER_END ((size_t)512)      /* a value may go on behind the least that its rule asks for */

struct hit {
	unsigned rule;
	uint64_t first, last; /* ends, in all that was fed */
};

/* One look: of a block, or of a whole text. */
struct pass {
	struct dlp_message *message;
	struct look look;
	uint64_t base; /* of look.text */
	size_t fresh;  /* in look.text */
	bool exact;
	struct span turned[2]; /* where something may be written backwards, or by rot13; both zero: nowhere */
	struct hit *hits;      /* HITS_MAX */
	size_t hit_count;
};

static enum dlp_where pass_where(const struct pass *pass, size_t at)
{
	enum dlp_where where = pass->look.where;

	for (size_t i = 0; i < pass->look.segment_count && pass->look.segments[i].from <= at; i++)
		where = pass->look.segments[i].where;
	return where;
}

static int on_rule(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
	struct pass *pass = context;
	const struct dlp_rules *rules = pass->message->rules;

	(void)from;
	(void)flags;
	if (id >= rules->count) {
		struct span *span = &pass->turned[id - rules->count >= rules->turned_count];

		span->to = (size_t)(to - pass->base);
		if (!span->from)
			span->from = span->to;
		return 0;
	}
	if (pass->look.pieced && rules->list[id].loose)
		return 0;
	for (size_t i = pass->hit_count; i-- > 0;)
		if (pass->hits[i].rule == id) {
			pass->hits[i].last = to;
			return 0;
		}
	if (pass->hit_count == HITS_MAX) {
		dlp_finding_own(pass->message, "too-much", "more kinds of credentials at once than can be told apart", DLP_BLOCK,
				pass->look.view);
		return 0;
	}
	pass->hits[pass->hit_count++] = (struct hit){id, to, to};
	return 0;
}

static int on_known(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
	struct pass *pass = context;
	const struct secrets *secrets = pass->message->secrets;
	const struct literal *literal = &secrets->literals[id];
	uint64_t start = to - literal->length;
	struct view value = {"", 0};
	struct dlp_finding finding = {.rule = "known-secret", .title = secrets->titles[literal->secret], .action = DLP_BLOCK};

	(void)from;
	(void)flags;
	pass->message->touched = true;
	if (literal->piece >= 0 && !window_piece(pass->message->dlp, secrets, literal))
		return 0;
	if (start >= pass->base && to <= pass->base + pass->look.text.length)
		value = view_make(pass->look.text.at + (start - pass->base), literal->length);
	finding.where = pass_where(pass, (size_t)(start - pass->base));
	finding.view = strcmp(literal->view, "plain") == 0 ? pass->look.view : literal->view;
	finding.exact = pass->exact && literal->piece < 0 && finding.view == pass->look.view;
	finding.from = start;
	finding.to = to;
	dlp_finding_add(pass->message, &finding, value);
	return 0;
}

static void on_print(void *self, const struct known_hit *hit)
{
	struct pass *pass = self;
	struct dlp_message *message = pass->message;
	struct dlp_finding finding = {.rule = "known-secret", .title = hit->title, .action = DLP_BLOCK};

	message->touched = true;
	if (hit->part && !window_part(message->dlp, message->known, hit))
		return;
	finding.where = pass_where(pass, hit->from);
	finding.view = strcmp(hit->view, "plain") == 0 ? pass->look.view : hit->view;
	finding.exact = pass->exact && finding.view == pass->look.view;
	finding.from = pass->base + hit->from;
	finding.to = pass->base + hit->to;
	dlp_finding_add(message, &finding, view_make(pass->look.text.at + hit->from, hit->to - hit->from));
}

static void pass_confirm(struct pass *pass)
{
	const struct dlp_rules *rules = pass->message->rules;
	struct view text = pass->look.text;

	for (size_t i = 0; i < pass->hit_count; i++) {
		const struct rule *rule = &rules->list[pass->hits[i].rule];
		size_t first = pass->hits[i].first > pass->base ? (size_t)(pass->hits[i].first - pass->base) : 0;
		size_t until = (size_t)(pass->hits[i].last - pass->base);
		size_t from = first > rule->width ? first - rule->width : 0;
		unsigned tries = 0;
		struct span span;

		while (from < until && rule_confirm(rule, text, from, until, &span, &tries)) {
			struct view value = view_make(text.at + span.from, span.to - span.from);
			struct dlp_finding finding = {.title = rule->title, .view = pass->look.view, .exact = pass->exact};

			finding.action = rule_action(rules, rule, pass->message->path, value);
			from = span.to > from ? span.to : from + 1;
			if (finding.action == DLP_NONE) {
				pass->message->touched = true; /* in another request it may count */
				continue;
			}
			(void)snprintf(finding.rule, sizeof finding.rule, "%s", rule->id);
			finding.where = pass_where(pass, span.from);
			finding.from = pass->base + span.from;
			finding.to = pass->base + span.to;
			dlp_finding_add(pass->message, &finding, value);
		}
	}
}

static void on_view(void *self, const char *name, enum view_kind kind, struct view decoded)
{
	struct pass *pass = self;
	struct look look = {.text = decoded, .where = pass->look.where, .depth = pass->look.depth + 1, .view = name};

	look.pieced = pass->look.pieced || kind != VIEW_DECODED;
	if (kind == VIEW_TURNED)
		look.depth = VIEW_DEPTH_MAX;
	if (look.depth > VIEW_DEPTH_MAX)
		return;
	/* Views of the text itself are all looked at; of those within them there may be more than anybody means. */
	if (pass->look.depth && (pass->message->view_budget -= (int64_t)decoded.length) <= 0) {
		dlp_finding_own(pass->message, "too-much", "more that is encoded, one way within another, than is looked at",
				DLP_BLOCK, name);
		return;
	}
	look_at(pass->message, &look);
}

static void pass_views(struct pass *pass)
{
	struct view text = pass->look.text;
	bool words = pass->message->secrets && pass->message->secrets->words;

	if (pass->look.depth >= VIEW_DEPTH_MAX || pass->look.known_only)
		return;
	for (size_t i = 0; i < ARRAY_LEN(pass->turned); i++) {
		size_t from = pass->turned[i].from > TURNED_CONTEXT ? pass->turned[i].from - TURNED_CONTEXT : 0;
		size_t to = pass->turned[i].to + TURNED_CONTEXT < text.length ? pass->turned[i].to + TURNED_CONTEXT : text.length;

		if (pass->turned[i].to)
			views_turned(view_make(text.at + from, to - from), i == 0, on_view, pass);
	}
	for (size_t at = 0; at < text.length; at += VIEW_TEXT_MAX - DLP_HOLD_BACK) {
		struct view part = view_make(text.at + at, text.length - at < VIEW_TEXT_MAX ? text.length - at : VIEW_TEXT_MAX);

		views_make(part, pass->look.whole && part.length == text.length, words, on_view, pass);
		if (part.length < VIEW_TEXT_MAX)
			break;
	}
}

/* Feeds `text` to a stream, and ends it if `end`; it can be used again then. False: it cannot be judged. */
static bool stream_scan(hs_stream_t *stream, uint64_t serial, const hs_database_t *database, struct view text, bool end,
			match_event_handler handler, struct pass *pass)
{
	hs_scratch_t *scratch = thread_scratch(thread_get(), serial, database);

	if (!stream || !scratch)
		return false;
	if (text.length && hs_scan_stream(stream, text.at, (unsigned)text.length, 0, scratch, handler, pass) != HS_SUCCESS)
		return false;
	return !end || hs_reset_stream(stream, 0, scratch, handler, pass) == HS_SUCCESS;
}

static void streams_take(const struct dlp_message *message, struct streams *streams)
{
	if (!streams->rules && message->rules->database)
		streams->rules = thread_stream(message->rules->serial, message->rules->database);
	if (!streams->known && message->secrets && message->secrets->database)
		streams->known = thread_stream(message->secrets->serial, message->secrets->database);
}

static void streams_put(const struct dlp_message *message, struct streams *streams, bool ended)
{
	thread_stream_put(message->rules->serial, streams->rules, ended);
	if (message->secrets)
		thread_stream_put(message->secrets->serial, streams->known, ended);
	*streams = (struct streams){NULL, NULL};
}

static void pass_scan(struct pass *pass, struct streams *streams, bool end)
{
	struct dlp_message *message = pass->message;
	struct view fresh = view_make(pass->look.text.at + pass->fresh, pass->look.text.length - pass->fresh);
	bool good = true;

	streams_take(message, streams);
	if (message->rules->database && !pass->look.known_only)
		good = stream_scan(streams->rules, message->rules->serial, message->rules->database, fresh, end, on_rule, pass);
	if (message->secrets && message->secrets->database)
		good &= stream_scan(streams->known, message->secrets->serial, message->secrets->database, fresh, end, on_known,
				    pass);
	if (message->known)
		known_search(message->known, pass->look.text, pass->fresh, on_print, pass);
	if (!good)
		dlp_finding_own(message, "unreadable", "there was no memory to look at it", DLP_BLOCK, pass->look.view);
	if (end)
		streams_put(message, streams, good);
	pass_confirm(pass);
	pass_views(pass);
}

void look_at(struct dlp_message *message, const struct look *look)
{
	struct hit hits[HITS_MAX];
	struct pass pass = {.message = message, .look = *look, .hits = hits};
	struct streams streams = {NULL, NULL};

	pass_scan(&pass, &streams, true);
}

/* Nodes */

void node_init(struct node *node, struct dlp_message *message, unsigned depth, const char *view)
{
	*node = (struct node){.message = message, .depth = depth, .view = view};
}

void node_fini(struct node *node)
{
	carve_free(node->carve);
	node->carve = NULL;
	streams_put(node->message, &node->streams, false);
	if (node->text)
		explicit_bzero(node->text, node->length);
	spare_block_put(node->text);
	node->text = NULL;
	node->base += node->length;
	node->length = node->fresh = 0;
}

void node_look(struct node *node, bool end)
{
	struct dlp_message *message = node->message;
	struct hit hits[HITS_MAX];
	struct pass pass = {.message = message, .base = node->base, .fresh = node->fresh, .hits = hits};
	size_t kept;

	pass.look = (struct look){
		.text = {node->text ? node->text : "", node->length}, .where = message->feeding, .depth = node->depth};
	pass.look.view = node->view;
	pass.look.whole = end && !node->base;
	pass.exact = !node->depth && !message->layer_count;
	if (node->fresh == node->length && !end)
		return;
	message->view_budget += (int64_t)(node->length - node->fresh) * 4;
	pass_scan(&pass, &node->streams, end);
	carve_feed(node, end);
	kept = node->length < DLP_HOLD_BACK ? node->length : DLP_HOLD_BACK;
	if (node->text)
		memmove(node->text, node->text + node->length - kept, kept);
	node->base += node->length - kept;
	node->length = node->fresh = kept;
}

void node_feed(struct node *node, struct view bytes)
{
	while (bytes.length) {
		size_t room, take;

		if (!node->text)
			node->text = spare_block(DLP_HOLD_BACK + NODE_BLOCK);
		room = DLP_HOLD_BACK + NODE_BLOCK - node->length;
		take = bytes.length < room ? bytes.length : room;
		memcpy(node->text + node->length, bytes.at, take);
		node->length += take;
		bytes = view_make(bytes.at + take, bytes.length - take);
		if (node->length == DLP_HOLD_BACK + NODE_BLOCK) {
			node_look(node, false);
			if (!node->depth) {
				node->message->mark[1] = node->message->mark[0];
				node->message->mark[0] = node->message->fed;
			}
		}
	}
}

/* Findings */

static void digest_short(char out[17], struct view value)
{
	struct digest digest = digest_of(value);

	memcpy(out, digest.text, 16);
	out[16] = 0;
}

void dlp_finding_add(struct dlp_message *message, const struct dlp_finding *finding, struct view value)
{
	struct dlp_finding *place;
	char digest[17];

	message->touched = true;
	digest_short(digest, value);
	for (size_t i = 0; i < message->count; i++) {
		struct dlp_finding *old = &message->findings[i];

		if (strcmp(old->rule, finding->rule) != 0 || old->where != finding->where)
			continue;
		if (old->exact && finding->exact && old->from == finding->from) {
			old->to = finding->to > old->to ? finding->to : old->to;
			return;
		}
		if (!(old->exact && finding->exact) && (strcmp(old->digest, digest) == 0 || old->title == finding->title))
			return;
	}
	if (finding->action > message->action)
		message->action = finding->action;
	/* Only what is plain can be overwritten: elsewhere the message must not go as it is. */
	if (finding->action == DLP_REDACT && !finding->exact)
		message->action = DLP_BLOCK;
	if (message->count == DLP_FINDINGS_MAX) {
		if (finding->action > DLP_LOG)
			message->action = DLP_BLOCK;
		return;
	}
	if (!message->findings)
		message->findings = mem_new_array(DLP_FINDINGS_MAX, sizeof *message->findings);
	place = &message->findings[message->count++];
	*place = *finding;
	memcpy(place->digest, digest, sizeof digest);
	if (finding->action == DLP_REDACT && !finding->exact)
		place->action = DLP_BLOCK;
}

void dlp_finding_own(struct dlp_message *message, const char *rule, const char *title, enum dlp_action action, const char *view)
{
	struct dlp_finding finding = {.title = title, .where = message->feeding, .action = action, .view = view};

	(void)snprintf(finding.rule, sizeof finding.rule, "%s", rule);
	dlp_finding_add(message, &finding, view_of(rule));
}
