/* What a snapshot is loaded from: seeds of a commit, files, running servers, each as bytes and a form that an engine knows. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "sandbox/snapshot_priv.h"

#define SEED_BYTES_MAX ((size_t)1 << 30)
#define HEAD_BYTES 16
#define EXEC_PREFIX "exec:"

struct load *plan_load_add(struct plan *plan, struct member *database, const char *label)
{
	struct load *load;

	plan->loads = mem_grow(plan->loads, plan->count + 1, sizeof(*plan->loads));
	load = &plan->loads[plan->count++];
	*load = (struct load){.database = database, .label = text_copy(label), .fd = -1};
	return load;
}

int64_t plan_step_begin(const struct plan *plan, const char *verb, const char *name)
{
	AUTO_FREE char *step = text_format("%s %s", verb, name);

	step_report(plan->progress, step, plan->name, -1);
	return elapsed_ms(plan->all);
}

void plan_step_end(const struct plan *plan, const char *verb, const char *name, int64_t began_ms)
{
	AUTO_FREE char *step = text_format("%s %s", verb, name);

	step_report(plan->progress, step, plan->name, elapsed_ms(plan->all) - began_ms);
}

/* A descriptor at the start of the bytes. */
static int bytes_fd(struct view bytes, int *fd, struct err *err)
{
	AUTO_CLOSE int memory = memfd_create("seed", MFD_CLOEXEC);

	if (memory < 0)
		return err_errno(err, errno, "cannot hold a seed in memory");
	if (file_write_fd(memory, bytes, err))
		return -1;
	(void)lseek(memory, 0, SEEK_SET);
	*fd = TAKE_FD(memory);
	return 0;
}

static int load_detect(struct load *load, const char *file_name, struct err *err)
{
	char head[HEAD_BYTES];
	ssize_t got = pread(load->fd, head, sizeof(head), 0);

	if (got < 0)
		return err_errno(err, errno, "cannot read %s", file_name);
	return engine_form_detect(load->database->target.ops->kind, view_make(head, (size_t)got), file_name, &load->form, err);
}

int plan_seed_add(struct plan *plan, struct member *member, const char *seed, struct err *err)
{
	struct view line = view_of(seed);
	AUTO_BUF bytes = buf_new(SEED_BYTES_MAX);
	struct load *load;

	if (view_starts(line, VIEW(EXEC_PREFIX))) {
		line = view_trim(view_make(line.at + strlen(EXEC_PREFIX), line.length - strlen(EXEC_PREFIX)));
		load = plan_load_add(plan, NULL, seed);
		load->line = view_copy(line);
		load->digest = digest_of(line);
		return 0;
	}
	if (git_file_read(plan->builder->repository, &plan->builder->commit, seed, &bytes, err))
		return err_prefix(err, "the seed of %s", member->name);
	load = plan_load_add(plan, member, seed);
	load->digest = digest_of(buf_view(&bytes));
	return bytes_fd(buf_view(&bytes), &load->fd, err) ? -1 : load_detect(load, seed, err);
}

/* The database a source is for: the named one, or the only one that can be meant. */
static struct member *source_database(struct environment *builder, const struct snapshot_source *source, struct err *err)
{
	struct member *only = NULL;
	size_t candidates = 0;
	const char *url = source->url ? source->url : "";
	bool redis = strncmp(url, "redis", 5) == 0;
	bool postgres = strncmp(url, "postgres", 8) == 0;
	bool mariadb = strncmp(url, "mysql:", 6) == 0 || strncmp(url, "mariadb:", 8) == 0;
	bool sqlite = strncmp(url, "sqlite:", 7) == 0;
	bool sql = strcmp(url, "sql:") == 0; /* of a file: any that speaks it */

	for (size_t i = 0; i < builder->member_count; i++) {
		struct member *member = &builder->members[i];

		if (member->kind != MEMBER_DATABASE || (source->database && strcmp(member->name, source->database) != 0) ||
		    (redis && member->target.ops->kind != ENGINE_REDIS) ||
		    (postgres && member->target.ops->kind != ENGINE_POSTGRES) ||
		    (mariadb && member->target.ops->kind != ENGINE_MARIADB) ||
		    (sqlite && member->target.ops->kind != ENGINE_SQLITE) || (sql && !member->target.ops->sql))
			continue;
		only = member;
		candidates++;
	}
	if (candidates == 1)
		return only;
	if (source->database)
		(void)err_set(err, ERR_NOT_FOUND, "the blueprint has no such database `%s`", source->database);
	else
		(void)err_set(err, ERR_INVALID, "%s",
			      candidates ? "there are several databases: say which one (--database NAME)"
					 : "the blueprint has no database for this source");
	return NULL;
}

/* By what it holds; without a database named, SQL is for the only one that speaks it. */
static struct member *file_database(struct environment *builder, const struct snapshot_source *source, const char *path,
				    struct view head, struct err *err)
{
	struct snapshot_source guess = *source;
	struct view name = view_of(path);

	if (!source->database && (view_starts(head, VIEW("REDIS")) || view_ends(name, VIEW(".rdb"))))
		guess.url = "redis:";
	else if (!source->database && view_starts(head, VIEW("PGDMP")))
		guess.url = "postgres:";
	else if (!source->database && view_starts(head, VIEW("SQLite format 3")))
		guess.url = "sqlite:";
	else if (!source->database && (view_ends(name, VIEW(".sql")) || view_ends(name, VIEW(".sql.gz"))))
		guess.url = "sql:";
	return source_database(builder, &guess, err);
}

static int file_add(struct plan *plan, const struct snapshot_source *source, struct err *err)
{
	const char *path = source->dump ? source->dump : source->seed;
	const char *slash = strrchr(path, '/');
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char head[HEAD_BYTES];
	ssize_t got = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0);
	struct digest digest;
	struct member *member = NULL;
	struct load *load;
	bool script;

	if (got < 0)
		return err_errno(err, errno, "cannot read %s", path);
	if (digest_of_file(path, &digest, err))
		return -1;
	script = source->seed && !view_ends(view_of(path), VIEW(".sql")) && !view_ends(view_of(path), VIEW(".sql.gz"));
	if (!script) {
		member = file_database(plan->builder, source, path, view_make(head, (size_t)got), err);
		if (!member)
			return -1;
	}
	load = plan_load_add(plan, member, slash ? slash + 1 : path);
	load->fd = TAKE_FD(fd);
	load->real = source->dump != NULL;
	load->digest = digest;
	return script ? 0 : load_detect(load, path, err);
}

/* scheme://user:password@host becomes scheme://host. */
static char *url_shown(const char *url)
{
	const char *host = strstr(url, "://");
	const char *end = host ? strpbrk(host + 3, "/?") : NULL;
	const char *at = host ? memrchr(host + 3, '@', end ? (size_t)(end - host - 3) : strlen(host + 3)) : NULL;

	if (!host)
		return text_copy("a running server");
	return text_format("%.*s://%.*s", (int)(host - url), url, (int)strcspn(at ? at + 1 : host + 3, "?"),
			   at ? at + 1 : host + 3);
}

/* The running server is read on the host, as the person who asked would; what it says is loaded inside the builder. */
static int url_add(struct plan *plan, const struct snapshot_source *source, struct err *err)
{
	AUTO_ENGINE_PROGRAM program = {.count = 0};
	AUTO_FREE char *label = url_shown(source->url);
	AUTO_FREE char *path = NULL;
	struct member *member = source_database(plan->builder, source, err);
	struct process_spec dump = {.timeout_ms = LOAD_LIMIT_MS};
	struct load *load;
	int64_t began_ms;
	int result;

	if (!member)
		return -1;
	load = plan_load_add(plan, member, label);
	load->real = true;
	if (member->target.ops->dumper(&member->target, source->url, &program, &load->form, err))
		return -1;
	path = text_format("%s/dump-%zu", plan->builder->dir, plan->count);
	load->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (load->fd < 0)
		return err_errno(err, errno, "cannot write %s", path);
	began_ms = plan_step_begin(plan, "read", label);
	dump.argv = engine_program_argv(&program);
	dump.output_fd = load->fd;
	result = process_run(&dump, NULL, err);
	if (result == 0)
		result = digest_of_file(path, &load->digest, err);
	(void)unlink(path);
	(void)lseek(load->fd, 0, SEEK_SET);
	if (result)
		return err_prefix(err, "cannot read %s", label);
	plan_step_end(plan, "read", label, began_ms);
	return 0;
}

int plan_sources_add(struct plan *plan, const struct snapshot_source *sources, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		int given = !!sources[i].seed + !!sources[i].dump + !!sources[i].url;

		if (given != 1)
			return err_set(err, ERR_INVALID, "a source is a seed, a dump or a URL: exactly one of them");
		if (sources[i].url ? url_add(plan, &sources[i], err) : file_add(plan, &sources[i], err))
			return -1;
	}
	return 0;
}
