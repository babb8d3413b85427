/* Lines of the Model Context Protocol: each is answered by what is JSON-RPC, whatever it was. */
#include <assert.h>
#include <string.h>

#include "programs/assay_env_mcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sent(void *self, const json_t *message)
{
	AUTO_BUF line = buf_new(BUF_MAX_DEFAULT);

	(void)self;
	assert(strcmp(json_text(message, "jsonrpc", ""), "2.0") == 0);
	assert(!json_member(message, "result") != !json_member(message, "error"));
	json_format(&line, message);
	assert(!memchr(line.at, '\n', line.length));
}

static int called(void *self, const json_t *id, const struct env_verb *verb, const json_t *arguments, const json_t *token,
		  struct err *err)
{
	(void)self;
	(void)token;
	assert(json_is_string(id) || json_is_integer(id));
	return env_verb_check(verb, arguments, err);
}

static void cancelled(void *self, const json_t *id)
{
	(void)self;
	(void)id;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mcp mcp = {sent, called, cancelled, NULL};
	struct view rest = view_make(data, size);

	while (rest.at && rest.length) {
		struct view line = view_cut(rest, '\n', &rest);

		mcp_line(&mcp, line);
	}
	return 0;
}
