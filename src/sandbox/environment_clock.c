/*
 * Another date for the services of a verification: `verify.clock`.
 *
 * A library that is loaded before theirs (init/clock.c) is put into the room of each before its program starts. Databases keep the real
 * date: what they write themselves is theirs; tests do, too.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sandbox/environment_priv.h"
#include "sandbox/init/blob.h"
#include "sandbox/init/clock.h"

#define LIBRARY "/tmp/.assay-clock.so"
#define PUT_LIMIT_MS 20000

bool environment_has_clock(const struct environment *env)
{
	return env->volatile_ && env->blueprint && env->blueprint->verify.clock.kind != CLOCK_REAL;
}

int member_clock_put(struct environment *env, struct member *member, struct err *err)
{
	static const char *const argv[] = {"sh", "-c", "umask 022; cat >" LIBRARY, NULL};
	const struct environment_exec exec = {.sandbox = member->name,
					      .argv = argv,
					      .dir = "/",
					      .timeout_ms = PUT_LIMIT_MS,
					      .input = view_make((const char *)clock_blob, clock_blob_length)};

	if (!environment_has_clock(env) || !member->service)
		return 0;
	if (member_run_checked(env, member, &exec, "verify.clock", err))
		return err_prefix(err, "%s cannot get another date: it needs `sh`, `cat` and /tmp", member->name);
	return 0;
}

struct clock_variables *clock_variables_new(const struct environment *env, const struct member *member)
{
	struct clock_variables *made = mem_new(sizeof(*made));
	const char *own = NULL;

	if (!environment_has_clock(env) || !member->service)
		return made;
	for (size_t i = 0; i < member->service->env.count; i++)
		if (strcmp(member->service->env.at[i].name, "LD_PRELOAD") == 0)
			own = member->service->env.at[i].value;
	made->at[0] = (struct name_value){.name = text_copy("LD_PRELOAD"),
					  .value = text_format("%s%s%s", LIBRARY, own && own[0] ? ":" : "", own ? own : "")};
	made->at[1] = (struct name_value){.name = text_copy(CLOCK_VARIABLE),
					  .value = env->blueprint->verify.clock.kind == CLOCK_FROZEN
							   ? text_format("=%lld", (long long)env->blueprint->verify.clock.ms)
							   : text_format("%+lld", (long long)env->blueprint->verify.clock.ms)};
	made->list = (struct variables){made->at, ARRAY_LEN(made->at)};
	return made;
}

void clock_variables_free(struct clock_variables *variables)
{
	for (size_t i = 0; i < variables->list.count; i++) {
		free(variables->at[i].name);
		free(variables->at[i].value);
	}
	free(variables);
}
