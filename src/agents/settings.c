/*
 * What of a program's settings counts: ours, with the gate (`assay-env gate`) as a hook that is asked before a turn ends; and those of the
 * repository, which can run programs, only where the blueprint allows them. Measured with the versions that agent_package names.
 */
#include "agents/agent_priv.h"

#define STOP_HOOK \
	"{\"hooks\":{\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"" AGENT_GATE "\",\"timeout\":" AGENT_GATE_S "}]}]}}"

void agent_settings_claude(struct agent_turn *turn, const struct agent_request *request)
{
	agent_argv_add(turn, "--settings");
	agent_argv_add(turn, STOP_HOOK);
	if (request->settings)
		return;
	/* Without the project's settings it does not read what was written for it in the project either: the user's file names that. */
	agent_argv_add(turn, "--setting-sources");
	agent_argv_add(turn, "user");
	agent_env_add(&turn->files, ".claude/CLAUDE.md", "@/workspace/CLAUDE.md\n@/workspace/AGENTS.md\n");
}

void agent_settings_codex(struct agent_turn *turn, const struct agent_request *request)
{
	agent_env_add(&turn->files, ".codex/hooks.json", STOP_HOOK "\n");
	agent_argv_add(turn, "--dangerously-bypass-hook-trust"); /* ours; those of a project that is not trusted are none */
	if (request->settings) {
		agent_argv_add(turn, "-c");
		agent_argv_add(turn, "projects.\"/workspace\".trust_level=\"trusted\"");
	}
}
