/* Spending: what the models' traffic has cost, and what it may. */
#include "runs/egress_priv.h"

#include <fnmatch.h>

#include "base/log.h"
#include "base/scope.h"

static double price_of(const json_t *row, const char *key)
{
	const json_t *price = json_object_get(row, key);

	return json_is_number(price) ? json_number_value(price) : json_number_value(json_object_get(row, "input"));
}

/* Dollars a million tokens are millionths of a dollar a token. */
static int64_t cost_of(const struct egress *egress, const json_t *usage)
{
	static const char *const kinds[] = {"input", "output", "cache_read", "cache_write"};
	const char *model = json_text(usage, "model", "");
	double micro = 0;
	json_t *row;
	size_t i;

	json_array_foreach(egress->prices, i, row) {
		if (fnmatch(json_text(row, "model", ""), model, 0) != 0)
			continue;
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
			micro += (double)json_number(usage, kinds[k], 0) * price_of(row, kinds[k]);
		break;
	}
	return (int64_t)(micro + 0.5);
}

static void count_add(json_t *object, const char *key, int64_t more)
{
	(void)json_object_set_new(object, key, json_integer(json_number(object, key, 0) + more));
}

static void usage_add(json_t *object, const json_t *usage, int64_t micro)
{
	static const char *const kinds[] = {"input", "output", "cache_read", "cache_write"};

	count_add(object, "calls", 1);
	count_add(object, "micro", micro);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		count_add(object, kinds[i], json_number(usage, kinds[i], 0));
}

/* Tells the environments of a run whether it is over its budget. */
static void budget_tell(struct egress *egress, const char *run)
{
	AUTO_JSON environments = NULL;
	AUTO_BUF over = buf_new(256);
	const char *env;
	json_t *value;

	egress_lock(egress);
	environments = json_deep_copy(egress_part_of(egress_part_of(egress_part(egress, "runs"), run), "environments"));
	egress_over_text(egress_part_of(egress_part(egress, "runs"), run), &over);
	egress_unlock(egress);
	json_object_foreach(environments, env, value) {
		AUTO_JSON body = json_pack("{s:s, s:s?}", "env", env, "over", over.length ? over.at : NULL);
		struct err err = {0};
		AUTO_JSON answer = egress->ops.tell(egress->ops.self, EGRESS_TELL_BUDGET, body, EGRESS_GATEWAY_MS, &err);

		if (!answer && err.kind != ERR_NOT_FOUND)
			log_warn("budget of %s: %s", run, err.text);
	}
}

void egress_usage(struct egress *egress, const json_t *body)
{
	const char *run = egress_owner(json_text(body, "env", ""), json_text(body, "run", ""));
	const char *model = json_text(body, "model", "");
	int64_t micro = cost_of(egress, body);
	AUTO_BUF before = buf_new(256);
	AUTO_BUF after = buf_new(256);
	json_t *spending;

	if (!run[0])
		return;
	egress_lock(egress);
	spending = egress_part_of(egress_part(egress, "runs"), run);
	egress_over_text(spending, &before);
	usage_add(spending, body, micro);
	usage_add(egress_part_of(egress_part_of(spending, "models"), model[0] ? model : "?"), body, micro);
	if (json_flag(body, "estimated", false))
		(void)json_object_set_new(spending, "estimated", json_true());
	egress_over_text(spending, &after);
	egress_save_logged(egress);
	egress_unlock(egress);
	if (after.length && !before.length) {
		struct err err;

		(void)!egress->ops.record(egress->ops.self, EGRESS_RECORD_BUDGET, false, json_text(body, "env", ""),
					  json_text(body, "run", ""), "budget", "serve", after.at, &err);
		budget_tell(egress, run);
	}
}

static void spending_show(const json_t *from, json_t *to)
{
	static const char *const kinds[] = {"calls", "input", "output", "cache_read", "cache_write"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		(void)json_object_set_new(to, kinds[i], json_integer(json_number(from, kinds[i], 0)));
	(void)json_object_set_new(to, "spent_usd", json_real((double)json_number(from, "micro", 0) / 1e6));
}

json_t *egress_budget(struct egress *egress, const char *run)
{
	json_t *shown = json_object();
	json_t *models = json_object();
	const json_t *spending;
	int64_t budget;
	const char *model;
	json_t *value;

	egress_lock(egress);
	spending = json_object_get(egress_part(egress, "runs"), run);
	budget = json_number(spending, "budget_micro", 0);
	(void)json_object_set_new(shown, "run", json_string(run));
	spending_show(spending, shown);
	(void)json_object_set_new(shown, "budget_usd", budget ? json_real((double)budget / 1e6) : json_null());
	(void)json_object_set_new(shown, "estimated", json_boolean(json_flag(spending, "estimated", false)));
	json_object_foreach(json_member(spending, "models"), model, value) {
		json_t *row = json_object();

		spending_show(value, row);
		(void)json_object_set_new(models, model, row);
	}
	(void)json_object_set_new(shown, "models", models);
	(void)json_object_set(shown, "prices", egress->prices_about);
	egress_unlock(egress);
	return shown;
}

int egress_budget_set(struct egress *egress, const char *run, int64_t micro_usd, const char *by, struct err *err)
{
	AUTO_FREE char *set = text_format("set to %.2f USD", (double)micro_usd / 1e6);
	int result;

	if (egress->ops.record(egress->ops.self, EGRESS_RECORD_BUDGET, true, run[0] == 'e' ? run : NULL, run[0] == 'e' ? NULL : run,
			       "budget", by, set, err))
		return -1;
	egress_lock(egress);
	(void)json_object_set_new(egress_part_of(egress_part(egress, "runs"), run), "budget_micro", json_integer(micro_usd));
	result = egress_save(egress, err);
	egress_unlock(egress);
	if (!result)
		budget_tell(egress, run);
	return result;
}
