/* The verbs as tools of base/mcp. */
#include "programs/assay_env_mcp.h"

#include "base/mcp.h"

static const char instructions[] =
	"These tools act on the environment of the checkout in /workspace: its services and databases run beside you, reachable by name. "
	"deploy after an edit, test, look with http, trace, logs and screenshot, and verify before you end: the same gates judge your work "
	"afterwards from a fresh copy. ask the person when the task leaves a real choice open. done says what you changed.";

static json_t *tools(void *self)
{
	json_t *list = json_array();

	(void)self;
	for (size_t i = 0; i < env_verb_count; i++) {
		const struct env_verb *verb = &env_verbs[i];

		(void)json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:{s:b, s:b}}", "name", verb->name, "description",
							    verb->about, "inputSchema", env_verb_schema(verb), "annotations",
							    "readOnlyHint", !verb->changes, "openWorldHint", 0));
	}
	return list;
}

static void send(void *self, const json_t *message)
{
	const struct mcp *mcp = self;

	mcp->send(mcp->self, message);
}

static int call(void *self, const json_t *id, const char *tool, const json_t *arguments, const json_t *token, bool *unknown,
		struct err *err)
{
	const struct mcp *mcp = self;
	const struct env_verb *verb = env_verb_find(tool);

	*unknown = !verb;
	if (!verb)
		return err_set(err, ERR_NOT_FOUND, "no tool `%.60s`", tool);
	return env_verb_check(verb, arguments, err) || mcp->call(mcp->self, id, verb, arguments, token, err) ? -1 : 0;
}

static void cancel(void *self, const json_t *id)
{
	const struct mcp *mcp = self;

	mcp->cancel(mcp->self, id);
}

static struct mcp_server server_of(const struct mcp *mcp)
{
	return (struct mcp_server){.name = "assay-env",
				   .title = "The environment",
				   .instructions = instructions,
				   .tools = tools,
				   .send = send,
				   .call = call,
				   .cancel = cancel,
				   .self = (void *)(uintptr_t)mcp};
}

void mcp_line(const struct mcp *mcp, struct view line)
{
	struct mcp_server server = server_of(mcp);

	mcp_server_line(&server, line);
}

void mcp_line_too_long(const struct mcp *mcp)
{
	struct mcp_server server = server_of(mcp);

	mcp_server_line_too_long(&server);
}

void mcp_answer(const struct mcp *mcp, const json_t *id, const char *text, const char *png_base64, bool failed)
{
	struct mcp_server server = server_of(mcp);

	mcp_server_answer(&server, id, text, png_base64, failed);
}

void mcp_progress(const struct mcp *mcp, const json_t *token, int64_t count, const char *text)
{
	struct mcp_server server = server_of(mcp);

	mcp_server_progress(&server, token, count, text);
}
