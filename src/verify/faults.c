/* Of each way in which a run under faults can be worse than the base's, one judge; they go through both, entry by entry. */
#include "verify/faults.h"

#include <stdio.h>

#include "base/scope.h"
#include "verify/call.h"
#include "verify/effects.h"
#include "verify/finding.h"

#define TRIES_MAX 4            /* of one call, where it fails each time */
#define PATIENCE_FACTOR 2      /* this much longer than the base, and … */
#define PATIENCE_LEAST_MS 1500 /* … at least so much, is no noise */
#define WEIGHT_WORSE 95
#define WEIGHT_PATIENCE 85
#define WEIGHT_DOUBLED 97
#define WEIGHT_EFFECT_UNDER 90

/* Is the exchange on the seam that the entry was sent under a fault of? */
static bool is_on_broken(const json_t *entry, const json_t *exchange, const json_t *inside)
{
	const char *under = json_text(entry, "under", "");
	AUTO_BUF edge = buf_new(1024);

	call_edge(&edge, exchange, inside);
	return (call_is(exchange, "http") || call_is_statement(exchange)) && strncmp(under, edge.at, edge.length) == 0 &&
	       under[edge.length] == ' ';
}

/* Did it ask anything there at all? Who did not need the answer (it was kept from before) hides nothing. */
static bool met_fault(const json_t *entry, const json_t *inside)
{
	const json_t *seams = json_member(entry, "seams");

	for (size_t i = 0; i < json_array_size(seams); i++)
		if (is_on_broken(entry, json_array_get(seams, i), inside))
			return true;
	return false;
}

/* What is asked: "POST /v1/charges", "INSERT INTO orders …". */
static void asked_format(struct buf *out, const json_t *exchange)
{
	if (call_is(exchange, "http"))
		call_endpoint(out, exchange);
	else
		call_statement(out, exchange);
}

static bool has_failed(const json_t *exchange)
{
	int status = call_status(exchange);

	return json_text(exchange, "error", NULL) || (call_is(exchange, "http") && (status < 200 || status >= 500));
}

/* Calls that failed by themselves, or that who was called broke off: the fault answered none of them. */
static size_t failures_unasked(const json_t *entry)
{
	const json_t *seams = json_member(entry, "seams");
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(seams); i++) {
		const json_t *exchange = json_array_get(seams, i);

		count += call_is(exchange, "http") && call_status(exchange) >= 500 &&
			 !view_starts(view_of(json_text(exchange, "error", "")), VIEW("fault: "));
	}
	return count;
}

/* Was something that the fault met asked again, the very same, and answered? They are listed as they ended: who waited long comes after its next try. */
static bool tried_again(const json_t *entry, const json_t *inside)
{
	const json_t *seams = json_member(entry, "seams");
	AUTO_JSON failed = json_object(); /* {what is asked: when it failed first} */

	for (int again = 0; again <= 1; again++)
		for (size_t i = 0; i < json_array_size(seams); i++) {
			const json_t *exchange = json_array_get(seams, i);
			int64_t at = json_number(exchange, "seq", (int64_t)i);
			AUTO_BUF asked = buf_new(65536);

			if (!is_on_broken(entry, exchange, inside) || has_failed(exchange) == (again == 1))
				continue;
			asked_format(&asked, exchange);
			int64_t first = json_number(failed, asked.at ? asked.at : "", INT64_MAX);

			if (again && at > first)
				return true;
			if (!again && at < first)
				(void)json_object_set_new(failed, asked.at ? asked.at : "", json_integer(at));
		}
	return false;
}

/* Both did what was asked, or both did not, whatever they say of it. */
static bool end_alike(const json_t *a, const json_t *b)
{
	int left = call_status(a);
	int right = call_status(b);

	return (left > 0 && left < 400) == (right > 0 && right < 400) && !left == !right;
}

/* The entries of a finding on both sides, by its place in the runs. */
static bool entries_of(const json_t *finding, const json_t *base, const json_t *head, const json_t **a, const json_t **b)
{
	const json_t *left = json_member(base, "entries");
	const json_t *right = json_member(head, "entries");
	size_t at = (size_t)json_number(finding, "at", -1);

	*a = json_array_get(left, at);
	*b = json_array_get(right, at);
	return *a && *b;
}

/* A status under a fault is judged by whether it is worse; everything else stays as the comparison sees it. */
static void finding_weigh(const struct faults *faults, json_t *finding, const json_t *head)
{
	const char *kind = json_text(finding, "kind", "");
	const json_t *a;
	const json_t *b;
	int expected, got;
	bool hides;

	if (strcmp(kind, "status") != 0 || !entries_of(finding, faults->base, head, &a, &b) || !json_text(a, "under", NULL))
		return;
	expected = call_status(a);
	got = call_status(b);
	hides = expected >= 400 && got < 400 && !tried_again(b, faults->inside) &&
		(met_fault(b, faults->inside) || !met_fault(a, faults->inside));
	if ((expected < 500 && got >= 500) || hides) {
		(void)json_object_set_new(finding, "weight", json_integer(WEIGHT_WORSE));
		return;
	}
	/* Another error, or a retry that helps. */
	(void)json_object_set_new(finding, "severity", json_string(severity_name(got < 400 ? SEVERITY_INFO : SEVERITY_WARN)));
}

/* One entry of all runs. */
struct pair {
	const struct faults *faults;
	size_t at;
	const json_t *base, *again, *head;
	json_t *findings;
};

static void PRINTF_LIKE(4, 5) finding_make(const struct pair *pair, const char *kind, int weight, const char *format, ...)
{
	AUTO_BUF title = buf_new(16384);
	AUTO_BUF place = buf_new(8192);
	char text[400];
	va_list args;
	json_t *made;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	call_place(&place, pair->base);
	buf_add_format(&title, "%s: %s", place.at, text);
	made = finding_add(pair->findings,
			   &(struct finding){.gate = "faults",
					     .kind = kind,
					     .place = place.at,
					     .path = "",
					     .weight = weight,
					     .severity = SEVERITY_BLOCK,
					     .title = title.at},
			   NULL);
	if (!made)
		return;
	(void)json_object_set_new(made, "at", json_integer((json_int_t)pair->at));
	(void)json_object_set_new(made, "session", json_string(json_text(pair->base, "session", "")));
	(void)json_object_set_new(made, "entry", json_integer(json_number(pair->base, "index", 0)));
}

/* {what is asked: how many times, each as a new one} on the broken seam; what is the same when it is done twice (PUT, DELETE) is none of it. */
static json_t *news_of(const json_t *entry, const json_t *inside)
{
	const json_t *seams = json_member(entry, "seams");
	AUTO_JSON keys = json_object();
	json_t *news = json_object();

	for (size_t i = 0; i < json_array_size(seams); i++) {
		const json_t *exchange = json_array_get(seams, i);
		const json_t *request = json_member(exchange, "request");
		const char *method = json_text(request, "method", "");
		const char *key = call_header(request, "idempotency-key");
		AUTO_BUF asked = buf_new(65536);

		if (!call_is(exchange, "http") || !call_changes(exchange) || strcmp(method, "PUT") == 0 ||
		    strcmp(method, "DELETE") == 0 || !is_on_broken(entry, exchange, inside))
			continue;
		asked_format(&asked, exchange);
		AUTO_FREE char *known = text_format("%s\n%s", asked.at ? asked.at : "", key ? key : "");

		if (key && json_object_get(keys, known))
			continue;
		(void)json_object_set_new(keys, known, json_true());
		(void)json_object_set_new(news, asked.at ? asked.at : "",
					  json_integer(json_number(news, asked.at ? asked.at : "", 0) + 1));
	}
	return news;
}

/* What is asked for twice after an answer was lost is done twice, unless it goes by the same key. */
static void doubled_judge(const struct pair *pair)
{
	AUTO_JSON before_it = NULL;
	AUTO_JSON now = NULL;
	const char *asked;
	json_t *count;

	if (!view_ends(view_of(json_text(pair->base, "under", "")), VIEW("lost")))
		return;
	before_it = news_of(pair->base, pair->faults->inside);
	now = news_of(pair->head, pair->faults->inside);
	json_object_foreach(now, asked, count)
		if (json_integer_value(count) > 1 && json_integer_value(count) > json_number(before_it, asked, 0))
			finding_make(
				pair, "doubled", WEIGHT_DOUBLED,
				"asked for %lld times, each as a new one: what was done before the answer was lost is done again",
				(long long)json_integer_value(count));
}

/* The same answer, but other rows behind it. */
static void written_judge(const struct pair *pair)
{
	json_t *expected = json_member(pair->base, "written");
	json_t *got = json_member(pair->head, "written");
	AUTO_BUF was = buf_new(4096);
	AUTO_BUF is = buf_new(4096);

	if (!expected || !got || json_equal(expected, got) || !json_equal(expected, json_member(pair->again, "written")) ||
	    !end_alike(pair->base, pair->head) || (!call_status(pair->head) && tried_again(pair->head, pair->faults->inside)))
		return; /* the last: we left before it had been answered at the second try */
	json_format_sorted(&was, expected);
	json_format_sorted(&is, got);
	finding_make(pair, "rows", WEIGHT_EFFECT_UNDER, "rows written: %.150s instead of %.150s", is.at, was.at);
}

/* The request as it was recorded, on the base; NULL: it is not in the run. */
static const json_t *entry_whole(const json_t *entries, const json_t *under)
{
	for (size_t i = 0; i < json_array_size(entries); i++) {
		const json_t *entry = json_array_get(entries, i);

		if (!json_text(entry, "under", NULL) && !json_flag(entry, "in_passing", false) &&
		    strcmp(json_text(entry, "session", ""), json_text(under, "session", "")) == 0 &&
		    json_number(entry, "index", -1) == json_number(under, "index", -1))
			return entry;
	}
	return NULL;
}

/* It fails as before, and what it should only do when it succeeds is done. */
static void early_judge(const struct pair *pair)
{
	const json_t *entries = json_member(pair->faults->base, "entries");
	const json_t *whole = json_text(pair->base, "under", NULL) ? entry_whole(entries, pair->base) : NULL;
	AUTO_FREE char *name = NULL;

	if (!whole || call_status(whole) >= 400 || call_status(pair->base) < 400 || call_status(pair->head) < 400 ||
	    view_ends(view_of(json_text(pair->base, "under", "")), VIEW("lost"))) /* that call was carried out */
		return;
	name = effects_first_early(whole, pair->base, pair->again, pair->head, pair->faults->inside);
	if (name)
		finding_make(pair, "early-effect", WEIGHT_EFFECT_UNDER,
			     "answers %d, and yet %.150s is done, which the base only does when it succeeds",
			     call_status(pair->head), name);
}

/* While a seam fails all the time, somebody who tries again a few times waits between them, and comes to an end. */
static bool waits_between_tries(const json_t *entry, const json_t *inside)
{
	const json_t *seams = json_member(entry, "seams");
	size_t tries = 0;

	for (size_t i = 0; i < json_array_size(seams); i++)
		tries += is_on_broken(entry, json_array_get(seams, i), inside);
	return view_ends(view_of(json_text(entry, "under", "")), VIEW(ALL_THE_TIME)) && tries > 1 && tries <= TRIES_MAX;
}

static void patience_judge(const struct pair *pair)
{
	int64_t once = json_number(pair->base, "ms", 0);
	int64_t again = json_number(pair->again, "ms", 0);
	int64_t took = once > again ? once : again;
	int64_t takes = json_number(pair->head, "ms", 0);
	int status = call_status(pair->head);

	if (!json_text(pair->base, "under", NULL) || !call_status(pair->base) || takes <= PATIENCE_FACTOR * took ||
	    takes <= took + PATIENCE_LEAST_MS || (status && waits_between_tries(pair->head, pair->faults->inside)))
		return;
	finding_make(pair, "patience", WEIGHT_PATIENCE, "%s after %lld ms instead of %lld", status ? "answers" : "gives up",
		     (long long)takes, (long long)took);
}

/* What does not block was told by the replay already, but for how a request ends under a fault. */
static bool is_told(const json_t *finding)
{
	return !finding_is(finding, SEVERITY_BLOCK) && strcmp(json_text(finding, "kind", ""), "status") != 0;
}

/* Who tries again calls more often, up to some times, and while a seam fails all the time fails again: that is the fault's doing, and so is which of
 * several calls at once it meets. And what was only asked on the way to a fault is none. */
static bool is_of_the_fault(const struct faults *faults, const json_t *finding, const json_t *head)
{
	const json_t *entry = json_array_get(json_member(faults->base, "entries"), (size_t)json_number(finding, "at", -1));
	const json_t *other = json_array_get(json_member(head, "entries"), (size_t)json_number(finding, "at", -1));
	const char *kind = json_text(finding, "kind", "");

	if (strcmp(kind, "error-hidden") == 0 && json_text(entry, "under", NULL) && tried_again(other, faults->inside))
		return true;                       /* it helped itself in another way, by the same seam */
	if (json_flag(entry, "in_passing", false)) /* nobody waited for what came of it: its answer is a matter of speed */
		return true;
	if ((strcmp(kind, "outside-count") == 0 || strcmp(kind, "many-calls") == 0) && json_text(entry, "under", NULL))
		return json_number(finding, "got", 0) <= TRIES_MAX; /* what is done twice by it is found by its rows and its keys */
	return strcmp(kind, "call-fails") == 0 && json_text(entry, "under", NULL) &&
	       (view_ends(view_of(json_text(entry, "under", "")), VIEW(ALL_THE_TIME)) ||
		failures_unasked(other) <= failures_unasked(entry));
}

/* In an environment of its own, the fault itself is judged, and whether who met it is still there: what the rest answers is of other data. */
static void apart_judge(const struct faults *faults, json_t *findings, const json_t *head)
{
	for (size_t i = json_array_size(findings); i > 0; i--) {
		const json_t *finding = json_array_get(findings, i - 1);
		size_t at = (size_t)json_number(finding, "at", -1);
		const json_t *a = json_array_get(json_member(faults->base, "entries"), at);
		int status = call_status(json_array_get(json_member(head, "entries"), at));
		bool suffers = (strcmp(json_text(finding, "kind", ""), "status") == 0 ||
				strcmp(json_text(finding, "kind", ""), "no-answer") == 0) &&
			       call_status(a) > 0 && call_status(a) < 500 && (!status || status >= 500);

		if (json_number(a, "part", 0) >= (int64_t)faults->shared && !json_text(a, "under", NULL) && !suffers)
			(void)json_array_remove(findings, i - 1);
	}
}

static void pairs_judge(const struct faults *faults, const json_t *head, json_t *findings)
{
	const json_t *left = json_member(faults->base, "entries");
	const json_t *again = json_member(faults->again, "entries");
	const json_t *right = json_member(head, "entries");

	for (size_t i = 0; i < json_array_size(left) && i < json_array_size(right); i++) {
		const struct pair pair = {faults,  i, json_array_get(left, i), json_array_get(again, i), json_array_get(right, i),
					  findings};

		patience_judge(&pair);
		doubled_judge(&pair);
		written_judge(&pair);
		early_judge(&pair);
	}
}

json_t *faults_judge(const struct faults *faults, const struct comparison *comparison, const json_t *head)
{
	json_t *findings = comparison_judge(comparison, head);

	for (size_t i = json_array_size(findings); i > 0; i--)
		if (is_told(json_array_get(findings, i - 1)) || is_of_the_fault(faults, json_array_get(findings, i - 1), head))
			(void)json_array_remove(findings, i - 1);
	for (size_t i = 0; i < json_array_size(findings); i++)
		finding_weigh(faults, json_array_get(findings, i), head);
	pairs_judge(faults, head, findings);
	apart_judge(faults, findings, head);
	findings_sort(findings);
	return findings;
}

bool faults_part_ways(const struct faults *faults, size_t at, const json_t *head)
{
	const json_t *a = json_array_get(json_member(faults->base, "entries"), at);
	const json_t *b = json_array_get(json_member(head, "entries"), at);
	const json_t *c = json_array_get(json_member(faults->again, "entries"), at);
	bool writes_alike = json_equal(json_member(a, "written"), json_member(b, "written")) ||
			    !json_equal(json_member(a, "written"), json_member(c, "written")); /* then it is noise */

	return json_text(a, "under", NULL) && call_changes(a) &&
	       ((call_status(a) < 400) != (call_status(b) < 400) || !writes_alike);
}
