/*
 * What every agent is given to work on its environment with: the verbs of assay-env, as a command and as the MCP server `assay`, offered through
 * each program's own configuration, and a few lines that say so where the program keeps such lines: never in the repository.
 */
#include "agents/agent_priv.h"
#include "base/scope.h"

const char agent_tools_text[] =
	"You work in a sandbox of Assay. The application runs beside you, and the command `assay-env` works on it:\n"
	"- `assay-env deploy [SERVICE]` builds and restarts from your work tree, and waits until it is ready\n"
	"- `assay-env test [SUITE]` runs the tests here\n"
	"- `assay-env logs [SANDBOX]`, `assay-env http METHOD URL [-d BODY]`, `assay-env sql DATABASE STATEMENT`, `assay-env redis DATABASE "
	"COMMAND`\n"
	"- `assay-env trace [SEAM]` shows what services asked each other, `assay-env screenshot URL` a page as a PNG\n"
	"- `assay-env fault KIND SEAM` breaks a seam on purpose, `assay-env snapshot reset` puts the data back\n"
	"- `assay-env verify` runs what the verifier will run, as far as you may see it\n"
	"- `assay-env ask QUESTION` asks the person who gave the task, and waits: where the task leaves a real choice open\n"
	"- `assay-env done SUMMARY` says in a few sentences what you changed and why, for the pull request; what it claims is checked\n"
	"Where your program offers the MCP server `assay`, its tools are the same verbs. `assay-env help` has them all.\n";

/* A setting of codex: a TOML string. The text has neither quotes nor backslashes. */
static char *toml_setting(const char *key, const char *text)
{
	AUTO_BUF out = buf_new((size_t)64 << 10);

	buf_add_format(&out, "%s=\"", key);
	for (; *text; text++) {
		if (*text == '\n')
			buf_add_text(&out, "\\n");
		else
			buf_add_char(&out, *text);
	}
	buf_add_char(&out, '"');
	return buf_take(&out);
}

void agent_tools_claude(struct agent_turn *turn)
{
	agent_argv_add(turn, "--mcp-config");
	agent_argv_add(turn, "{\"mcpServers\":{\"assay\":{\"command\":\"" AGENT_TOOLS_PROGRAM "\",\"args\":[\"mcp\"]}}}");
	agent_argv_add(turn, "--strict-mcp-config"); /* servers of the repository's own are programs that it chose */
	agent_argv_add(turn, "--append-system-prompt");
	agent_argv_add(turn, agent_tools_text);
}

void agent_tools_codex(struct agent_turn *turn)
{
	static const char *const words[] = {"-c", "mcp_servers.assay.command=\"" AGENT_TOOLS_PROGRAM "\"",
					    "-c", "mcp_servers.assay.args=[\"mcp\"]",
					    "-c", "mcp_servers.assay.tool_timeout_sec=3600"};
	AUTO_FREE char *instructions = toml_setting("developer_instructions", agent_tools_text);

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		agent_argv_add(turn, words[i]);
	agent_argv_add(turn, "-c");
	agent_argv_add(turn, instructions);
}

void agent_tools_cursor(struct agent_turn *turn)
{
	agent_env_add(&turn->files, ".cursor/mcp.json",
		      "{\"mcpServers\":{\"assay\":{\"command\":\"" AGENT_TOOLS_PROGRAM "\",\"args\":[\"mcp\"]}}}\n");
}

/* Without the project's settings it does not read the project's AGENTS.md either: ours name that. */
void agent_tools_opencode(struct agent_turn *turn, bool settings)
{
	AUTO_FREE char *config = text_format("{%s\"mcp\":{\"assay\":{\"type\":\"local\",\"command\":[\"" AGENT_TOOLS_PROGRAM
					     "\",\"mcp\"],\"enabled\":true,\"timeout\":3600000}}}\n",
					     settings ? "" : "\"instructions\":[\"/workspace/AGENTS.md\"],");

	agent_env_add(&turn->files, ".config/opencode/opencode.json", config);
	agent_env_add(&turn->files, ".config/opencode/AGENTS.md", agent_tools_text);
}

json_t *agent_tools_acp(void)
{
	return json_pack("[{s:s, s:s, s:[s], s:[]}]", "name", "assay", "command", AGENT_TOOLS_PROGRAM, "args", "mcp", "env");
}
