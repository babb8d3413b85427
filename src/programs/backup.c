/* The store as lines, the rest as it lies in the state, in one archive. */
#include "programs/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "store/copy.h"

#define TAR_MS ((int64_t)6 * 3600000)
#define STORE_FILE "store.jsonl"

/* What of the state goes along. */
static const char *const folders[] = {"repos", "vault", "ledger", "sessions"};

static char *store_name(const char *state_dir, const char *store)
{
	return store ? text_copy(store) : text_format("%s/assay.db", state_dir);
}

/* ---- making ---- */

static int store_write(const char *where, const char *path, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct store *store = NULL;
	int64_t rows;
	int status;

	if (fd < 0)
		return err_errno(err, errno, "cannot make %s", path);
	if (store_open(where, &store, err))
		return -1;
	status = store_copy_out(store, fd, &rows, err);
	store_close(store);
	return status;
}

/* tar says 1 when a file grew while it was read: what the store names was there before. */
static int archive(const char *state_dir, const char *scratch, int fd, struct err *err)
{
	const char *argv[16] = {"tar", "--create", "--file=-", "--directory", scratch, STORE_FILE, "--directory", state_dir};
	size_t count = 8;
	int status = 0;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		AUTO_FREE char *path = text_format("%s/%s", state_dir, folders[i]);

		if (file_is_dir(path))
			argv[count++] = folders[i];
	}
	if (count == 8)
		argv[6] = NULL;
	if (process_run(&(struct process_spec){.argv = argv, .output_fd = fd, .timeout_ms = TAR_MS}, &status, err))
		return -1;
	if (status > 1)
		return err_set(err, ERR_BROKEN, "tar ended with %d", status);
	return fsync(fd) ? err_errno(err, errno, "cannot sync the backup") : 0;
}

static int make_in(const char *state_dir, const char *store, const char *scratch, const char *file, struct err *err)
{
	AUTO_FREE char *where = store_name(state_dir, store);
	AUTO_FREE char *lines = text_format("%s/" STORE_FILE, scratch);
	AUTO_FREE char *part = text_format("%s.part", file);
	AUTO_CLOSE int fd = -1;

	/* The store first: what is written to the repositories later is only more than it names. */
	if (!store && !file_exists(where))
		return err_set(err, ERR_NOT_FOUND, "there is no store in %s", state_dir);
	if (store_write(where, lines, err))
		return -1;
	(void)unlink(part);
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, errno, "cannot make %s", part);
	if (archive(state_dir, scratch, fd, err) || rename(part, file)) {
		int problem = errno;

		(void)unlink(part);
		return err->kind == ERR_NONE ? err_errno(err, problem, "cannot make %s", file) : -1;
	}
	return 0;
}

/* In a folder beside the file, so that the disk that is to hold it is the one that is filled. */
static int with_scratch(const char *state_dir, const char *store, const char *beside, const char *file,
			int (*does)(const char *state_dir, const char *store, const char *scratch, const char *file,
				    struct err *err),
			struct err *err)
{
	AUTO_FREE char *scratch = text_format("%s.XXXXXX", beside);
	struct err failure = {0};
	int status;

	if (!mkdtemp(scratch))
		return err_errno(err, errno, "cannot make a folder beside %s", beside);
	status = does(state_dir, store, scratch, file, &failure);
	if (file_remove_tree(scratch, status ? NULL : &failure))
		status = -1;
	return status ? err_set(err, failure.kind, "%s", failure.text) : 0;
}

int backup_make(const char *state_dir, const char *store, const char *file, struct err *err)
{
	return with_scratch(state_dir, store, file, file, make_in, err);
}

/* ---- restoring ---- */

/* Holds off every server from the state until the descriptor is closed. */
static int state_hold(const char *state_dir, struct err *err)
{
	AUTO_FREE char *path = text_format("%s/serve.lock", state_dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	(void)close(fd);
	return err_set(err, ERR_CONFLICT, "a server runs on %s: stop it first", state_dir);
}

static int state_is_empty(const char *state_dir, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		AUTO_FREE char *path = text_format("%s/%s", state_dir, folders[i]);

		if (file_exists(path))
			return err_set(err, ERR_CONFLICT,
				       "%s is there already: a backup is restored into a state that holds nothing", path);
	}
	return 0;
}

static int store_read(const char *where, const char *path, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct store *store = NULL;
	AUTO_TX tx = {0};
	int64_t rows;
	int status;

	if (fd < 0)
		return err_errno(err, errno, "the backup has no " STORE_FILE);
	if (store_open(where, &store, err))
		return -1;
	/* Whoever was on a workflow is not any more, and the machine it belonged to is this one. */
	status = store_copy_in(store, fd, &rows, err) || store_begin(store, &tx, err) ||
				 store_run(&tx, "UPDATE flow SET owner = NULL, home = ''", NO_VALUES, err) ||
				 store_run(&tx, "UPDATE outbox SET owner = NULL", NO_VALUES, err) || store_commit_synced(&tx, err)
			 ? -1
			 : 0;
	store_abort(&tx);
	store_close(store);
	return status;
}

static int restore_in(const char *state_dir, const char *store, const char *scratch, const char *file, struct err *err)
{
	AUTO_FREE char *where = store_name(state_dir, store);
	AUTO_FREE char *lines = text_format("%s/" STORE_FILE, scratch);
	AUTO_FREE char *archive_path = realpath(file, NULL);
	const char *const argv[] = {
		"tar",   "--extract", "--preserve-permissions", "--numeric-owner", "--file", archive_path, "--directory",
		scratch, NULL};

	if (!archive_path)
		return err_errno(err, errno, "cannot read %s", file);
	if (process_run(&(struct process_spec){.argv = argv, .timeout_ms = TAR_MS}, NULL, err))
		return err_prefix(err, "%s", file);
	if (store_read(where, lines, err))
		return err_prefix(err, "%s", file);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		AUTO_FREE char *from = text_format("%s/%s", scratch, folders[i]);
		AUTO_FREE char *to = text_format("%s/%s", state_dir, folders[i]);

		if (file_is_dir(from) && rename(from, to))
			return err_errno(err, errno, "cannot make %s", to);
	}
	return 0;
}

int backup_restore(const char *state_dir, const char *store, const char *file, struct err *err)
{
	AUTO_FREE char *beside = text_format("%s/restore", state_dir);
	AUTO_CLOSE int held = -1;

	if (file_make_dirs(state_dir, 0700, err))
		return -1;
	held = state_hold(state_dir, err);
	if (held < 0 || state_is_empty(state_dir, err))
		return -1;
	return with_scratch(state_dir, store, beside, file, restore_in, err);
}
