/*
 * The sending of effects.
 *
 * Theory of operation. A few threads share one outbox. One of them waits for commits; whoever found something to send wakes the next one
 * before it sends, so that a receiver that hangs holds up its own target only, and an idle server asks the store once for each commit.
 */
#include "runs/effect.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"

#define THREADS_MAX 8
#define IDLE_MS 1000
#define HOOK_KEEP_MS ((int64_t)24 * 3600 * 1000)
#define KEEP_MS (30 * HOOK_KEEP_MS)
#define SWEEP_MS ((int64_t)600 * 1000)

static const struct effect_kind *const kinds[] = {
	&effect_hook,  &effect_push,     &effect_pull,  &effect_check,    &effect_deployment, &effect_retire, &effect_reply,
	&effect_note,  &effect_progress, &effect_look,  &effect_words,    &effect_command,    &effect_intake, &effect_failure,
	&effect_fetch, &effect_judge,    &effect_sweep, &effect_pictures, &effect_linear,     &effect_jira,   &effect_slack};

struct effects {
	struct runs *runs;
	struct outbox outbox;
	pthread_mutex_t lock;
	pthread_cond_t found;
	pthread_t threads[THREADS_MAX];
	int thread_count;
	bool called;  /* one more thread is to look; under the lock, as the next */
	bool waiting; /* a thread waits for commits: the others for a call */
	bool ending;  /* atomic, too */
	int64_t swept_ms;
};

/* ---- putting ---- */

int effect_put(struct runs *runs, struct store_tx *tx, const struct effect *effect, struct err *err)
{
	AUTO_BUF text = buf_new(OUTBOX_BYTES_MAX);
	struct outbox_effect row = {.operation = effect->operation,
				    .tenant = effect->tenant,
				    .target = effect->target,
				    .kind = effect->kind,
				    .chatter = effect->chatter};

	json_format(&text, effect->data);
	if (buf_finish(&text, err))
		return err_prefix(err, "the effect %s", effect->operation);
	row.data = buf_view(&text);
	return outbox_put(tx, runs->options.world, &row, err);
}

char *effect_operation(const struct flow_visit *visit, const char *what)
{
	return text_format("%s/%s/%d/%s", visit->id, visit->step, visit->visit, what);
}

/* ---- the table ---- */

static const struct effect_kind *kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	return NULL;
}

static int failed(struct effects *effects, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	return answer->refused && err->kind == ERR_DENIED ? remote_refused(effects->runs, effect, answer, err) : -1;
}

static int send_by_kind(void *self, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	struct effects *effects = self;
	const struct effect_kind *kind = kind_find(effect->kind);
	AUTO_FREE char *renewed = preview_shown_renew(effects->runs, effect->data);
	struct outbox_effect now = *effect;

	if (!kind)
		return err_set(err, ERR_INVALID, "this version knows no effects of the kind `%.60s`", effect->kind);
	if (renewed)
		now.data = view_of(renewed);
	return kind->send(effects->runs, &now, answer, err) ? failed(effects, effect, answer, err) : 0;
}

static int happened_by_kind(void *self, const struct outbox_effect *effect, bool *did, struct outbox_answer *answer,
			    struct err *err)
{
	struct effects *effects = self;
	const struct effect_kind *kind = kind_find(effect->kind);

	*did = false;
	if (!kind || !kind->happened || !kind->happened(effects->runs, effect, did, answer, err))
		return 0;
	return failed(effects, effect, answer, err);
}

static int settled_by_kind(void *self, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
			   const struct err *failure, struct err *err)
{
	struct effects *effects = self;
	const struct effect_kind *kind = kind_find(effect->kind);

	if (!failure && remote_accepted_in(tx, effect, err))
		return -1;
	return kind && kind->settled ? kind->settled(effects->runs, tx, effect, answer, failure, err) : 0;
}

/* ---- sending ---- */

/* What is over is kept for a while so that one can look, and as long as its run goes on, which may put it again. */
static int sweep(struct effects *effects, struct err *err)
{
	static const char sql[] =
		"DELETE FROM outbox WHERE status <> 'queued' AND time_ms < ? AND (kind = 'hook' OR (time_ms < ? AND"
		" NOT EXISTS (SELECT 1 FROM run WHERE run.id = substr(operation, 1, length(run.id)) AND"
		" ended_ms IS NULL)))";
	int64_t now_ms = world_now_ms(effects->runs->options.world);
	AUTO_TX tx = {0};

	if (now_ms - __atomic_load_n(&effects->swept_ms, __ATOMIC_SEQ_CST) < SWEEP_MS)
		return 0;
	__atomic_store_n(&effects->swept_ms, now_ms, __ATOMIC_SEQ_CST);
	if (store_begin(effects->runs->store, &tx, err) ||
	    store_run(&tx, sql, VALUES(V(now_ms - HOOK_KEEP_MS), V(now_ms - KEEP_MS)), err))
		return -1;
	return store_commit(&tx, err);
}

int effects_work(struct runs *runs, bool *did, struct err *err)
{
	struct effects *effects = runs->effects;

	*did = false;
	if (plane_renew(flows_plane(runs->flow), err) || outbox_work(&effects->outbox, did, err))
		return -1;
	return sweep(effects, err);
}

static bool is_ending(struct effects *effects)
{
	return __atomic_load_n(&effects->ending, __ATOMIC_SEQ_CST);
}

/* One more thread looks. */
static void call_next(struct effects *effects)
{
	(void)pthread_mutex_lock(&effects->lock);
	effects->called = true;
	(void)pthread_cond_signal(&effects->found);
	(void)pthread_mutex_unlock(&effects->lock);
}

/* Until there is something to look for. The first one waits for the store, the others for a call. */
static void effects_wait(struct effects *effects, int64_t seen)
{
	bool first;

	(void)pthread_mutex_lock(&effects->lock);
	first = !effects->waiting;
	if (first)
		effects->waiting = true;
	while (!first && !effects->called && !is_ending(effects))
		(void)pthread_cond_wait(&effects->found, &effects->lock);
	if (!first)
		effects->called = false;
	(void)pthread_mutex_unlock(&effects->lock);
	if (!first)
		return;
	if (!is_ending(effects))
		store_wait(effects->runs->store, seen, IDLE_MS);
	(void)pthread_mutex_lock(&effects->lock);
	effects->waiting = false;
	(void)pthread_mutex_unlock(&effects->lock);
}

static int send_by_kind_called(void *self, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	call_next(self);
	return send_by_kind(self, effect, answer, err);
}

static void *effects_run(void *self)
{
	struct effects *effects = self;

	while (!is_ending(effects)) {
		int64_t seen = store_version(effects->runs->store);
		struct err err = {0};
		bool did = false;

		if (effects_work(effects->runs, &did, &err))
			log_warn("effects: %s", err.text);
		if (!did && !is_ending(effects))
			effects_wait(effects, seen);
	}
	return NULL;
}

int effects_open(struct runs *runs, int threads, struct err *err)
{
	struct effects *effects = mem_new(sizeof(*effects));

	effects->runs = runs;
	effects->outbox = (struct outbox){.store = runs->store,
					  .world = runs->options.world,
					  .plane = flows_plane(runs->flow),
					  .send = threads > 1 ? send_by_kind_called : send_by_kind,
					  .happened = happened_by_kind,
					  .settled = settled_by_kind,
					  .self = effects};
	(void)pthread_mutex_init(&effects->lock, NULL);
	(void)pthread_cond_init(&effects->found, NULL);
	runs->effects = effects;
	for (int i = 0; i < threads && i < THREADS_MAX; i++) {
		int failed = pthread_create(&effects->threads[i], NULL, effects_run, effects);

		if (failed)
			return err_errno(err, failed, "cannot start a thread");
		effects->thread_count++;
	}
	return 0;
}

void effects_close(struct runs *runs)
{
	struct effects *effects = runs->effects;

	if (!effects)
		return;
	(void)pthread_mutex_lock(&effects->lock);
	__atomic_store_n(&effects->ending, true, __ATOMIC_SEQ_CST);
	(void)pthread_cond_broadcast(&effects->found);
	(void)pthread_mutex_unlock(&effects->lock);
	store_nudge(runs->store);
	for (int i = 0; i < effects->thread_count; i++)
		(void)pthread_join(effects->threads[i], NULL);
	(void)pthread_cond_destroy(&effects->found);
	(void)pthread_mutex_destroy(&effects->lock);
	free(effects);
	runs->effects = NULL;
}
