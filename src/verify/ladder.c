/* Environments, artefacts and progress for the gates. */
#include "verify/ladder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/span.h"
#include "session/document.h"
#include "session/explore.h"
#include "session/rename.h"

#define SESSION_BYTES_MAX ((size_t)32 << 20)
#define STARTING_MAX 3
#define TREE_BYTES_MAX ((size_t)64 << 20)

bool ladder_stopped(const struct ladder *ladder)
{
	return __atomic_load_n(&ladder->stop, __ATOMIC_RELAXED);
}

int64_t ladder_left_ms(const struct ladder *ladder)
{
	int64_t left_ms = ladder->deadline_ms - world_elapsed_ms(ladder->request->world);

	return left_ms > 1 ? left_ms : 1;
}

void ladder_report(struct ladder *ladder, const char *gate, const char *what, const char *detail, int64_t ms)
{
	const struct progress *progress = &ladder->request->progress;
	AUTO_FREE char *step = what[0] ? text_format("%s: %s", gate, what) : text_copy(gate);

	if (progress->report)
		progress->report(progress->self, step, detail, ms);
}

/* ---- environments ---- */

static void env_remember(struct ladder *ladder, struct env_id env)
{
	(void)pthread_mutex_lock(&ladder->mutex);
	if (ladder->env_count < LADDER_ENVS_MAX)
		ladder->envs[ladder->env_count++] = env;
	(void)pthread_mutex_unlock(&ladder->mutex);
}

void ladder_env_down(struct ladder *ladder, struct env_id env)
{
	struct err err;
	bool ours = false;

	(void)pthread_mutex_lock(&ladder->mutex);
	for (size_t i = 0; i < ladder->env_count && !ours; i++) {
		if (strcmp(ladder->envs[i].text, env.text) != 0)
			continue;
		ladder->envs[i] = ladder->envs[--ladder->env_count];
		ours = true;
	}
	(void)pthread_mutex_unlock(&ladder->mutex);
	if (ours && environment_down(ladder->request->environments, env, &err) && err.kind != ERR_NOT_FOUND)
		log_warn("environment %s of a verification stays: %s", env.text, err.text);
}

/* The steps of an environment, as steps of the gate. */
static void step_relay(void *self, const char *step, const char *detail, int64_t ms)
{
	struct side *side = self;
	AUTO_FREE char *what = text_format("%s: %s", side->label, step);

	ladder_report(side->ladder, side->gate, what, detail, ms);
}

static int env_up_once(struct side *side, struct err *err)
{
	struct ladder *ladder = side->ladder;
	const struct environment_spec spec = {.repository = ladder->request->repository,
					      .commit = *side->commit,
					      .blueprint = ladder->blueprint_text,
					      .purpose = side->label[0] == 'b' ? "base" : "head",
					      .owner = "",
					      .snapshot = ladder->pinned,
					      .volatile_ = true};
	struct progress progress = {step_relay, side, &ladder->stop};

	if (ladder_stopped(ladder))
		return err_set(err, ERR_CANCELLED, "stopped");
	if (environment_up(ladder->request->environments, &spec, false, progress, &side->env, err))
		return -1;
	env_remember(ladder, side->env);
	return 0;
}

/* Where many are wanted, each is to be up before the next ones take its cores. */
static void starting_begin(struct ladder *ladder)
{
	(void)pthread_mutex_lock(&ladder->mutex);
	while (ladder->starting == STARTING_MAX)
		(void)pthread_cond_wait(&ladder->started, &ladder->mutex);
	ladder->starting++;
	(void)pthread_mutex_unlock(&ladder->mutex);
}

static void starting_end(struct ladder *ladder)
{
	(void)pthread_mutex_lock(&ladder->mutex);
	ladder->starting--;
	(void)pthread_cond_signal(&ladder->started);
	(void)pthread_mutex_unlock(&ladder->mutex);
}

static int env_up(struct side *side, struct err *err)
{
	struct err first = {0};

	if (env_up_once(side, &first) == 0)
		return 0;
	if (first.kind != ERR_CANCELLED && !ladder_stopped(side->ladder)) {
		ladder_report(side->ladder, side->gate, side->label, "it did not come up: once more", -1);
		if (env_up_once(side, &first) == 0)
			return 0;
	}
	if (err)
		*err = first;
	return -1;
}

int ladder_env_up(struct side *side, struct err *err)
{
	int result;

	starting_begin(side->ladder);
	result = env_up(side, err);
	starting_end(side->ladder);
	return result;
}

struct sides_work {
	void (*work)(struct side *side);
	struct side *const *sides;
	size_t count;
	size_t next; /* atomic */
	struct span *part_of;
};

static void sides_take(struct sides_work *work)
{
	for (;;) {
		size_t at = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);

		if (at >= work->count)
			return;
		work->work(work->sides[at]);
	}
}

static void *sides_thread(void *self)
{
	struct sides_work *work = self;

	span_join(work->part_of);
	sides_take(work);
	return NULL;
}

void sides_run_some(void (*work)(struct side *side), struct side *const *sides, size_t count, size_t at_once)
{
	struct sides_work shared = {.work = work, .sides = sides, .count = count, .part_of = span_current()};
	pthread_t threads[SIDES_MAX];
	size_t others = 0;

	while (others + 1 < count && others + 1 < at_once && others + 1 < SIDES_MAX &&
	       pthread_create(&threads[others], NULL, sides_thread, &shared) == 0)
		others++;
	sides_take(&shared);
	for (size_t i = 0; i < others; i++)
		(void)pthread_join(threads[i], NULL);
}

size_t ladder_at_once(const struct ladder *ladder, size_t fewest)
{
	return ladder->room > fewest ? ladder->room : fewest;
}

void sides_run(void (*work)(struct side *side), struct side *const *sides, size_t count)
{
	sides_run_some(work, sides, count, count);
}

/* ---- what is kept and told ---- */

void ladder_artefact(struct ladder *ladder, const char *name, struct view bytes)
{
	struct digest digest = digest_of(bytes);
	AUTO_FREE char *path = text_format("%s/%s", ladder->request->artefacts_dir, digest.text);
	struct err err;

	if (file_replace(path, bytes, 0600, &err)) {
		log_warn("cannot keep %s: %s", name, err.text);
		return;
	}
	(void)pthread_mutex_lock(&ladder->mutex);
	(void)json_array_append_new(ladder->artefacts, json_pack("{s:s, s:s, s:I}", "name", name, "digest", digest.text, "bytes",
								 (json_int_t)bytes.length));
	(void)pthread_mutex_unlock(&ladder->mutex);
}

void ladder_media(struct ladder *ladder, const char *name, const char *title, const char *type, struct view bytes)
{
	json_t *item = json_pack("{s:s, s:s, s:s, s:I}", "name", name, "type", type, "digest", digest_of(bytes).text, "bytes",
				 (json_int_t)bytes.length);
	size_t index;
	json_t *known;

	json_set_bytes(item, "title", view_of(title));
	ladder_artefact(ladder, name, bytes);
	(void)pthread_mutex_lock(&ladder->mutex);
	json_array_foreach(ladder->media, index, known)
		if (strcmp(json_text(known, "name", ""), name) == 0)
			break;
	if (index < json_array_size(ladder->media))
		(void)json_array_set_new(ladder->media, index, item);
	else
		(void)json_array_append_new(ladder->media, item);
	(void)pthread_mutex_unlock(&ladder->mutex);
}

void ladder_artefact_json(struct ladder *ladder, const char *name, const json_t *json)
{
	AUTO_BUF text = buf_new((size_t)256 << 20);

	json_format_sorted(&text, json);
	if (!text.over)
		ladder_artefact(ladder, name, buf_view(&text));
}

void ladder_not_covered(struct ladder *ladder, const char *format, ...)
{
	char line[600];
	AUTO_JSON holder = json_object();
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	json_set_bytes(holder, "line", view_of(line));
	(void)pthread_mutex_lock(&ladder->mutex);
	(void)json_array_append(ladder->not_covered, json_member(holder, "line"));
	(void)pthread_mutex_unlock(&ladder->mutex);
}

void gate_reason(struct gate *gate, const char *format, ...)
{
	char line[ERR_TEXT_MAX + 100];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	free(gate->reason);
	gate->reason = text_copy(line);
}

void gate_count(struct gate *gate, const char *name, int64_t count)
{
	(void)json_object_set_new(gate->counts, name, json_integer(count));
}

void gate_count_add(struct gate *gate, const char *name, int64_t count)
{
	gate_count(gate, name, json_number(gate->counts, name, 0) + count);
}

/* ---- trees and sessions ---- */

json_t *tree_paths(struct ladder *ladder, const struct git_hash *commit, struct err *err)
{
	AUTO_BUF out = buf_new(TREE_BYTES_MAX);
	struct view rest;
	json_t *paths;

	if (git_run(ladder->request->repository,
		    (const char *const[]){"ls-tree", "-r", "-z", "--name-only", "--full-tree", commit->text, NULL},
		    &(struct process_spec){.output = &out}, NULL, err))
		return NULL;
	paths = json_array();
	rest = buf_view(&out);
	while (rest.length) {
		struct view path = view_cut(rest, '\0', &rest);
		json_t *text = json_stringn(path.at, path.length); /* NULL: no UTF-8, and then no path of ours */

		if (text)
			(void)json_array_append_new(paths, text);
	}
	return paths;
}

static void session_add_text(json_t *sessions, const char *name, const struct buf *text, bool held_out)
{
	json_t *session = json_object();

	json_set_bytes(session, "name", view_of(name));
	json_set_bytes(session, "text", buf_view(text));
	(void)json_object_set_new(session, "held_out", json_boolean(held_out));
	(void)json_array_append_new(sessions, session);
}

static bool glob_any(const struct texts *globs, const char *path)
{
	for (size_t i = 0; i < globs->count; i++)
		if (glob_match(globs->at[i], path))
			return true;
	return false;
}

static int sessions_of_base(struct ladder *ladder, json_t *sessions, struct err *err)
{
	AUTO_JSON paths = tree_paths(ladder, &ladder->request->base, err);

	if (!paths)
		return -1;
	for (size_t i = 0; i < json_array_size(paths); i++) {
		const char *path = json_string_value(json_array_get(paths, i));
		AUTO_BUF text = buf_new(SESSION_BYTES_MAX);
		struct err problem;

		if (!glob_any(&ladder->blueprint->sessions, path))
			continue;
		if (git_file_read(ladder->request->repository, &ladder->request->base, path, &text, &problem))
			ladder_not_covered(ladder, "session %s: %s", path, problem.text);
		else
			session_add_text(sessions, path, &text, false);
	}
	return 0;
}

static void sessions_held_out(struct ladder *ladder, json_t *sessions)
{
	DIR *dir = ladder->request->sessions_dir ? opendir(ladder->request->sessions_dir) : NULL;

	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
		AUTO_FREE char *path = text_format("%s/%s", ladder->request->sessions_dir, entry->d_name);
		AUTO_BUF text = buf_new(SESSION_BYTES_MAX);
		struct err problem;

		if (!view_ends(view_of(entry->d_name), VIEW(".har")))
			continue;
		if (file_read(path, &text, &problem))
			ladder_not_covered(ladder, "held-out session %s: %s", entry->d_name, problem.text);
		else
			session_add_text(sessions, entry->d_name, &text, true);
	}
	if (dir)
		(void)closedir(dir);
}

static bool is_openapi(const char *path)
{
	static const char *const names[] = {"openapi.yaml", "openapi.yml", "openapi.json"};
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(slash ? slash + 1 : path, names[i]) == 0)
			return true;
	return false;
}

/* The base's own description of what can be asked, the first there is. Owned by the caller; NULL: there is none. */
static json_t *document_of_base(struct ladder *ladder)
{
	struct err err;
	AUTO_JSON paths = tree_paths(ladder, &ladder->request->base, &err);

	for (size_t i = 0; i < json_array_size(paths); i++) {
		const char *path = json_string_value(json_array_get(paths, i));
		AUTO_BUF text = buf_new(DOCUMENT_BYTES_MAX);
		json_t *document;

		if (!is_openapi(path))
			continue;
		if (git_file_read(ladder->request->repository, &ladder->request->base, path, &text, &err) == 0 &&
		    (document = document_parse(buf_view(&text), path, &err)) != NULL)
			return document;
		ladder_not_covered(ladder, "%s: %s", path, err.text);
	}
	return NULL;
}

/* Made of the base alone, and the same every time: of its OpenAPI document, and of the first session that is not held out. */
static void session_explored(struct ladder *ladder, json_t *sessions)
{
	AUTO_JSON document = document_of_base(ladder);
	AUTO_SESSION seen = {0};
	AUTO_SESSION made = {0};
	AUTO_BUF text = buf_new(SESSION_BYTES_MAX);
	struct err err;
	struct explore_spec spec = {.document = document, .seed = 1, .count = (size_t)ladder->blueprint->verify.explore};

	for (size_t i = 0; i < json_array_size(sessions) && !spec.seen; i++) {
		const json_t *session = json_array_get(sessions, i);

		if (!json_flag(session, "held_out", false) && har_parse(view_of(json_text(session, "text", "")), &seen, &err) == 0)
			spec.seen = &seen;
	}
	if (explore_make(&spec, &made, &err)) {
		ladder_not_covered(ladder, "verify.explore: %s", err.text);
		return;
	}
	har_format(&text, &made);
	if (text.over)
		ladder_not_covered(ladder, "verify.explore: the session is larger than is replayed");
	else
		session_add_text(sessions, "synthesised", &text, false);
}

/* Each session that is not held out, with other names and amounts: what knows the recorded ones answers it otherwise. */
static void sessions_renamed(struct ladder *ladder, json_t *sessions)
{
	size_t count = json_array_size(sessions);

	for (size_t i = 0; i < count; i++) {
		const json_t *read = json_array_get(sessions, i);
		AUTO_FREE char *name = text_format("%s, renamed", json_text(read, "name", ""));
		AUTO_SESSION session = {0};
		AUTO_BUF text = buf_new(SESSION_BYTES_MAX);

		if (json_flag(read, "held_out", false) || har_parse(view_of(json_text(read, "text", "")), &session, NULL) ||
		    !session_rename(&session))
			continue;
		har_format(&text, &session);
		if (text.over)
			ladder_not_covered(ladder, "session %s: it is larger than is replayed", name);
		else
			session_add_text(sessions, name, &text, false);
	}
}

/* Sessions that nobody recorded. */
static void sessions_made(struct ladder *ladder, json_t *sessions)
{
	sessions_renamed(ladder, sessions);
	session_explored(ladder, sessions);
}

static int session_compare(const void *left, const void *right)
{
	return strcmp(json_text(*(const json_t *const *)left, "name", ""), json_text(*(const json_t *const *)right, "name", ""));
}

json_t *sessions_read(struct ladder *ladder, struct err *err)
{
	AUTO_JSON found = json_array();
	json_t *sorted;
	json_t **at;
	size_t count;

	if (sessions_of_base(ladder, found, err))
		return NULL;
	sessions_held_out(ladder, found);
	if (ladder->blueprint->verify.explore)
		sessions_made(ladder, found);
	count = json_array_size(found);
	at = mem_new_array(count + 1, sizeof(json_t *));
	for (size_t i = 0; i < count; i++)
		at[i] = json_array_get(found, i);
	qsort(at, count, sizeof(json_t *), session_compare);
	sorted = json_array();
	for (size_t i = 0; i < count; i++)
		(void)json_array_append(sorted, at[i]);
	free(at);
	return sorted;
}
