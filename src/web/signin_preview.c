/*
 * Signing in to a preview of https://<env>.<domain>: the gateway sends a browser here that has no pass (gateway/front.h), and it is sent back with one when
 * somebody is signed in. The session's cookie is Strict and does not come with a visit from another address, so the browser asks a second
 * time from a page of ours.
 */
#include "base/scope.h"
#include "web/web_priv.h"

#define HERE "/signin/preview"
#define ADDRESS_MAX 16384

/* The same question again, by a page of ours. */
static json_t *preview_ask(struct call *call, struct err *err)
{
	AUTO_BUF address = buf_new(ADDRESS_MAX);
	static const char *const names[] = {"host", "to", "browser"};

	buf_add_text(&address, HERE "/go?");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *value = http_request_query(call->request, names[i]);

		buf_add_format(&address, "%s%s=", i ? "&amp;" : "", names[i]);
		buf_add_url(&address, view_of(value ? value : ""));
	}
	if (buf_finish(&address, err))
		return NULL;
	return sentence_answer(call, 200, "This preview is for people who may sign in.", address.at, "Go on");
}

static bool signed_in(struct call *call, struct err *err)
{
	return !call->web->options.sign_in || !session_judge(call, &call->caller, err);
}

static json_t *preview_go(struct call *call, struct err *err)
{
	const struct web_options *options = &call->web->options;
	AUTO_FREE char *host = http_request_query(call->request, "host");
	AUTO_FREE char *to = http_request_query(call->request, "to");
	AUTO_FREE char *browser = http_request_query(call->request, "browser");
	AUTO_FREE char *address = NULL;

	if (!options->preview_enter) {
		(void)err_set(err, ERR_NOT_FOUND, "previews are for this machine only (--preview-domain)");
		return NULL;
	}
	if (!signed_in(call, err))
		return err->kind == ERR_DENIED
			       ? sentence_answer(call, 403, "Sign in to the pages first, then open the preview again.", "/",
						 "To the pages")
			       : NULL;
	address = options->preview_enter(options->self, host ? host : "", to ? to : "", browser ? browser : "", err);
	if (!address)
		return NULL;
	http_reply_header(call->reply, "Cache-Control", "no-store");
	http_reply_redirect(call->reply, 303, address);
	call->answered = true;
	return NULL;
}

const struct row signin_preview_rows[] = {
	{"GET", HERE, preview_ask, WHO_PAGE | WHO_ANYONE, ROLE_VIEWER},
	{"GET", HERE "/go", preview_go, WHO_PAGE | WHO_ANYONE, ROLE_VIEWER},
};
const size_t signin_preview_row_count = ARRAY_LEN(signin_preview_rows);
