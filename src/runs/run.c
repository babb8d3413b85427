/* One run as it is stored. */
#include <stdlib.h>

#include "base/scope.h"
#include "runs/runs_priv.h"

enum column_kind {
	COLUMN_TEXT,
	COLUMN_LONG, /* a text that may be long, which no list has */
	COLUMN_NUMBER,
	COLUMN_REAL
};

#define TEXT(name)                                             \
	{                                                      \
#name, COLUMN_TEXT, offsetof(struct run, name) \
	}
#define LONG(name)                                             \
	{                                                      \
#name, COLUMN_LONG, offsetof(struct run, name) \
	}
#define NUMBER(name)                                             \
	{                                                        \
#name, COLUMN_NUMBER, offsetof(struct run, name) \
	}
#define REAL(name)                                             \
	{                                                      \
#name, COLUMN_REAL, offsetof(struct run, name) \
	}

/* The table `run`, in the order of its columns. */
static const struct {
	const char *name;
	enum column_kind kind;
	size_t offset;
} columns[] = {
	NUMBER(seq),
	TEXT(id),
	TEXT(repository),
	NUMBER(issue),
	TEXT(title),
	TEXT(state),
	NUMBER(state_since_ms),
	TEXT(base_wanted),
	TEXT(base),
	TEXT(head),
	TEXT(branch),
	TEXT(environment),
	NUMBER(pull),
	TEXT(preview),
	TEXT(verdict),
	TEXT(agent),
	TEXT(agent_config),
	NUMBER(attempt),
	NUMBER(attempts),
	NUMBER(created_ms),
	NUMBER(ended_ms),
	TEXT(error),
	NUMBER(turn),
	TEXT(reason),
	LONG(prompt),
	NUMBER(pending),
	LONG(history),
	TEXT(session),
	TEXT(summary),
	NUMBER(unchanged),
	LONG(blocking),
	LONG(report),
	TEXT(judged),
	TEXT(published),
	TEXT(outcome),
	TEXT(plan),
	NUMBER(input_tokens),
	NUMBER(output_tokens),
	REAL(cost_usd),
	REAL(session_cost_usd),
	NUMBER(session_input_tokens),
	NUMBER(session_output_tokens),
	NUMBER(turns),
	NUMBER(agent_ms),
	NUMBER(cost_question),
	REAL(cost_allowed),
	TEXT(race),
	TEXT(race_winner),
	NUMBER(judges),
	NUMBER(declarations),
	NUMBER(judged_declarations),
	TEXT(joined),
	TEXT(exported),
	TEXT(merging),
};

void run_fini(struct run *run)
{
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		if (columns[i].kind == COLUMN_TEXT || columns[i].kind == COLUMN_LONG)
			free(*(char **)((char *)run + columns[i].offset));
	memset(run, 0, sizeof(*run));
}

void run_row(struct store_rows *rows, struct run *run)
{
	run_fini(run);
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		char *place = (char *)run + columns[i].offset;

		switch (columns[i].kind) {
		case COLUMN_TEXT:
		case COLUMN_LONG:
			*(char **)place = text_copy(store_rows_text(rows, (int)i));
			break;
		case COLUMN_NUMBER:
			*(int64_t *)place = store_rows_number(rows, (int)i);
			break;
		case COLUMN_REAL:
			*(double *)place = store_rows_real(rows, (int)i);
			break;
		}
	}
}

static void select_add(struct buf *sql, bool all)
{
	buf_add_text(sql, "SELECT ");
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		buf_add_format(sql, "%s%s", i ? ", " : "", all || columns[i].kind != COLUMN_LONG ? columns[i].name : "NULL");
	buf_add_text(sql, " FROM run");
}

void run_list_init(struct list_sql *list)
{
	AUTO_BUF sql = buf_new(4096);

	select_add(&sql, false);
	list_init(list, sql.at);
}

bool run_is_over(const struct run *run)
{
	return strcmp(run->state, "done") == 0 || strcmp(run->state, "failed") == 0 || strcmp(run->state, "stopped") == 0;
}

int run_read(struct store_tx *tx, const char *id, struct run *run, struct err *err)
{
	AUTO_BUF sql = buf_new(4096);
	AUTO_ROWS rows = {0};

	select_add(&sql, true);
	buf_add_text(&sql, " WHERE id = ?");
	if (store_query(tx, &rows, sql.at, VALUES(V(id)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err) ? -1 : err_set(err, ERR_NOT_FOUND, "no run %s", id);
	run_row(&rows, run);
	return 0;
}

int run_load(struct runs *runs, const char *id, struct run *run, struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin(runs->store, &tx, err) ? -1 : run_read(&tx, id, run, err);
}

int run_write(struct store_tx *tx, const char *id, const char *set, const struct store_value *values, size_t count, struct err *err)
{
	AUTO_FREE char *sql = text_format("UPDATE run SET %s WHERE id = ?", set);
	AUTO_FREE struct store_value *all = mem_new_array(count + 1, sizeof(*all));

	if (count)
		memcpy(all, values, count * sizeof(*all));
	all[count] = V(id);
	return store_run(tx, sql, all, count + 1, err);
}

int run_store(struct runs *runs, const char *id, const char *set, const struct store_value *values, size_t count, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || run_write(&tx, id, set, values, count, err))
		return -1;
	return store_commit(&tx, err);
}

int step_store(struct runs *runs, const struct flow_visit *visit, const char *set, const struct store_value *values, size_t count,
	       struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || flow_visit_held(&tx, visit, err) ||
	    run_write(&tx, visit->id, set, values, count, err))
		return -1;
	return store_commit(&tx, err);
}

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *usage_json(const struct run *run)
{
	json_t *usage = json_object();

	(void)json_object_set_new(usage, "input_tokens", json_integer(run->input_tokens));
	(void)json_object_set_new(usage, "output_tokens", json_integer(run->output_tokens));
	(void)json_object_set_new(usage, "cost_usd", json_real(run->cost_usd));
	(void)json_object_set_new(usage, "turns", json_integer(run->turns));
	(void)json_object_set_new(usage, "agent_ms", json_integer(run->agent_ms));
	return usage;
}

char *preview_url_now(struct runs *runs, const char *environment)
{
	struct env_id env;

	return env_id_parse(view_of(environment ? environment : ""), &env, NULL)
		       ? NULL
		       : environment_preview_url(runs->options.environments, env);
}

void preview_now(struct runs *runs, json_t *item)
{
	AUTO_FREE char *url = preview_url_now(runs, json_text(item, "environment", NULL));

	(void)json_object_set_new(item, "preview", text_or_null(url));
}

int run_preview_renew(struct runs *runs, struct run *run, struct err *err)
{
	AUTO_FREE char *now = preview_url_now(runs, run->environment);

	if (!now || (run->preview && strcmp(now, run->preview) == 0))
		return 0;
	if (run_store(runs, run->id, "preview = ?", VALUES(V((const char *)now)), err))
		return -1;
	free(run->preview);
	run->preview = TAKE(now);
	return 0;
}

void preview_shown_add(json_t *data, const char *environment, const char *preview)
{
	if (environment && preview)
		(void)json_object_set_new(data, "shows", json_pack("{s:s, s:s}", "environment", environment, "preview", preview));
}

char *preview_shown_renew(struct runs *runs, struct view data)
{
	AUTO_JSON parsed = view_find(data, VIEW("\"shows\"")) >= 0 ? json_parse(data, NULL) : NULL;
	const json_t *shows = json_member(parsed, "shows");
	const char *posted = json_text(shows, "preview", "");
	AUTO_FREE char *now = *posted ? preview_url_now(runs, json_text(shows, "environment", NULL)) : NULL;
	AUTO_BUF out = buf_new(SIZE_MAX / 4);

	if (!now || strcmp(now, posted) == 0)
		return NULL;
	buf_add_replaced(&out, data, view_of(posted), view_of(now));
	return buf_take(&out);
}

json_t *run_json(struct runs *runs, struct store_tx *tx, const struct run *run, struct err *err)
{
	json_t *question = NULL;
	AUTO_BUF waits = buf_new(1024);
	bool heard;
	json_t *steps = (!run_is_over(run) && flow_waits(runs->flow, tx, run->id, &waits, err)) ||
					question_open_find(tx, run->id, world_now_ms(runs->options.world), &question, &heard, err)
				? NULL
				: flow_visits(tx, run->id, err);
	json_t *parts = steps ? parts_json(tx, run, err) : NULL;
	json_t *object = json_object();
	json_t *plan;
	const struct {
		const char *name;
		const char *text;
	} texts[] = {{"id", run->id},           {"repository", run->repository},
		     {"title", run->title},     {"state", run->state},
		     {"base", run->base},       {"head", run->head},
		     {"branch", run->branch},   {"environment", run->environment},
		     {"preview", run->preview}, {"verdict", run->verdict},
		     {"agent", run->agent},     {"summary", run->summary},
		     {"error", run->error}};

	if (!parts) {
		json_decref(steps);
		json_decref(question);
		json_decref(object);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		(void)json_object_set_new(object, texts[i].name, text_or_null(texts[i].text));
	(void)json_object_set_new(object, "issue", json_integer(run->issue));
	(void)json_object_set_new(object, "state_since_ms", json_integer(run->state_since_ms));
	(void)json_object_set_new(object, "pull", run->pull ? json_integer(run->pull) : json_null());
	(void)json_object_set_new(object, "attempt", json_integer(run->attempt));
	(void)json_object_set_new(object, "attempts", json_integer(run->attempts));
	(void)json_object_set_new(object, "created_ms", json_integer(run->created_ms));
	(void)json_object_set_new(object, "ended_ms", run->ended_ms ? json_integer(run->ended_ms) : json_null());
	plan = json_parse(view_of(run->plan), NULL);
	(void)json_object_set_new(object, "plan", plan ? plan : json_array());
	(void)json_object_set_new(object, "usage", usage_json(run));
	(void)json_object_set_new(object, "steps", steps);
	(void)json_object_set_new(object, "repositories", parts);
	(void)json_object_set_new(object, "race", text_or_null(run->race));
	(void)json_object_set_new(object, "question", question ? question : json_null());
	(void)json_object_set_new(object, "waits", text_or_null(waits.length ? waits.at : NULL));
	return object;
}

char *repository_path(const struct runs *runs, const char *name)
{
	return text_format("%s/%s.git", runs->repositories_dir, name);
}

const char *run_repository(const struct run *run)
{
	return run->joined ? run->joined : run->repository;
}

char *run_repository_path(const struct runs *runs, const struct run *run)
{
	return repository_path(runs, run_repository(run));
}

/* Puts a text of the request over the blueprint's. */
static void text_override(struct blueprint *blueprint, char **place, const json_t *config, const char *key)
{
	const char *text = json_text(config, key, NULL);

	if (text)
		*place = blueprint_copy(blueprint, text);
}

/* A shell line, or a list of words; anything else leaves the command as it is. */
static int run_override(struct blueprint *blueprint, const json_t *argv, struct err *err)
{
	char **words;
	size_t index;
	json_t *word;

	if (json_is_string(argv))
		blueprint->agent.run = (struct command){.shell = blueprint_copy(blueprint, json_string_value(argv))};
	if (!json_is_array(argv))
		return 0;
	words = blueprint_take(blueprint, json_array_size(argv) + 1, sizeof(*words));
	json_array_foreach(argv, index, word) {
		if (!json_is_string(word))
			return err_set(err, ERR_INVALID, "agent.run must be a text or a list of texts");
		words[index] = blueprint_copy(blueprint, json_string_value(word));
	}
	blueprint->agent.run = (struct command){.argv = words};
	return 0;
}

static int env_override(struct blueprint *blueprint, const json_t *env, struct err *err)
{
	struct variables *old = &blueprint->agent.env;
	struct variables all = {.count = old->count};
	const char *name;
	json_t *value;

	all.at = blueprint_take(blueprint, old->count + json_object_size(env), sizeof(*all.at));
	if (old->count)
		memcpy(all.at, old->at, old->count * sizeof(*all.at));
	json_object_foreach((json_t *)(uintptr_t)env, name, value) {
		if (!json_is_string(value))
			return err_set(err, ERR_INVALID, "agent.env.%.60s must be a text", name);
		all.at[all.count++] = (struct name_value){blueprint_copy(blueprint, name),
							  blueprint_copy(blueprint, json_string_value(value))};
	}
	*old = all;
	return 0;
}

static int agents_override(struct blueprint *blueprint, const json_t *list, const char *key, struct texts *agents, struct err *err)
{
	size_t count = json_array_size(list);
	size_t index;
	json_t *text;

	if (!json_is_array(list) || count > BLUEPRINT_CANDIDATES_MAX)
		return err_set(err, ERR_INVALID, "agent.%s must be a list of at most %d agents", key, BLUEPRINT_CANDIDATES_MAX);
	*agents = (struct texts){blueprint_take(blueprint, count + 1, sizeof(char *)), count};
	json_array_foreach(list, index, text) {
		if (!json_is_string(text))
			return err_set(err, ERR_INVALID, "agent.%s must be a list of agents", key);
		agents->at[index] = blueprint_copy(blueprint, json_string_value(text));
	}
	return 0;
}

/* A number, or a list of agents. */
static int candidates_override(struct blueprint *blueprint, const json_t *value, struct err *err)
{
	struct candidates *candidates = &blueprint->agent.candidates;
	size_t count = json_is_array(value) ? json_array_size(value) : (size_t)json_integer_value(value);

	if (count < 1 || count > BLUEPRINT_CANDIDATES_MAX)
		return err_set(err, ERR_INVALID, "agent.candidates must be 1 to %d, or a list of as many agents",
			       BLUEPRINT_CANDIDATES_MAX);
	*candidates = (struct candidates){.count = count};
	return json_is_array(value) ? agents_override(blueprint, value, "candidates", &candidates->agents, err) : 0;
}

static int agent_override(struct blueprint *blueprint, const json_t *config, struct err *err)
{
	const char *timeout = json_text(config, "timeout", NULL);
	const json_t *candidates = json_member(config, "candidates");
	const char *use = json_text(config, "use", NULL);

	/* Another agent: how the blueprint's own is started does not concern it. */
	if (use && blueprint->agent.use && strcmp(use, blueprint->agent.use) != 0) {
		blueprint->agent.run = (struct command){0};
		blueprint->agent.model = NULL;
	}
	text_override(blueprint, &blueprint->agent.use, config, "use");
	text_override(blueprint, &blueprint->agent.format, config, "format");
	text_override(blueprint, &blueprint->agent.model, config, "model");
	if (run_override(blueprint, json_member(config, "run"), err) || env_override(blueprint, json_member(config, "env"), err))
		return -1;
	if (json_member(config, "reviewers") &&
	    agents_override(blueprint, json_member(config, "reviewers"), "reviewers", &blueprint->agent.reviewers, err))
		return -1;
	if (candidates && candidates_override(blueprint, candidates, err))
		return -1;
	return timeout ? duration_parse(view_of(timeout), &blueprint->agent.timeout_ms, err) : 0;
}

struct blueprint *run_blueprint(struct runs *runs, const struct run *run, struct err *err)
{
	AUTO_BLUEPRINT blueprint = NULL;
	AUTO_FREE char *repository = run_repository_path(runs, run);
	AUTO_BUF text = buf_new((size_t)1 << 20);
	AUTO_JSON config = json_parse(view_of(run->agent_config), err);
	struct git_hash base;

	if (!config || run_hash(run->base, &base, err))
		return NULL;
	if (git_file_read(repository, &base, "assay.yaml", &text, err)) {
		(void)err_prefix(err, "the blueprint");
		return NULL;
	}
	blueprint = blueprint_parse(buf_view(&text), "assay.yaml", err);
	if (!blueprint || agent_override(blueprint, config, err))
		return NULL;
	return TAKE(blueprint);
}

int run_env(const struct run *run, struct env_id *env, struct err *err)
{
	if (!run->environment)
		return err_set(err, ERR_NOT_FOUND, "run %s has no environment", run->id);
	return env_id_parse(view_of(run->environment), env, err);
}

int run_hash(const char *text, struct git_hash *hash, struct err *err)
{
	if (!text)
		return err_set(err, ERR_BROKEN, "the run has no such commit yet");
	return git_hash_parse(view_of(text), hash, err);
}
