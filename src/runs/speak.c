/*
 * What is said in threads of outside services, as it is sent: what every service has in common. The words themselves are its own.
 *
 * Theory of operation. An effect of a service's kind is speech (thread.h). Some of it only sounds so: `open` fetches the item and begins
 * the run, `wake` goes on with one, `stop` and `end` end it, `decide` answers for a request that is held; these are done here, by whoever
 * sends, because what they need blocks.
 */
#include "base/scope.h"
#include "runs/runs_priv.h"
#include "runs/voice.h"

/* A thought in words of ours, put after the effect that they answer. */
static int think(struct speaking *speaking, const char *text, struct err *err)
{
	AUTO_FREE char *operation = text_format("%s/said", speaking->effect->operation);
	json_t *speech = json_pack("{s:s}", "say", "thought");
	AUTO_TX tx = {0};

	json_set_bytes(speech, "text", view_of(text));
	if (store_begin(speaking->runs->store, &tx, err)) {
		json_decref(speech);
		return -1;
	}
	return thread_say_in(speaking->runs, &tx, &speaking->thread, operation, false, speech, err) ? -1 : store_commit(&tx, err);
}

static int send_stop(struct speaking *speaking, struct err *err)
{
	AUTO_JSON speech = json_pack("{s:s, s:s}", "say", "response", "text", json_text(speaking->speech, "text", ""));

	if (thread_stop(speaking->runs, &speaking->thread, err))
		return -1;
	speaking->speech = speech;
	return voice_find(speaking->thread.kind)->say(speaking, err);
}

static int send_end(struct speaking *speaking, struct err *err)
{
	return thread_stop(speaking->runs, &speaking->thread, err);
}

static int send_wake(struct speaking *speaking, struct err *err)
{
	return thread_wake(speaking->runs, &speaking->thread, speaking->effect->operation, speaking->speech, err);
}

/* What waited may be over by now: then there is nothing to decide. */
static int send_decide(struct speaking *speaking, struct err *err)
{
	struct runs *runs = speaking->runs;
	const json_t *speech = speaking->speech;
	bool allow = json_flag(speech, "allow", false);
	struct err why = {0};

	if (!runs->options.approve || !speaking->thread.run)
		return 0;
	if (runs->options.approve(runs->options.self, speaking->thread.run, json_text(speech, "hold", ""), allow,
				  json_text(speech, "author", "somebody"), &why))
		return think(speaking, why.text, err);
	return think(speaking, allow ? "The request goes out, this once." : "The request is refused.", err);
}

static int repository_choose(struct speaking *speaking, const struct thread_item *item, char **repository, struct err *err)
{
	const struct voice *voice = voice_find(speaking->thread.kind);
	AUTO_JSON request = json_parse(view_of(speaking->thread.request), err);
	AUTO_CONNECTION connection = {0};

	if (!request || connection_load(speaking->runs, speaking->thread.connection, &connection, err))
		return -1;
	*repository = text_copy(json_text(request, "repository", NULL)); /* a person said it */
	if (*repository)
		return 0;
	if (thread_repository(speaking->runs, &connection, item, false, repository, err))
		return -1;
	if (*repository)
		return 0;
	if (voice->suggest && voice->suggest(speaking, repository, err))
		return -1;
	return *repository ? 0 : thread_repository(speaking->runs, &connection, item, true, repository, err);
}

static int send_open(struct speaking *speaking, struct err *err)
{
	AUTO_FREE char *repository = NULL;
	AUTO_ITEM item = {0};

	if (strcmp(speaking->thread.state, "opening") != 0)
		return 0;
	if (voice_find(speaking->thread.kind)->fetch(speaking, &item, err) ||
	    repository_choose(speaking, &item.item, &repository, err))
		return -1;
	return thread_begin(speaking->runs, speaking->thread.id, &item.item, repository, err);
}

/* What is done here; everything else is the service's. */
static const struct {
	const char *say;
	int (*send)(struct speaking *speaking, struct err *err);
} rows[] = {{"open", send_open}, {"wake", send_wake}, {"decide", send_decide}, {"stop", send_stop}, {"end", send_end}};

static int speak(struct speaking *speaking, const char *say, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].say, say) == 0)
			return rows[i].send(speaking, err);
	return voice_find(speaking->thread.kind)->say(speaking, err);
}

static int send_it(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_JSON speech = json_parse(effect->data, err);
	struct speaking speaking = {.runs = runs, .effect = effect, .speech = speech, .answer = answer};
	const char *say = json_text(speech, "say", "");
	int status = 0;

	if (!speech || thread_load(runs, json_text(speech, "thread", ""), &speaking.thread, err))
		return -1;
	if (!thread_is_silent(&speaking.thread, say))
		status = speak(&speaking, say, err);
	thread_fini(&speaking.thread);
	return status;
}

/* What could not be opened is said; whatever else is dead stays in the outbox, to be looked at. */
static int settled(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
		   const struct err *failure, struct err *err)
{
	AUTO_JSON speech = json_parse(effect->data, NULL);
	const char *say = json_text(speech, "say", "");
	AUTO_THREAD thread = {0};
	AUTO_FREE char *operation = NULL;
	json_t *words;

	(void)answer;
	if (!failure || (strcmp(say, "open") != 0 && strcmp(say, "wake") != 0))
		return 0;
	if (thread_read(tx, json_text(speech, "thread", ""), &thread, err) || thread_unopened_in(tx, &thread, err))
		return -1;
	operation = text_format("%s/failed", effect->operation);
	words = json_pack("{s:s, s:o}", "say", "error", "text", json_sprintf("I could not begin: %.400s", failure->text));
	return thread_say_in(runs, tx, &thread, operation, false, words, err);
}

const struct effect_kind effect_linear = {.name = "linear", .send = send_it, .settled = settled};
const struct effect_kind effect_jira = {.name = "jira", .send = send_it, .settled = settled};
const struct effect_kind effect_slack = {.name = "slack", .send = send_it, .settled = settled};
