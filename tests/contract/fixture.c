/* The frame of a contract program, and a repository of some files, made by git as a person would. */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scope.h"
#include "sandbox/local/keeper.h"

#define SKIPPED 77
#define REMOVE_TRIES 600
#define REMOVE_PAUSE_US 100000

static char *self_path;

const char *fixture_self(void)
{
	return self_path;
}

int fixture_main(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count, CMFixtureFunction begin,
		 CMFixtureFunction end)
{
	int result;

	if (argc > 1 && strcmp(argv[1], "keeper") == 0)
		return keeper_main(argc - 1, argv + 1);
	if (geteuid() != 0) {
		printf("1..0 # SKIP environments need root\n");
		return SKIPPED;
	}
	log_init(name, LOG_LEVEL_WARN);
	(void)signal(SIGPIPE, SIG_IGN);
	self_path = realpath("/proc/self/exe", NULL);
	result = _cmocka_run_group_tests(name, tests, count, begin, end);
	free(self_path);
	return result;
}

void must(int result, const struct err *err)
{
	if (result)
		fail_msg("%s", err->text);
}

void host_git(const char *dir, const char *const *args)
{
	const char *argv[16] = {"git", "-c", "user.name=t", "-c", "user.email=t@t"};
	struct err err = {0};
	size_t count = 5;

	for (; *args; args++)
		argv[count++] = *args;
	must(process_run(&(struct process_spec){.argv = argv, .dir = dir}, NULL, &err), &err);
}

char *fixture_repository(const char *state_dir, const char *name, const struct fixture_file *files, size_t count,
			 struct git_hash *first)
{
	AUTO_FREE char *dir = text_format("%s/origin", state_dir);
	char *repository = text_format("%s/repos/%s.git", state_dir, name);
	struct err err = {0};

	must(file_make_dirs(dir, 0755, &err), &err);
	for (size_t i = 0; i < count; i++) {
		AUTO_FREE char *path = text_format("%s/%s", dir, files[i].name);

		must(file_replace(path, view_of(files[i].text), 0644, &err), &err);
	}
	host_git(dir, (const char *const[]){"init", "-q", "-b", "main", NULL});
	host_git(dir, (const char *const[]){"add", "-A", NULL});
	host_git(dir, (const char *const[]){"commit", "-qm", "first", NULL});
	must(git_repository_make(repository, &err), &err);
	must(git_fetch_local(repository, dir, "main", "refs/heads/main", first, &err), &err);
	return repository;
}

int fixture_remove(const char *state_dir)
{
	struct err err = {0};

	for (int i = 0; i < REMOVE_TRIES; i++) {
		if (!file_remove_tree(state_dir, &err))
			return 0;
		(void)usleep(REMOVE_PAUSE_US);
	}
	print_error("%s: %s\n", state_dir, err.text);
	return -1;
}
