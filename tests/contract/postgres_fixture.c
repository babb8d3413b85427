/* A PostgreSQL for a test. */
#include "postgres_fixture.h"

#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"

#define START_TRIES 600 /* of 100 ms */

static void become_ordinary(void)
{
	const struct passwd *user = geteuid() ? NULL : getpwnam("postgres");

	if (user && (setgid(user->pw_gid) || setuid(user->pw_uid)))
		_exit(126);
}

/* As the ordinary user, in the fixture's directory, without output; the child's id, or the exit code when it is waited for. */
static int start(const struct postgres_fixture *fixture, const char *const *argv, bool wait_for_it)
{
	pid_t pid = fork();
	int status = -1;

	if (!pid) {
		AUTO_FREE char *path = text_format("%s/%s", fixture->programs, argv[0]);
		AUTO_FREE char *log = text_format("%s/log", fixture->dir);

		become_ordinary();
		(void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
		(void)setpgid(0, 0);
		if (chdir(fixture->dir) || !freopen(log, "a", stdout) || !freopen(log, "a", stderr))
			_exit(126);
		(void)execv(path, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (!wait_for_it)
		return pid;
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool programs_find(struct postgres_fixture *fixture)
{
	glob_t found = {0};

	if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) || !found.gl_pathc)
		return false;
	(void)snprintf(fixture->programs, sizeof(fixture->programs), "%.*s",
		       (int)(strrchr(found.gl_pathv[found.gl_pathc - 1], '/') - found.gl_pathv[found.gl_pathc - 1]),
		       found.gl_pathv[found.gl_pathc - 1]);
	globfree(&found);
	return true;
}

bool postgres_fixture_again(struct postgres_fixture *fixture)
{
	const char *const server[] = {"postgres",
				      "-D",
				      "data",
				      "-k",
				      fixture->dir,
				      "-c",
				      "listen_addresses=",
				      "-c",
				      "shared_buffers=32MB",
				      "-c",
				      "max_connections=100",
				      "-c",
				      fixture->durable ? "fsync=on" : "fsync=off",
				      "-c",
				      "wal_writer_delay=10000", /* what is not synced is lost for sure when it is killed */
				      NULL};
	const char *const ready[] = {"pg_isready", "-q", "-h", fixture->dir, NULL};

	fixture->pid = start(fixture, server, false);
	for (int i = 0; i < START_TRIES; i++) {
		if (start(fixture, ready, true) == 0)
			return true;
		/* After a kill, those it had forked hold its shared memory for a moment: until then no other begins. */
		if (waitpid(fixture->pid, NULL, WNOHANG) == fixture->pid)
			fixture->pid = start(fixture, server, false);
		(void)usleep(100000);
	}
	fprintf(stderr, "PostgreSQL did not start: see %s/log\n", fixture->dir);
	return false;
}

bool postgres_fixture_start(struct postgres_fixture *fixture, bool durable)
{
	const char *const make[] = {"initdb",           "-D", "data", "-A", "trust", "-U", "assay", "-E", "UTF8",
				    "--locale=C.UTF-8", "-N", NULL};
	const struct passwd *user = getpwnam("postgres");

	*fixture = (struct postgres_fixture){.durable = durable};
	(void)snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/assay-pg-XXXXXX");
	if (!programs_find(fixture)) {
		fprintf(stderr, "PostgreSQL is not installed\n");
		return false;
	}
	if (!mkdtemp(fixture->dir) || (!geteuid() && (!user || chown(fixture->dir, user->pw_uid, user->pw_gid))))
		return false;
	if (start(fixture, make, true)) {
		fprintf(stderr, "initdb failed: see %s/log\n", fixture->dir);
		return false;
	}
	return postgres_fixture_again(fixture);
}

char *postgres_fixture_database(struct postgres_fixture *fixture, const char *name)
{
	const char *const make[] = {"createdb", "-h", fixture->dir, "-U", "assay", name, NULL};

	if (start(fixture, make, true))
		return NULL;
	return text_format("postgres://assay@/%s?host=%s", name, fixture->dir);
}

void postgres_fixture_kill(struct postgres_fixture *fixture)
{
	(void)kill(-fixture->pid, SIGKILL);
	(void)kill(fixture->pid, SIGKILL);
	(void)waitpid(fixture->pid, NULL, 0);
	fixture->pid = 0;
}

void postgres_fixture_stop(struct postgres_fixture *fixture)
{
	if (fixture->pid > 0) {
		(void)kill(fixture->pid, SIGQUIT);
		(void)waitpid(fixture->pid, NULL, 0);
	}
	if (file_remove_tree(fixture->dir, NULL))
		fprintf(stderr, "%s stays\n", fixture->dir);
}
