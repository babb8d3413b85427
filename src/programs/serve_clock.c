/* The thread that looks at the facts every second, ends an idle server, and reads the configuration again when it is told to. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "audit/audit.h"
#include "base/log.h"
#include "base/scope.h"
#include "programs/config.h"
#include "programs/manager.h"
#include "programs/serve_priv.h"
#include "runs/egress.h"

#define INDEX_ROWS_A_TICK 20000
#define TICK_MS 1000
#define RECONCILE_TICKS 10
#define RETAIN_TICKS 600
#define IDLE_TICKS 10
#define KEEP_INBOX_MS ((int64_t)30 * 24 * 3600 * 1000)

/* A child that nobody waits for (its parent died, we are the subreaper) is taken when it is seen dead twice, a reconcile apart. */
static void orphans_reap(pid_t *seen)
{
	siginfo_t info = {0};

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid) {
		*seen = 0;
		return;
	}
	if (info.si_pid == *seen)
		(void)waitpid(info.si_pid, NULL, WNOHANG);
	*seen = info.si_pid;
}

static bool idle(struct serve *serve)
{
	int unfinished = 0;
	int active = 0;
	AUTO_JSON environments = NULL;

	if (web_clients(serve->web))
		return false;
	runs_count(serve->runs, &unfinished, &active);
	if (unfinished)
		return false;
	environments = environment_list(serve->environments, NULL);
	return environments && !json_array_size(environments);
}

static bool tick_wait(struct serve *serve)
{
	struct timespec until;
	bool ending;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += TICK_MS / 1000;
	(void)pthread_mutex_lock(&serve->lock);
	while (!serve->ending && !serve->reload_wanted)
		if (pthread_cond_timedwait(&serve->ended, &serve->lock, &until))
			break;
	ending = serve->ending;
	(void)pthread_mutex_unlock(&serve->lock);
	return ending;
}

/* ---- the configuration, again ---- */

struct web_rates rates_wanted(void)
{
	return (struct web_rates){config_number("rate-token", WEB_RATE_TOKEN), config_number("rate-address", WEB_RATE_ADDRESS),
				  config_number("rate-refused", WEB_RATE_REFUSED)};
}

struct runs_keep keep_wanted(void)
{
	return (struct runs_keep){config_number("keep-runs", 0), config_number("keep-events", 0),
				  config_number("keep-inbox", KEEP_INBOX_MS)};
}

/* What need not wait for the next start. */
static bool counts_now(const char *key)
{
	static const char *const now[] = {"rate-token",  "rate-address", "rate-refused", "keep-runs",
					  "keep-events", "keep-inbox",   "keep-ledger",  "log"};

	for (size_t i = 0; i < ARRAY_LEN(now); i++)
		if (strcmp(now[i], key) == 0)
			return true;
	return false;
}

/* No connection and no run is touched. */
json_t *serve_reload(void *self, struct err *err)
{
	struct serve *serve = self;
	AUTO_JSON later = json_array();
	AUTO_JSON keys = NULL;
	AUTO_JSON changed = json_array();
	AUTO_FREE char *level = NULL;
	size_t i;
	json_t *key;

	if (egress_policy_reload(serve->egress.egress, true, err))
		return NULL;
	keys = config_reload(err);
	if (!keys)
		return NULL;
	web_rates_set(serve->web, rates_wanted());
	runs_keep_set(serve->runs, keep_wanted());
	level = config_text("log");
	log_level_set(level ? level : "info");
	json_array_foreach(keys, i, key)
		(void)json_array_append(counts_now(json_string_value(key)) ? changed : later, key);
	log_info("the configuration is read again: %zu keys count from now on, %zu from the next start", json_array_size(changed),
		 json_array_size(later));
	return json_pack("{s:O, s:O}", "changed", changed, "later", later);
}

static void reload_if_wanted(struct serve *serve)
{
	struct err err = {0};
	AUTO_JSON done = NULL;
	bool wanted;

	(void)pthread_mutex_lock(&serve->lock);
	wanted = serve->reload_wanted;
	serve->reload_wanted = false;
	(void)pthread_mutex_unlock(&serve->lock);
	if (!wanted)
		return;
	manager_tell("RELOADING=1");
	done = serve_reload(serve, &err);
	if (!done)
		log_error("the configuration is not read again, and stays as it was: %s", err.text);
	manager_tell("READY=1");
}

/* When it cannot be told, it does. */
static bool environment_lives(void *self, const char *env)
{
	const struct serve *serve = self;
	struct env_id id;
	struct err err = {0};

	return !environment_find(serve->environments, env, &id, &err) || err.kind != ERR_NOT_FOUND;
}

static void *ticker_main(void *self)
{
	struct serve *serve = self;
	pid_t orphan = 0;
	int idle_ticks = 0;

	for (int tick = 1; !tick_wait(serve); tick++) {
		struct err err = {0};

		reload_if_wanted(serve);
		(void)!egress_policy_reload(serve->egress.egress, false, NULL); /* says itself what is wrong */
		if (serve->relay)
			serve_relay_look(serve->relay);
		if (serve->front)
			serve_front_look(serve->front, serve->environments);
		if (audit_index(serve->audit, INDEX_ROWS_A_TICK, &err))
			log_warn("the ledger's index: %s", err.text);
		if (tick % RECONCILE_TICKS == 0) {
			if (environment_reconcile(serve->environments, &err))
				log_warn("reconcile: %s", err.text);
			if (runs_reconcile(serve->runs, &err))
				log_warn("reconcile: %s", err.text);
			egress_reconcile(serve->egress.egress, serve_gateway_since_ms(serve->gateway), environment_lives, serve);
			orphans_reap(&orphan);
		}
		if (tick % RETAIN_TICKS == 0 && audit_retain(serve->audit, config_number("keep-ledger", 0), &err))
			log_warn("the ledger is kept: %s", err.text);
		if (!serve->exit_when_idle)
			continue;
		idle_ticks = idle(serve) ? idle_ticks + 1 : 0;
		if (idle_ticks >= IDLE_TICKS) {
			log_info("nothing to do: ending");
			serve_end(serve);
			break;
		}
	}
	return NULL;
}

int ticker_start(struct serve *serve, struct err *err)
{
	int problem = pthread_create(&serve->ticker, NULL, ticker_main, serve);

	if (problem)
		return err_errno(err, problem, "cannot start a thread");
	serve->ticking = true;
	return 0;
}
