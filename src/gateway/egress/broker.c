/* The credentials of an environment, and what is asked of the vault for one request. */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/egress/aws.h"
#include "gateway/egress/broker_priv.h"

/* ---- what there is ---- */

static int credential_parse(const json_t *json, struct broker_credential *credential, struct err *err)
{
	const char *name, *placeholder, *place;
	const json_t *rules = json_member(json, "for");
	json_t *rule;
	size_t index;
	ptrdiff_t at;

	if (json_text_get(json, "name", &name, err) || json_text_get(json, "placeholder", &placeholder, err) ||
	    json_text_get(json, "in", &place, err))
		return -1;
	if (!credential_name_valid(view_of(name)))
		return err_set(err, ERR_INVALID, "a credential's name is none");
	(void)snprintf(credential->name, sizeof(credential->name), "%s", name);
	at = view_find(view_of(placeholder), MARK);
	if (at < 0 || strlen(placeholder) > CREDENTIAL_VALUE_MAX)
		return err_set(err, ERR_INVALID, "credential %s: its placeholder is none", name);
	credential->placeholder = text_copy(placeholder);
	credential->placeholder_bytes = strlen(placeholder);
	credential->mark_at = (size_t)at;
	if (credential_place_parse(view_of(place), &credential->use, err) || !json_is_array(rules))
		return err_set(err, ERR_INVALID, "credential %s: `for` and `in` are expected", name);
	json_array_foreach((json_t *)(uintptr_t)rules, index, rule)
		if (!json_is_string(rule) || credential_rule_parse(view_of(json_string_value(rule)), &credential->use, err))
			return err_set(err, ERR_INVALID, "credential %s: rule %zu is none", name, index + 1);
	credential->use.require = json_flag(json, "require", false);
	return credential_use_check(&credential->use, err);
}

int broker_new(const json_t *credentials, struct broker **broker, struct err *err)
{
	struct broker *made = mem_new(sizeof(*made));
	json_t *json;
	size_t index;

	if (credentials && (!json_is_array(credentials) || json_array_size(credentials) > BROKER_CREDENTIALS_MAX)) {
		free(made);
		return err_set(err, ERR_INVALID, "`credentials` must be a list of at most %d", BROKER_CREDENTIALS_MAX);
	}
	made->references = 1;
	made->credentials = mem_new_array(json_array_size(credentials) + 1, sizeof(*made->credentials));
	json_array_foreach((json_t *)(uintptr_t)credentials, index, json) {
		made->count++;
		if (credential_parse(json, &made->credentials[index], err)) {
			broker_free(made);
			return -1;
		}
	}
	*broker = made;
	return 0;
}

struct broker *broker_ref(struct broker *broker)
{
	if (broker)
		broker->references++;
	return broker;
}

void broker_free(struct broker *broker)
{
	if (!broker || --broker->references)
		return;
	for (size_t i = 0; i < broker->count; i++)
		free(broker->credentials[i].placeholder);
	swap_free(broker->strays);
	free(broker->credentials);
	free(broker);
}

size_t broker_count(const struct broker *broker)
{
	return broker ? broker->count : 0;
}

struct view broker_placeholder(const struct broker *broker, size_t index)
{
	return view_make(broker->credentials[index].placeholder, broker->credentials[index].placeholder_bytes);
}

const char *broker_name(const struct broker *broker, size_t index)
{
	return broker->credentials[index].name;
}

bool broker_goes_into_bodies(const struct broker *broker, size_t index)
{
	return broker->credentials[index].use.place == CREDENTIAL_BODY ||
	       broker->credentials[index].use.place == CREDENTIAL_WEBSOCKET;
}

/* ---- plans ---- */

enum credential_scheme broker_scheme(const struct egress_request *request)
{
	if (view_is(request->method, LOGIN_METHOD))
		return CREDENTIAL_POSTGRES;
	return request->tls ? CREDENTIAL_HTTPS : CREDENTIAL_HTTP;
}

void broker_refuse(struct egress_verdict *verdict, const char *rule, const char *why, const char *remedy)
{
	*verdict = (struct egress_verdict){.action = EGRESS_DENY, .status = 403, .why = why, .remedy = remedy};
	(void)snprintf(verdict->rule, sizeof(verdict->rule), "%s", rule);
}

void broker_plan_fini(struct broker_plan *plan)
{
	if (plan->wants)
		explicit_bzero(plan->wants, BROKER_WANTS_MAX * sizeof(*plan->wants));
	free(plan->wants);
	*plan = (struct broker_plan){0, NULL};
}

bool broker_want_signs(const struct broker *broker, const struct broker_want *want)
{
	return broker->credentials[want->credential].use.place == CREDENTIAL_AWS;
}

/* Does anything of it go into the request, as it is? */
bool broker_puts_in(const struct broker *broker, const struct broker_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (!broker_want_signs(broker, &plan->wants[i]))
			return true;
	return false;
}

/* ---- logins ---- */

bool broker_logs_in(const struct broker *broker, const char *host, uint16_t port)
{
	for (size_t i = 0; broker && i < broker->count; i++)
		if (broker->credentials[i].use.place == CREDENTIAL_PASSWORD &&
		    credential_is_for_host(&broker->credentials[i].use, host, port))
			return true;
	return false;
}

bool broker_login(const struct broker *broker, const struct egress_request *request, struct view placeholder,
		  struct broker_plan *plan)
{
	for (size_t i = 0; broker && i < broker->count; i++) {
		const struct broker_credential *credential = &broker->credentials[i];

		if (credential->use.place != CREDENTIAL_PASSWORD || !view_equal(placeholder, broker_placeholder(broker, i)) ||
		    !credential_allows(&credential->use, CREDENTIAL_POSTGRES, request->host, request->port, VIEW(""),
				       request->path))
			continue;
		plan->wants = mem_new_array(BROKER_WANTS_MAX, sizeof(*plan->wants));
		plan->wants[plan->count++].credential = i;
		return true;
	}
	return false;
}

/* ---- releasing ---- */

static void text_put(char *place, size_t bytes, struct view text)
{
	if (text.length < bytes)
		memcpy(place, text.at, text.length);
	else
		memset(place, 'x', bytes); /* unended: the vault refuses it */
}

void broker_ask(const struct broker *broker, const struct broker_plan *plan, size_t index, const struct egress_request *request,
		struct vault_release_request *ask)
{
	struct aws_claim claim;

	*ask = (struct vault_release_request){.scheme = (uint16_t)broker_scheme(request), .port = request->port};
	text_put(ask->env, sizeof(ask->env), view_of(request->origin.env));
	text_put(ask->name, sizeof(ask->name), view_of(broker->credentials[plan->wants[index].credential].name));
	text_put(ask->host, sizeof(ask->host), view_of(request->host));
	text_put(ask->method, sizeof(ask->method), request->method);
	text_put(ask->path, sizeof(ask->path), request->path);
	for (size_t i = 0; broker_want_signs(broker, &plan->wants[index]) && i < request->field_count; i++)
		if (view_is(request->fields[i].name, "authorization") && aws_claim_parse(request->fields[i].value, &claim))
			text_put(ask->scope, sizeof(ask->scope), claim.scope);
}

int broker_answered(const struct broker *broker, struct broker_plan *plan, size_t index, const struct vault_release_reply *reply,
		    struct egress_verdict *verdict)
{
	struct broker_want *want = &plan->wants[index];
	struct view value = view_make(reply->value, reply->value_bytes);

	if (reply->errno_value || reply->value_bytes > sizeof(want->value) ||
	    (broker_want_signs(broker, want)
		     ? reply->value_bytes != SIGV4_KEY_BYTES
		     : credential_value_check(&broker->credentials[want->credential].use, value, NULL) != 0)) {
		broker_refuse(verdict, "broker:not-released", "the vault does not release the credential for this request",
			      "its run may be over; `assay secret list` shows what it is for");
		return -1;
	}
	want->value_bytes = reply->value_bytes;
	memcpy(want->value, reply->value, reply->value_bytes);
	return 0;
}
