/*
 * mcp: a server of the Model Context Protocol (modelcontextprotocol.io/specification/2025-11-25): JSON-RPC 2.0, a message a line. What a line
 * means is decided here, without reading or starting anything; who has the tools brings the lines and does the calls.
 */
#ifndef ASSAY_BASE_MCP_H
#define ASSAY_BASE_MCP_H

#include "base/json.h"

#define MCP_LINE_MAX ((size_t)1 << 20)

struct mcp_server {
	const char *name, *title, *instructions;
	json_t *(*tools)(void *self); /* as in the answer to tools/list; owned by the caller */
	void (*send)(void *self, const json_t *message);
	/* A tool is called; its end is told by mcp_server_answer() with the same id. `token` NULL: nobody wants to hear of its progress. An error is the
	 * tool's own failure, which the model sees and can mend; ERR_NOT_FOUND with *unknown: there is no such tool. */
	int (*call)(void *self, const json_t *id, const char *tool, const json_t *arguments, const json_t *token, bool *unknown,
		    struct err *err);
	void (*cancel)(void *self, const json_t *id); /* no answer is wanted any more */
	void *self;
};

void mcp_server_line(const struct mcp_server *server, struct view line); /* any bytes, without the newline */
void mcp_server_line_too_long(const struct mcp_server *server);
void mcp_server_answer(const struct mcp_server *server, const json_t *id, const char *text, const char *png_base64, bool failed);
void mcp_server_progress(const struct mcp_server *server, const json_t *token, int64_t count, const char *text);

#endif
