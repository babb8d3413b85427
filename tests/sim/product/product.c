/*
 * sim-runs: `sim-runs [--seed N | --seeds COUNT [--from N]] [--trace]`. Each seed is a world of its own (product.h); a broken promise ends the
 * program with the seed, and the same seed breaks it again.
 */
#include "outside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "http/webhook.h"

#define SEEDS 500
#define SEEDS_LONG 10000
#define ACTIONS 350
#define CALM_ACTIONS 20000
#define ROUNDS 200      /* of reconcilers, at the end */
#define AGAIN_EVERY 100 /* seeds of which one is lived twice: it must go the same way */

struct world_sim sim;
static char root[64];

/* ---- chance, and the clock ---- */

/* splitmix64, Steele, Lea and Flood 2014 */
static uint64_t next_random(void)
{
	uint64_t mixed = sim.state += 0x9e3779b97f4a7c15;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
	return mixed ^ mixed >> 31;
}

uint64_t pick(uint64_t below)
{
	return next_random() % below;
}

bool chance(uint32_t n)
{
	return next_random() % n == 0 && !sim.calm;
}

static int64_t now(void *self)
{
	(void)self;
	return sim.clock_ms;
}

static void fill(void *self, void *at, size_t length)
{
	(void)self;
	for (size_t i = 0; i < length; i++)
		((unsigned char *)at)[i] = (unsigned char)next_random();
}

struct world sim_world(void)
{
	static const struct world_ops ops = {now, now, fill};

	return (struct world){&ops, NULL};
}

void broken(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fprintf(stderr, "seed %llu: ", (unsigned long long)sim.seed);
	(void)vfprintf(stderr, format, args);
	(void)fprintf(stderr, "\nagain: sim-runs --seed %llu\n", (unsigned long long)sim.seed);
	va_end(args);
	_Exit(1);
}

void note(const char *what)
{
	for (; *what; what++)
		sim.hash = (sim.hash ^ (unsigned char)*what) * 0x100000001b3;
}

/* ---- crashes ---- */

static bool fault(const char *name)
{
	struct plane_sim *plane = sim.current;

	if (!plane)
		return false;
	if (!plane->dead && plane->faults_in > 0 && --plane->faults_in == 0 && !sim.calm && !sim.immortal)
		plane->dead = true;
	return plane->dead || (strcmp(name, "store.committed") != 0 && chance(sim.immortal ? 150 : 1500));
}

int alive_check(struct plane_sim *plane, struct err *err)
{
	return plane && plane->dead ? err_set(err, ERR_CANCELLED, "the machine is off") : 0;
}

int maybe_fails(uint32_t n, const char *what, struct err *err)
{
	return chance(n) ? err_set(err, ERR_RETRY, "%s", what) : 0;
}

/* ---- a forge and a tracker that fail: before they did it, or after ---- */

#define FAULTY(n, call) (maybe_fails(n, "503", err) || (call) ? -1 : maybe_fails(n, "its answer was lost", err) ? -1 : 0)

static struct forge forge_of(void *self)
{
	return ((struct plane_sim *)self)->forge;
}

static json_t *forge_list_faulty(void *self, const struct list_ask *ask, struct err *err)
{
	return maybe_fails(40, "503", err) ? NULL : forge_list(forge_of(self), ask, err);
}

static json_t *forge_fetch_faulty(void *self, int64_t number, struct err *err)
{
	return maybe_fails(40, "503", err) ? NULL : forge_fetch(forge_of(self), number, err);
}

static int forge_upsert_faulty(void *self, const struct forge_pull *pull, int64_t *number, struct err *err)
{
	meanwhile(self);
	return FAULTY(25, forge_upsert(forge_of(self), pull, number, err));
}

static int forge_review_faulty(void *self, int64_t number, const char *author, const char *kind, const char *text,
			       const char *operation, struct err *err)
{
	return FAULTY(25, forge_review(forge_of(self), number, author, kind, text, operation, err));
}

static int forge_merge_faulty(void *self, int64_t number, struct git_hash *merged, struct err *err)
{
	return FAULTY(25, forge_merge(forge_of(self), number, merged, err));
}

static int forge_close_faulty(void *self, int64_t number, struct err *err)
{
	return FAULTY(25, forge_close(forge_of(self), number, err));
}

static struct tracker tracker_of(void *self)
{
	return ((struct plane_sim *)self)->tracker;
}

static json_t *tracker_list_faulty(void *self, const struct list_ask *ask, struct err *err)
{
	return maybe_fails(40, "503", err) ? NULL : tracker_list(tracker_of(self), ask, err);
}

static json_t *tracker_fetch_faulty(void *self, const char *item, struct err *err)
{
	return maybe_fails(40, "503", err) ? NULL : tracker_fetch(tracker_of(self), item, err);
}

static json_t *tracker_make_faulty(void *self, const char *repository, const char *title, const char *body, struct err *err)
{
	return tracker_make(tracker_of(self), repository, title, body, err);
}

static int tracker_claim_faulty(void *self, const char *item, const char *run, struct err *err)
{
	meanwhile(self);
	return FAULTY(25, tracker_claim(tracker_of(self), item, run, err));
}

static int tracker_post_faulty(void *self, const char *item, const char *author, const char *text, const char *operation,
			       struct err *err)
{
	return FAULTY(25, tracker_post(tracker_of(self), item, author, text, operation, err));
}

static int tracker_link_faulty(void *self, const char *item, int64_t pull, struct err *err)
{
	return FAULTY(25, tracker_link_pull(tracker_of(self), item, pull, err));
}

static int tracker_state_faulty(void *self, const char *item, const char *state, struct err *err)
{
	meanwhile(self);
	return FAULTY(25, tracker_set_state(tracker_of(self), item, state, err));
}

static const struct forge_ops forge_faulty = {"builtin",           forge_list_faulty,  forge_fetch_faulty, forge_upsert_faulty,
					      forge_review_faulty, forge_merge_faulty, forge_close_faulty};
static const struct tracker_ops tracker_faulty = {"builtin",           tracker_list_faulty,  tracker_fetch_faulty,
						  tracker_make_faulty, tracker_claim_faulty, tracker_post_faulty,
						  tracker_link_faulty, tracker_state_faulty};

/* ---- control planes ---- */

static void plane_close_sim(struct plane_sim *plane)
{
	struct plane_sim *at = sim.current;

	if (!plane->runs)
		return;
	sim.current = plane;
	plane->runs->forge = plane->forge;
	plane->runs->tracker = plane->tracker;
	runs_close(plane->runs);
	plane->runs = NULL;
	sim.current = at;
}

static void plane_open_sim(struct plane_sim *plane)
{
	AUTO_FREE char *repositories = text_format("%s/repos", root);
	struct runs_options options = {.state_dir = plane->state_dir,
				       .repositories = repositories,
				       .environments = (struct environments *)plane,
				       .pages_base = "http://assay",
				       .repository_max = sim.seed % 3 ? 0 : 2,
				       .world = sim_world()};
	const struct runs_inside inside = {sim.store, plane->name};
	struct plane_sim *at = sim.current;

	sim.current = plane;
	plane->dead = plane->lost = false;
	plane->faults_in = chance(2) ? 1 + (int64_t)pick(3000) : 0;
	if (runs_open_inside(&options, &inside, &plane->runs, NULL)) {
		plane->runs = NULL;
		plane->dead = true; /* it died while it began */
	} else {
		plane->forge = plane->runs->forge;
		plane->tracker = plane->runs->tracker;
		plane->runs->forge = (struct forge){&forge_faulty, plane};
		plane->runs->tracker = (struct tracker){&tracker_faulty, plane};
	}
	sim.current = at;
}

static void plane_begin_again(struct plane_sim *plane)
{
	if (sim.clock_ms < plane->away_until_ms || !(sim.calm || chance(6)))
		return;
	sim.crashes++;
	plane_close_sim(plane);
	plane_open_sim(plane);
}

/* Its power fails: what was on it is gone, and it is for a while. */
static void plane_lose(struct plane_sim *plane)
{
	plane->dead = plane->lost = true;
	plane->away_until_ms = sim.clock_ms + (int64_t)pick(200000);
	machine_lose(plane);
	sim.losses++;
}

static void complain(const struct err *err)
{
	if (err->kind == ERR_BROKEN || err->kind == ERR_INVALID)
		broken("%s", err->text);
}

static void plane_work(struct plane_sim *plane)
{
	struct plane_sim *at = sim.current;
	struct err err = {0};
	bool did;

	if (plane->dead || !plane->runs || plane->working)
		return;
	plane->working = true;
	sim.current = plane;
	switch (pick(9)) {
	case 0:
		if (runs_reconcile(plane->runs, &err))
			complain(&err);
		break;
	case 1:
		if (inboxes_work(plane->runs, &did, &err))
			complain(&err);
		break;
	case 2:
	case 3:
		if (effects_work(plane->runs, &did, &err))
			complain(&err);
		break;
	default:
		if (flows_work_on(plane->runs->flow, 1 + (int)pick(3), &did, &err))
			complain(&err);
		break;
	}
	plane->working = false;
	sim.current = at;
}

void meanwhile(struct plane_sim *plane)
{
	struct plane_sim *at = sim.current;
	bool was = plane && plane->working;

	if (!plane || !chance(8) || sim.depth > 1)
		return;
	sim.depth++;
	plane->working = true; /* a person's call is work, too */
	if (chance(12)) {      /* it hangs, past its lease */
		sim.clock_ms += PLANE_LIFE_MS + (int64_t)pick(60000);
		sim.hangs++;
	} else {
		sim.clock_ms += (int64_t)pick(3000);
	}
	for (int i = 0; i < PLANES; i++)
		for (uint64_t n = pick(8); n; n--)
			plane_work(&sim.planes[i]);
	if (chance(60) && !sim.immortal)
		plane->dead = true;
	plane->working = was;
	sim.depth--;
	sim.current = at;
}

/* ---- deliveries ---- */

static void mail_send(const char *delivery, char *body)
{
	if (sim.mail_count == MAILS_MAX) {
		free(body);
		return;
	}
	sim.mails[sim.mail_count] = (struct mail){.body = body, .due_ms = sim.clock_ms + (int64_t)pick(20000)};
	(void)snprintf(sim.mails[sim.mail_count].delivery, sizeof(sim.mails[0].delivery), "%s", delivery);
	sim.mail_count++;
}

struct sent {
	const char *id;
	char seconds[24];
	char signature[128];
};

static const char *sent_header(void *self, const char *name)
{
	struct sent *sent = self;

	return strcmp(name, "webhook-id") == 0          ? sent->id
	       : strcmp(name, "webhook-timestamp") == 0 ? sent->seconds
	       : strcmp(name, "webhook-signature") == 0 ? sent->signature
							: NULL;
}

static int deliver(struct plane_sim *plane, const struct mail *mail, struct err *err)
{
	struct sent sent = {.id = mail->delivery};
	struct webhook_request request = {sent_header, &sent, view_of(mail->body)};
	AUTO_BUF signature = buf_new(128);
	AUTO_FREE char *answer = NULL;

	(void)snprintf(sent.seconds, sizeof(sent.seconds), "%lld", (long long)(sim.clock_ms / 1000));
	if (webhook_sign(sim.secret, sent.id, sim.clock_ms / 1000, request.body, &signature, NULL))
		broken("cannot sign");
	(void)snprintf(sent.signature, sizeof(sent.signature), "%s", signature.at);
	return runs_delivery_take(plane->runs, sim.connection, &request, &answer, err);
}

/* One that is due, in any order; it is sent again until it is answered, and sometimes after that. */
static void mail_deliver(struct plane_sim *plane)
{
	struct mail *mail = sim.mail_count ? &sim.mails[pick((uint64_t)sim.mail_count)] : NULL;
	struct err err = {0};

	if (!mail || mail->due_ms > sim.clock_ms || (mail->answered && !chance(8)))
		return;
	sim.resent += mail->answered;
	sim.current = plane;
	if (!deliver(plane, mail, &err)) {
		if (!chance(6)) /* else the answer is lost */
			mail->answered = true;
	} else if (err.kind != ERR_RETRY && err.kind != ERR_CANCELLED) {
		broken("the delivery %s is refused: %s", mail->delivery, err.text);
	}
	mail->due_ms = sim.clock_ms + (int64_t)pick(30000);
	sim.current = NULL;
}

/* ---- people ---- */

static bool run_pick(struct run_id *id, int64_t *pull, char state[16])
{
	int64_t count = stored("SELECT count(*) FROM run", NO_VALUES);
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (!count || store_begin(sim.store, &tx, NULL) ||
	    store_query(&tx, &rows, "SELECT id, coalesce(pull, 0), state FROM run ORDER BY seq LIMIT 1 OFFSET ?",
			VALUES(V((int64_t)pick((uint64_t)count))), NULL) ||
	    !store_rows_next(&rows))
		return false;
	(void)snprintf(id->text, sizeof(id->text), "%s", store_rows_text(&rows, 0));
	*pull = store_rows_number(&rows, 1);
	(void)snprintf(state, 16, "%s", store_rows_text(&rows, 2));
	return true;
}

void stop_note(const char *what)
{
	if (sim.stop_count < (int)ARRAY_LEN(sim.stops))
		(void)snprintf(sim.stops[sim.stop_count++], ID_TEXT_MAX, "%s", what);
}

static void say_by_mail(const char *run, const char *type)
{
	AUTO_FREE char *delivery = text_format("%s-%d", type, sim.mail_count);

	mail_send(delivery, text_format("{\"type\":\"%s\",\"data\":{\"run\":\"%s\",\"text\":\"msg-%d.\",\"author\":\"ann\"}}", type,
					run, sim.mail_count));
}

static void person_acts(struct plane_sim *plane)
{
	AUTO_FREE char *text = text_format("msg-%llu.", (unsigned long long)pick(1000000));
	AUTO_JSON merged = NULL;
	struct err err = {0};
	struct run_id id;
	char state[16];
	int64_t pull;
	int failed = 0;

	if (!run_pick(&id, &pull, state))
		return;
	sim.current = plane;
	switch (pick(16)) {
	case 0:
		if (sim.stop_count < (int)ARRAY_LEN(sim.stops) - 1) {
			stop_note(id.text);
			if (chance(2))
				say_by_mail(id.text, "run.stop");
			else
				failed = runs_stop(plane->runs, id, &err);
		}
		break;
	case 1:
	case 2:
		if (strcmp(state, "failed") == 0 || strcmp(state, "stopped") == 0)
			failed = runs_retry(plane->runs, id, &err);
		break;
	case 3:
	case 4:
		if (pull && strcmp(state, "review") == 0)
			merged = runs_pull_merge(plane->runs, pull, "ann", chance(2), &err);
		break;
	case 5:
		if (pull && chance(3))
			failed = runs_pull_close(plane->runs, pull, &err);
		break;
	case 6:
	case 7:
		if (pull)
			failed = runs_pull_review(plane->runs, pull, "ann", chance(2) ? "changes" : "comment", text, &err);
		break;
	case 8:
	case 9:
		say_by_mail(id.text, "run.message");
		break;
	default:
		failed = runs_message(plane->runs, id, "ann", text, &err);
		break;
	}
	if (failed && err.kind == ERR_BROKEN)
		complain(&err);
	sim.current = NULL;
}

/* ---- one world ---- */

static void action(void)
{
	struct plane_sim *plane = &sim.planes[pick(PLANES)];

	sim.clock_ms += 1 + (int64_t)pick(1000);
	sim.current = NULL;
	if (plane->dead || !plane->runs) {
		plane_begin_again(plane);
		return;
	}
	if (plane->faults_in == 0 && chance(60))
		plane->faults_in = 1 + (int64_t)pick(200);
	if (chance(250) && !sim.immortal) {
		plane_lose(plane);
		return;
	}
	mail_deliver(plane);
	if (!plane->dead)
		outside_deliver(plane);
	if (chance(10) && !plane->dead)
		person_acts(plane);
	else if (chance(12))
		outside_act();
	sim.current = NULL;
	plane_work(plane);
}

/* Why a world goes on; for the one who mends it. */
static const char *what_waits(void)
{
	static char text[1200];
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	(void)snprintf(text, sizeof(text), outside_is_over() ? "letters" : "webhooks");
	if (!store_begin(sim.store, &tx, NULL) &&
	    !store_query(
		    &tx, &rows,
		    "SELECT 'run ' || id || ' in ' || step || ': ' || coalesce(error, '') FROM flow WHERE status IN ('ready', 'waiting')"
		    " UNION ALL SELECT kind || ' of ' || source FROM inbox WHERE status = 'new' UNION ALL"
		    " SELECT operation || ': ' || coalesce(error, '') FROM outbox WHERE status = 'queued' AND chatter = 0",
		    NO_VALUES, NULL) &&
	    store_rows_next(&rows))
		(void)snprintf(text, sizeof(text), "%s", store_rows_text(&rows, 0));
	return text;
}

static bool is_over(void)
{
	for (int i = 0; i < sim.mail_count; i++)
		if (!sim.mails[i].answered)
			return false;
	return outside_is_over() &&
	       !stored("SELECT (SELECT count(*) FROM flow WHERE status IN ('ready', 'waiting')) +"
		       " (SELECT count(*) FROM inbox WHERE status = 'new') + (SELECT count(*) FROM outbox WHERE status = 'queued' AND"
		       " NOT (chatter = 1 AND kind IN ('forge.look', 'forge.sweep')))", /* those come again and again */
		       NO_VALUES);
}

static void merge_by_page(struct plane_sim *plane, int64_t pull)
{
	struct err err = {0};
	AUTO_JSON merged = runs_pull_merge(plane->runs, pull, "ann", true, &err);

	if (!merged)
		sim.refusal = err;
}

/* What waits for a person is merged. */
static void merge_what_waits(struct plane_sim *plane)
{
	AUTO_JSON pulls = json_array();
	size_t index;
	json_t *pull;

	if (plane->dead || !plane->runs)
		return;
	if (outside.github)
		github_ready();
	{
		AUTO_TX tx = {0};
		AUTO_ROWS rows = {0};

		if (store_begin(sim.store, &tx, NULL) ||
		    store_query(&tx, &rows,
				"SELECT pull.number FROM pull JOIN flow ON flow.id = pull.run WHERE flow.step = 'review' AND"
				" flow.status = 'waiting' AND pull.state = 'open'",
				NO_VALUES, NULL))
			broken("the store does not answer");
		while (store_rows_next(&rows))
			(void)json_array_append_new(pulls, json_integer(store_rows_number(&rows, 0)));
	}
	sim.current = plane;
	json_array_foreach(pulls, index, pull)
		merge_by_page(plane, json_integer_value(pull));
	sim.current = NULL;
}

static void connection_make(void)
{
	static const unsigned char random[32] = {1};
	AUTO_BUF secret = buf_new(64);
	AUTO_JSON request = NULL;
	AUTO_JSON made = NULL;
	AUTO_JSON hook = NULL;

	webhook_secret_format(random, &secret);
	(void)snprintf(sim.secret, sizeof(sim.secret), "%s", secret.at);
	request = json_pack("{s:s, s:{s:s}}", "kind", "standard", "secrets", "webhook_secret", sim.secret);
	made = runs_connection_make(sim.planes[0].runs, request, NULL);
	hook = runs_hook_make(sim.planes[0].runs, "http://receiver/", NULL, NULL);
	if (!made || !hook)
		broken("the world does not begin");
	(void)snprintf(sim.connection, sizeof(sim.connection), "%s", json_text(made, "id", ""));
}

/* A world finds nothing of the one before: a seed alone goes the way that it goes among others. */
static void world_begin(uint64_t seed)
{
	AUTO_FREE char *repository = text_format("%s/repos/shop.git", root);
	struct err err = {0};

	memset(&sim, 0, sizeof(sim));
	sim.seed = sim.state = seed;
	sim.clock_ms = 1000000;
	sim.immortal = seed % 4 == 0;
	sim.candidates = seed % 5 ? 1 : 2 + (int)(seed % 2);
	fault_hook = fault;
	git_reset();
	if (file_make_dirs(repository, 0700, &err))
		broken("%s", err.text);
	if (store_open(":memory:", &sim.store, &err))
		broken("%s", err.text);
	sim.calm = true;
	for (int i = 0; i < PLANES; i++) {
		(void)snprintf(sim.planes[i].name, sizeof(sim.planes[i].name), "p%d", i);
		(void)snprintf(sim.planes[i].state_dir, sizeof(sim.planes[i].state_dir), "%s/p%d", root, i);
		plane_open_sim(&sim.planes[i]);
	}
	connection_make();
	outside_begin();
	sim.calm = false;
	for (int i = 0; i < ISSUES; i++) {
		AUTO_FREE char *delivery = text_format("start-%d", i);

		if (outside_give(i))
			continue;
		mail_send(
			delivery,
			text_format(
				"{\"type\":\"run.start\",\"data\":{\"repository\":\"shop\",\"title\":\"mail %d\",\"priority\":%d%s}}",
				i, (int)pick(3), seed % 3 == 1 && i % 2 ? ",\"repositories\":[\"shop\",\"lib\"]" : ""));
	}
}

static void world_end(void)
{
	for (int i = 0; i < PLANES; i++)
		plane_close_sim(&sim.planes[i]);
	store_close(sim.store);
	outside_end();
	for (int i = 0; i < sim.mail_count; i++)
		free(sim.mails[i].body);
	free(sim.prompts);
	if (file_remove_tree(root, NULL))
		broken("%s cannot be removed", root);
}

static uint64_t world_live(uint64_t seed)
{
	world_begin(seed);
	for (int i = 0; i < ACTIONS; i++) {
		action();
		invariants();
	}
	/* Nothing fails from here on, and what waits is merged: all must come to an end. */
	sim.calm = true;
	for (int i = 0; !is_over(); i++) {
		if (i == CALM_ACTIONS)
			broken("it does not come to an end (%s; %s)", what_waits(), sim.refusal.text);
		if (i % 40 == 0)
			merge_what_waits(&sim.planes[pick(PLANES)]);
		action();
		sim.clock_ms += 1000;
	}
	for (int i = 0; i < ROUNDS; i++) { /* reconcilers come round */
		action();
		sim.clock_ms += 2000;
	}
	sim.current = NULL;
	end_check();
	world_end();
	return sim.hash ^ sim.state ^ (uint64_t)sim.clock_ms;
}

int main(int argc, char **argv)
{
	uint64_t from = 1;
	uint64_t count = getenv("ASSAY_LONG") ? SEEDS_LONG : SEEDS;
	int64_t crashes = 0, losses = 0, hangs = 0, turns = 0, resent = 0, doubles = 0;

	log_init("sim", LOG_LEVEL_ERROR);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--trace") == 0) {
			log_init("sim", LOG_LEVEL_DEBUG);
		} else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
			from = strtoull(argv[++i], NULL, 10);
			count = 1;
		} else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0) {
			count = strtoull(argv[++i], NULL, 10);
		} else if (i + 1 < argc && strcmp(argv[i], "--from") == 0) {
			from = strtoull(argv[++i], NULL, 10);
		} else {
			(void)fprintf(stderr, "usage: sim-runs [--seed N | --seeds COUNT [--from N]] [--trace]\n");
			return 2;
		}
	}
	(void)snprintf(root, sizeof(root), "/tmp/assay-sim-XXXXXX");
	if (!mkdtemp(root))
		return 1;
	for (uint64_t seed = from; seed < from + count; seed++) {
		uint64_t hash = world_live(seed);

		if (seed % AGAIN_EVERY == 0 && world_live(seed) != hash)
			broken("the same seed went another way");
		crashes += sim.crashes;
		losses += sim.losses;
		hangs += sim.hangs;
		turns += sim.turns;
		resent += sim.resent;
		doubles += sim.call_doubles;
	}
	printf("%llu worlds: %lld crashes, %lld machines lost, %lld hangs past the lease, %lld turns of agents, %lld deliveries and %lld "
	       "webhooks sent again\n",
	       (unsigned long long)count, (long long)crashes, (long long)losses, (long long)hangs, (long long)turns,
	       (long long)resent, (long long)doubles);
	return 0;
}
