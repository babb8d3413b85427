/* What the two halves of the row `acp` share: its state, and how a message of JSON-RPC is sent. */
#ifndef ASSAY_AGENTS_ACP_PRIV_H
#define ASSAY_AGENTS_ACP_PRIV_H

#include "agents/agent_priv.h"

#define ACP_VERSION 1
#define ACP_CALLS_MAX ((size_t)256)    /* tool calls that have not ended */
#define ACP_ASKS_MAX ((size_t)64)      /* requests of the agent that are not answered */
#define ACP_ID_BYTES_MAX ((size_t)256) /* of a request of the agent */
#define ACP_OUTPUT_BYTES_MAX ((int64_t)1 << 20)
#define ACP_ROOT "/workspace"

enum acp_step { ACP_INITIALIZE, ACP_AUTHENTICATE, ACP_SESSION, ACP_MODEL, ACP_PROMPT, ACP_DONE };

struct acp {
	enum acp_step step;
	uint32_t request_last;
	uint32_t request; /* the number of our request that is open: one at a time; 0: none */
	bool can_load;
	bool loading;                 /* what comes is a session told again */
	bool authenticated;           /* tried */
	char *auth_method;            /* to try when the session is refused for it; NULL: none */
	char *prompt;                 /* for a session that knows what was said */
	char *whole_prompt;           /* for one that does not */
	char *wanted;                 /* the session to load; NULL: a new one */
	char *model;                  /* to be used; NULL: the agent's choice */
	enum agent_event_kind saying; /* what parser->said is a part of */
	json_t *calls;                /* {tool call's id: what is known of it} */
	json_t *asks;                 /* {number: the agent's id} */
	uint32_t ask_last;
	int64_t input_tokens; /* of the prompts that ended */
	int64_t output_tokens;
};

static inline struct acp *acp_of(struct agent_parser *parser)
{
	return parser->own;
}

/* Each is one line. `params`, `id` and `result` are stolen. */
void acp_notify(struct agent_sink sink, const char *method, json_t *params);
void acp_reply(struct agent_sink sink, json_t *id, json_t *result);
void acp_refuse(struct agent_sink sink, json_t *id, int code, const char *message);

/* A request of the agent: permission, files, terminals. Anything else is answered "method not found". */
void acp_serve(struct agent_parser *parser, const json_t *message, struct agent_sink sink);
void acp_answer(struct agent_parser *parser, uint32_t id, const json_t *result, const char *error, struct agent_sink sink);

/* A tool call is begun or changed. */
void acp_call(struct agent_parser *parser, const json_t *update, struct agent_sink sink);

#endif
