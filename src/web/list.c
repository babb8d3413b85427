/* What lists are asked for: where a page begins, how long it is, what is in it. */
#include <stdlib.h>

#include "base/nearest.h"
#include "base/scope.h"
#include "web/web_priv.h"

#define STATES_BYTES_MAX ((size_t)1024)

enum { WORD_STATE, WORD_REPOSITORY, WORD_AGENT, WORD_TEXT };

void list_words_free(struct list_words *words)
{
	for (size_t i = 0; i < ARRAY_LEN(words->texts); i++)
		free(words->texts[i]);
}

static int state_add(struct buf *out, struct view word, const char *const *states, struct err *err)
{
	struct nearest nearest = nearest_new(word);

	for (; *states; states++) {
		struct view stands_for;
		struct view name = view_cut(view_of(*states), '=', &stands_for);

		if (view_equal(name, word)) {
			buf_add_format(out, "%s%s", out->length ? "," : "", stands_for.length ? stands_for.at : *states);
			return 0;
		}
		if (!stands_for.length)
			nearest_offer(&nearest, *states);
	}
	return err_set(err, ERR_INVALID, "state: there is no `%.*s`%s%s%s", (int)(word.length > 40 ? 40 : word.length), word.at,
		       nearest.name ? ": did you mean `" : "", nearest.name ? nearest.name : "", nearest.name ? "`?" : "");
}

static int states_take(const char *const *states, char **text, struct err *err)
{
	AUTO_BUF out = buf_new(STATES_BYTES_MAX);

	if (!*text || !**text)
		return 0;
	for (struct view rest = view_of(*text); rest.length;)
		if (state_add(&out, view_trim(view_cut(rest, ',', &rest)), states, err))
			return -1;
	if (buf_finish(&out, err))
		return err_prefix(err, "state");
	free(*text);
	*text = buf_take(&out);
	return 0;
}

static int after_take(const struct call *call, int64_t *after, struct err *err)
{
	AUTO_FREE char *text = http_request_query(call->request, "after");
	uint64_t value = 0;

	if (text && (!view_to_u64(view_of(text), &value) || value > INT64_MAX))
		return err_set(err, ERR_INVALID, "after=%.40s: expected `next` of the page before", text);
	*after = (int64_t)value;
	return 0;
}

int list_words_take(const struct call *call, const char *const *states, struct list_words *words, struct err *err)
{
	static const char *const names[] = {
		[WORD_STATE] = "state", [WORD_REPOSITORY] = "repository", [WORD_AGENT] = "agent", [WORD_TEXT] = "text"};
	struct list_ask *ask = &words->ask;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		words->texts[i] = http_request_query(call->request, names[i]);
	if (states_take(states, &words->texts[WORD_STATE], err) || after_take(call, &ask->after, err) ||
	    request_query(call, "limit", LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, &ask->limit, err))
		return -1;
	if (!ask->limit)
		return err_set(err, ERR_INVALID, "limit=0: expected a number from 1");
	ask->state = words->texts[WORD_STATE];
	ask->repository = words->texts[WORD_REPOSITORY];
	ask->agent = words->texts[WORD_AGENT];
	ask->text = words->texts[WORD_TEXT];
	ask->asks = request_wants(call, "asks");
	return 0;
}
