/*
 * assay_env_mcp: the verbs as a server of the Model Context Protocol (base/mcp.h) on standard input and output. mcp_serve()
 * (assay_env_serve.c) brings the lines, and does each call in a process of its own, so that a long one neither blocks others nor outlives
 * its cancelling.
 */
#ifndef ASSAY_PROGRAMS_ASSAY_ENV_MCP_H
#define ASSAY_PROGRAMS_ASSAY_ENV_MCP_H

#include "base/mcp.h"
#include "programs/assay_env_verbs.h"

struct mcp {
	void (*send)(void *self, const json_t *message);
	/* A tool is to be called with arguments that were checked; its end is told by mcp_answer() with the same id. `token` NULL: nobody
	 * wants to hear of its progress. What is wrong becomes the answer. */
	int (*call)(void *self, const json_t *id, const struct env_verb *verb, const json_t *arguments, const json_t *token,
		    struct err *err);
	void (*cancel)(void *self, const json_t *id); /* no answer is wanted any more */
	void *self;
};

void mcp_line(const struct mcp *mcp, struct view line); /* any bytes, without the newline */
void mcp_line_too_long(const struct mcp *mcp);
void mcp_answer(const struct mcp *mcp, const json_t *id, const char *text, const char *png_base64, bool failed);
void mcp_progress(const struct mcp *mcp, const json_t *token, int64_t count, const char *text);

/* Until the input ends; an exit code. */
int mcp_serve(int input, int output);

#endif
