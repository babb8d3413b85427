/* Rules of credentials: parsed once by whoever takes them from a person, matched by the gateway, and again by the vault. */
#include "net/credential.h"

#include <ctype.h>
#include <stdio.h>

#include "base/scope.h"

static const struct {
	const char *name;
	enum credential_scheme scheme;
	uint16_t port;
} schemes[] = {
	{"https", CREDENTIAL_HTTPS, 443},
	{"http", CREDENTIAL_HTTP, 80},
	{"postgres", CREDENTIAL_POSTGRES, 5432},
};

static const struct {
	const char *name;
	enum credential_place place;
	bool slot;
} places[] = {
	{"header", CREDENTIAL_HEADER, true},      {"query", CREDENTIAL_QUERY, true}, {"path", CREDENTIAL_PATH, false},
	{"basic", CREDENTIAL_BASIC, false},       {"body", CREDENTIAL_BODY, false},  {"websocket", CREDENTIAL_WEBSOCKET, false},
	{"password", CREDENTIAL_PASSWORD, false}, {"aws", CREDENTIAL_AWS, true},
};

bool credential_name_valid(struct view name)
{
	if (!name.length || name.length >= CREDENTIAL_NAME_MAX || name.at[0] == '-')
		return false;
	for (size_t i = 0; i < name.length; i++)
		if (!islower((unsigned char)name.at[i]) && !isdigit((unsigned char)name.at[i]) && name.at[i] != '-')
			return false;
	return true;
}

static bool is_token(struct view text)
{
	for (size_t i = 0; i < text.length; i++)
		if (!isalnum((unsigned char)text.at[i]) && !strchr("!#$%&'*+-.^_`|~", text.at[i]))
			return false;
	return text.length > 0 && !memchr(text.at, '\0', text.length);
}

int credential_place_parse(struct view text, struct credential_use *use, struct err *err)
{
	struct view slot;
	struct view name;

	if (view_is(text, "bearer"))
		text = VIEW("header:authorization");
	name = view_cut(text, ':', &slot);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (!view_is(name, places[i].name))
			continue;
		if (places[i].slot != (slot.at != NULL) || (slot.at && (!is_token(slot) || slot.length >= CREDENTIAL_SLOT_MAX)))
			return err_set(err, ERR_INVALID, "`%.*s`: %s", (int)(text.length < 80 ? text.length : 80), text.at,
				       places[i].slot ? "a name must follow, as in header:x-api-key or aws:AKIAEXAMPLE"
						      : "no name may follow");
		use->place = (uint16_t)places[i].place;
		memset(use->slot, 0, sizeof(use->slot));
		for (size_t k = 0; slot.at && k < slot.length; k++)
			use->slot[k] = (char)(places[i].place == CREDENTIAL_HEADER ? tolower((unsigned char)slot.at[k])
										   : slot.at[k]);
		return 0;
	}
	return err_set(
		err, ERR_INVALID,
		"`%.*s` is no place for a credential: header:NAME, bearer, query:NAME, path, basic, body, websocket, password or aws:KEYID",
		(int)(text.length < 80 ? text.length : 80), text.at);
}

void credential_place_format(const struct credential_use *use, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if ((uint16_t)places[i].place == use->place)
			buf_add_format(out, "%s%s%s", places[i].name, places[i].slot ? ":" : "", use->slot);
}

/* Lower-case labels, as gateway/policy/host.h makes them; no wildcard, no address. */
static bool host_take(struct view text, char host[CREDENTIAL_HOST_MAX])
{
	bool letters = false;
	size_t label = 0;

	if (!text.length || text.length >= CREDENTIAL_HOST_MAX)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		int c = tolower((unsigned char)text.at[i]);

		if (c == '.' ? label == 0 : !(islower(c) || isdigit(c) || c == '-' || c == '_'))
			return false;
		label = c == '.' ? 0 : label + 1;
		letters = c == '.' ? (i + 1 < text.length ? false : letters) : letters || !isdigit(c);
		if (label > 63)
			return false;
		host[i] = (char)c;
	}
	host[text.length] = '\0';
	return label > 0 && letters;
}

static bool path_take(struct view text, char path[CREDENTIAL_PATH_MAX])
{
	if (!text.length || text.length >= CREDENTIAL_PATH_MAX || text.at[0] != '/')
		return false;
	for (size_t i = 0; i < text.length; i++)
		if (text.at[i] <= ' ' || text.at[i] > '~' || strchr("?#\\;", text.at[i]))
			return false;
	if (view_find(text, VIEW("/../")) >= 0 || view_find(text, VIEW("/./")) >= 0 || view_find(text, VIEW("**")) >= 0)
		return false;
	memcpy(path, text.at, text.length);
	path[text.length] = '\0';
	return true;
}

bool credential_host_is_own(const char *host)
{
	static const char *const endings[] = {".internal", ".test", ".localhost"};

	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (view_ends(view_of(host), view_of(endings[i])))
			return true;
	return false;
}

static int rule_refuse(struct view text, const char *why, struct err *err)
{
	return err_set(err, ERR_INVALID, "`%.*s`: %s; as in `POST https://api.example.com/v1/*`",
		       (int)(text.length < 200 ? text.length : 200), text.at, why);
}

/* "host:port", with the scheme's own port when there is none. */
static bool authority_take(struct view text, struct credential_rule *rule)
{
	struct view digits;
	struct view host = view_cut(text, ':', &digits);
	uint64_t port = rule->port;

	if (digits.at && (!view_to_u64(digits, &port) || !port || port > 65535))
		return false;
	rule->port = (uint16_t)port;
	return host_take(host, rule->host);
}

int credential_rule_parse(struct view text, struct credential_use *use, struct err *err)
{
	struct credential_rule rule = {.scheme = 0};
	struct view whole = view_trim(text);
	struct view url;
	struct view method = view_cut(whole, ' ', &url);
	struct view rest;
	ptrdiff_t at;

	if (use->rule_count >= CREDENTIAL_RULES_MAX)
		return err_set(err, ERR_LIMIT, "a credential has at most %d rules", CREDENTIAL_RULES_MAX);
	if (!url.at) {
		url = method;
		method = VIEW("");
	}
	url = view_trim(url);
	if (method.length && (!is_token(method) || method.length >= CREDENTIAL_METHOD_MAX))
		return rule_refuse(whole, "the method is none", err);
	if (view_equal_nocase(method, VIEW("WEBSOCKET")))
		return rule_refuse(whole, "a WebSocket begins with a GET: name that", err);
	memcpy(rule.method, method.at, method.length);
	at = view_find(url, VIEW("://"));
	for (size_t i = 0; at > 0 && i < ARRAY_LEN(schemes); i++)
		if (view_is(view_make(url.at, (size_t)at), schemes[i].name)) {
			rule.scheme = (uint16_t)schemes[i].scheme;
			rule.port = schemes[i].port;
		}
	if (!rule.scheme)
		return rule_refuse(whole, "a URL of https, http or postgres is expected", err);
	rest = view_make(url.at + at + 3, url.length - (size_t)at - 3);
	at = view_find(rest, VIEW("/"));
	if (!authority_take(at < 0 ? rest : view_make(rest.at, (size_t)at), &rule))
		return rule_refuse(whole, "the host is none: a whole name is expected, without a wildcard", err);
	if (!path_take(at < 0 ? VIEW("/*") : view_make(rest.at + at, rest.length - (size_t)at), rule.path))
		return rule_refuse(whole, "the path is none", err);
	if (rule.scheme == CREDENTIAL_HTTP && !credential_host_is_own(rule.host))
		return rule_refuse(whole, "over plain http a credential goes only to hosts below .internal, .test and .localhost",
				   err);
	use->rules[use->rule_count++] = rule;
	return 0;
}

void credential_rule_format(const struct credential_rule *rule, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if ((uint16_t)schemes[i].scheme != rule->scheme)
			continue;
		buf_add_format(out, "%s%s%s://%s", rule->method, rule->method[0] ? " " : "", schemes[i].name, rule->host);
		if (rule->port != schemes[i].port)
			buf_add_format(out, ":%u", rule->port);
		buf_add_text(out, rule->path);
	}
}

int credential_use_check(const struct credential_use *use, struct err *err)
{
	if (!use->place || use->place > CREDENTIAL_AWS)
		return err_set(err, ERR_INVALID, "where does the credential stand? Say --in header:NAME, query:NAME, basic, …");
	if (!use->rule_count || use->rule_count > CREDENTIAL_RULES_MAX)
		return err_set(err, ERR_INVALID, "what is the credential for? Say --for 'METHOD https://HOST/PATH'");
	for (size_t i = 0; i < use->rule_count; i++)
		if ((use->rules[i].scheme == CREDENTIAL_POSTGRES) != (use->place == CREDENTIAL_PASSWORD))
			return err_set(err, ERR_INVALID, "`password` and postgres:// go together, and with nothing else");
	if (use->place == CREDENTIAL_AWS && !use->slot[0])
		return err_set(err, ERR_INVALID, "whose key is it? Say --in aws:KEYID");
	return 0;
}

int credential_value_check(const struct credential_use *use, struct view value, struct err *err)
{
	if (value.length < CREDENTIAL_VALUE_MIN || value.length > CREDENTIAL_VALUE_MAX)
		return err_set(err, ERR_LIMIT, "a credential has %d to %d bytes, not %zu", CREDENTIAL_VALUE_MIN,
			       CREDENTIAL_VALUE_MAX, value.length);
	if (view_find(value, VIEW(CREDENTIAL_MARK)) >= 0)
		return err_set(err, ERR_INVALID, "this is a placeholder, not a credential");
	for (size_t i = 0; i < value.length; i++) {
		unsigned char c = (unsigned char)value.at[i];

		if (c == '\0' || c == '\r' || c == '\n' || c == 0x7f || (c < ' ' && use->place != CREDENTIAL_BODY))
			return err_set(
				err, ERR_INVALID,
				"the credential holds a line end or a control character, which would end the field that it stands in");
	}
	return 0;
}

/* `*` at the end is any rest, elsewhere any part of a segment. */
static bool path_fits(const char *pattern, struct view path)
{
	size_t at = 0, star_at = 0;
	const char *star = NULL;

	for (;;) {
		if (*pattern == '*') {
			if (!pattern[1])
				return true;
			star = ++pattern;
			star_at = at;
			continue;
		}
		if (at == path.length && !*pattern)
			return true;
		if (at < path.length && *pattern == path.at[at]) {
			pattern++;
			at++;
			continue;
		}
		if (!star || star_at >= path.length || path.at[star_at] == '/')
			return false;
		at = ++star_at;
		pattern = star;
	}
}

static bool method_fits(const struct credential_rule *rule, struct view method)
{
	if (strcmp(rule->method, "*") == 0 || rule->scheme == CREDENTIAL_POSTGRES)
		return true;
	return rule->method[0] ? view_is(method, rule->method) : view_is(method, "GET") || view_is(method, "HEAD");
}

bool credential_allows(const struct credential_use *use, enum credential_scheme scheme, const char *host, uint16_t port,
		       struct view method, struct view path)
{
	for (size_t i = 0; i < use->rule_count && i < CREDENTIAL_RULES_MAX; i++) {
		const struct credential_rule *rule = &use->rules[i];

		if (rule->scheme == (uint16_t)scheme && rule->port == port && strcmp(rule->host, host) == 0 &&
		    method_fits(rule, method) && path_fits(rule->path, path))
			return true;
	}
	return false;
}

bool credential_is_for_host(const struct credential_use *use, const char *host, uint16_t port)
{
	for (size_t i = 0; i < use->rule_count && i < CREDENTIAL_RULES_MAX; i++)
		if (use->rules[i].port == port && strcmp(use->rules[i].host, host) == 0)
			return true;
	return false;
}
