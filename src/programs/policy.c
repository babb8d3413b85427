/* Requests that are only imagined. */
#include "programs/policy.h"

#include "base/file.h"
#include "base/scope.h"
#include "gateway/dlp/dlp.h"
#include "gateway/policy/policy.h"

#define AUTO_POLICY __attribute__((cleanup(policy_scope))) struct policy

static void policy_scope(struct policy **policy)
{
	policy_release(*policy);
}

static json_t *formless(const char *why)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:[]}", "action", "deny", "rule", "canonical-form", "why", why, "remedy", "",
			 "rules");
}

/* "https://name:port/path?query" */
static json_t *request_judge(const struct policy *policy, const json_t *json)
{
	const json_t *who = json_member(json, "origin");
	const char *method = json_text(json, "method", "GET");
	const char *url = json_text(json, "url", "");
	bool tls = strncmp(url, "https://", 8) == 0;
	AUTO_BUF path = buf_new(PATH_BYTES_MAX + 1);
	AUTO_BUF query = buf_new(PATH_QUERY_BYTES_MAX);
	char host[HOST_NAME_MAX_BYTES];
	uint64_t port = tls ? 443 : 80;
	struct view authority;
	struct view rest;
	const char *why = "a URL begins with http:// or https://";
	const char *colon;
	bool address;

	if (!tls && strncmp(url, "http://", 7) != 0)
		return formless(why);
	rest = view_of(url + (tls ? 8 : 7));
	authority = view_make(rest.at, strcspn(rest.at, "/?"));
	rest = view_make(rest.at + authority.length, rest.length - authority.length);
	colon = memrchr(authority.at, ':', authority.length);
	if (colon && authority.at[authority.length - 1] != ']') {
		struct view text = view_make(colon + 1, (size_t)(authority.at + authority.length - colon - 1));

		if (!view_to_u64(text, &port) || !port || port > 65535)
			return formless("the port is none");
		authority.length = (size_t)(colon - authority.at);
	}
	if (!host_or_address_canonical(authority, host, &address))
		return formless("the host has no canonical name");
	if (!path_canonical(rest.length && rest.at[0] == '/' ? rest : VIEW("/"), &path, &query, &why))
		return formless(why);
	return policy_explain(policy,
			      &(struct egress_request){.origin = {.env = json_text(who, "env", ""),
								  .sandbox = json_text(who, "sandbox", ""),
								  .agent = json_text(who, "agent", ""),
								  .run = json_text(who, "run", ""),
								  .repository = json_text(who, "repository", "")},
						       .host = host,
						       .port = (uint16_t)port,
						       .tls = tls,
						       .method = strcmp(method, "WEBSOCKET") == 0 ? VIEW("GET") : view_of(method),
						       .path = buf_view(&path),
						       .query = buf_view(&query),
						       .websocket = strcmp(method, "WEBSOCKET") == 0},
			      false);
}

json_t *policy_requests_judge(const json_t *rules, const json_t *organisation, const json_t *requests, struct err *err)
{
	bool governed = organisation && !json_is_null(organisation);
	AUTO_POLICY *above = governed ? policy_new(organisation, NULL, err) : NULL;
	AUTO_POLICY *policy = !governed || above ? policy_new(rules, above, err) : NULL;
	json_t *judged = policy ? json_array() : NULL;
	json_t *request;
	size_t i;

	for (i = 0; judged && i < json_array_size(requests); i++) {
		request = json_array_get(requests, i);
		(void)json_array_append_new(judged, request_judge(policy, request));
	}
	return judged;
}

int policy_dlp_judge(const json_t *description, size_t *wrong, struct err *err)
{
	const char *gitleaks = json_text(description, "gitleaks", NULL);
	AUTO_JSON imported = gitleaks ? dlp_rules_from_gitleaks(view_of(gitleaks), err) : NULL;
	const json_t *rules = json_member(description, "rules");

	*wrong = SIZE_MAX;
	if (gitleaks && !imported)
		return -1;
	if (imported && dlp_rules_check(imported, wrong, err)) {
		*wrong = SIZE_MAX; /* it is none of `rules` */
		return -1;
	}
	return rules ? dlp_rules_check(rules, wrong, err) : 0;
}

int policy_scan_file(json_t *body, int *fd, struct err *err)
{
	json_t *policy = json_object_get(body, "policy");
	const json_t *description = json_member(policy, "dlp");
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);

	*fd = -1;
	if (json_object_size(description)) {
		json_format(&text, description);
		*fd = buf_finish(&text, err) ? -1 : file_anonymous(buf_view(&text), err);
		if (*fd < 0)
			return -1;
	}
	(void)json_object_del(policy, "dlp");
	(void)json_object_del(policy, "gitleaks");
	return 0;
}
