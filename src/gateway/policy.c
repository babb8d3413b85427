/* Egress rules and the addresses that are never dialled. */
#include "gateway/policy.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/scope.h"

bool host_canonical(struct view text, char host[HOST_NAME_MAX_BYTES])
{
	size_t label = 0;
	bool digits = true; /* of the last label */

	if (text.length && text.at[text.length - 1] == '.')
		text.length--;
	if (!text.length || text.length >= HOST_NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c == '.') {
			if (!label)
				return false;
			label = 0;
			digits = true;
		} else if ((isalnum(c) || c == '-' || c == '_') && ++label <= 63) {
			digits = digits && isdigit(c);
		} else {
			return false;
		}
		host[i] = (char)tolower(c);
	}
	host[text.length] = '\0';
	/* 1.2.3.4, 127.1, 2130706433; and 0x7f000001, which some programs read as a number. */
	return label && !digits && strncmp(strrchr(host, '.') ? strrchr(host, '.') + 1 : host, "0x", 2) != 0;
}

static int rule_parse(const json_t *json, struct policy_rule *rule, struct err *err)
{
	const char *action = json_text(json, "action", "");
	int64_t port = json_number(json, "port", 0);
	struct view after = {NULL, 0};
	struct view host;
	const char *text;
	uint64_t number;

	if (json_text_get(json, "host", &text, err))
		return -1;
	host = view_cut(view_of(text), ':', &after);
	if (after.at) {
		if (port || !view_to_u64(after, &number) || !number || number > 65535)
			return err_set(err, ERR_INVALID, "`%s` has a port that is none", text);
		port = (int64_t)number;
	}
	if (port < 0 || port > 65535)
		return err_set(err, ERR_INVALID, "`port` of %s is none", text);
	if (strcmp(action, "allow") != 0 && strcmp(action, "deny") != 0)
		return err_set(err, ERR_INVALID, "`action` of %s must be `allow` or `deny`", text);
	*rule = (struct policy_rule){.allow = action[0] == 'a', .port = (uint16_t)port};
	if (view_is(host, "*")) {
		rule->below = true;
		return 0;
	}
	if (view_starts(host, VIEW("*."))) {
		rule->below = true;
		host = view_make(host.at + 2, host.length - 2);
	}
	if (!host_canonical(host, rule->host))
		return err_set(err, ERR_INVALID, "`%s` is no host name", text);
	return 0;
}

int policy_parse(const json_t *rules, struct policy *policy, struct err *err)
{
	json_t *rule;
	size_t index;

	*policy = (struct policy){0};
	if (!rules || json_is_null(rules))
		return 0;
	if (!json_is_array(rules) || json_array_size(rules) > POLICY_RULES_MAX)
		return err_set(err, ERR_INVALID, "egress rules must be a list of at most %d", POLICY_RULES_MAX);
	policy->rules = mem_new_array(json_array_size(rules), sizeof(*policy->rules));
	json_array_foreach(rules, index, rule) {
		if (rule_parse(rule, &policy->rules[index], err)) {
			policy_fini(policy);
			return err_prefix(err, "egress rule %zu", index + 1);
		}
		policy->count++;
	}
	return 0;
}

void policy_fini(struct policy *policy)
{
	free(policy->rules);
	*policy = (struct policy){0};
}

static bool rule_names(const struct policy_rule *rule, const char *host)
{
	if (!rule->below)
		return strcmp(rule->host, host) == 0;
	if (!rule->host[0])
		return true;
	return strlen(host) > strlen(rule->host) + 1 && view_ends(view_of(host), view_of(rule->host)) &&
	       host[strlen(host) - strlen(rule->host) - 1] == '.';
}

static bool rule_covers(const struct policy_rule *rule, uint16_t port)
{
	if (rule->port)
		return rule->port == port;
	return !rule->allow || port == 80 || port == 443;
}

bool policy_allows(const struct policy *policy, const char *host, uint16_t port, const char **why)
{
	bool named = false;
	bool allowed = false;

	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		if (!rule_names(rule, host))
			continue;
		if (!rule->allow && rule_covers(rule, port)) {
			*why = "a rule denies it";
			return false;
		}
		named = named || rule->allow;
		allowed = allowed || (rule->allow && rule_covers(rule, port));
	}
	if (!allowed)
		*why = named ? "it is allowed on other ports only" : "no rule allows it";
	return allowed;
}

bool policy_resolves(const struct policy *policy, const char *host)
{
	const char *why;

	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		if (!rule->allow || !rule_names(rule, host))
			continue;
		if (rule->port ? policy_allows(policy, host, rule->port, &why)
			       : policy_allows(policy, host, 443, &why) || policy_allows(policy, host, 80, &why))
			return true;
	}
	return false;
}

struct range4 {
	uint32_t address;
	unsigned bits;
};

/* IANA's special-purpose registry, and the addresses where clouds keep their metadata. */
static const struct range4 ranges4[] = {
	{0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},  {0xa9fe0000, 16}, {0xac100000, 12},
	{0xc0000000, 24}, {0xc0000200, 24}, {0xc0586300, 24}, {0xc0a80000, 16}, {0xc6120000, 15}, {0xc6336400, 24},
	{0xcb007100, 24}, {0xe0000000, 4},  {0xf0000000, 4},  {0xa83f8110, 32},
};

static bool address4_is_public(uint32_t address)
{
	for (size_t i = 0; i < ARRAY_LEN(ranges4); i++)
		if ((address ^ ranges4[i].address) >> (32 - ranges4[i].bits) == 0)
			return false;
	return true;
}

bool address_is_public(const struct sockaddr *address)
{
	const unsigned char *bytes;

	if (address->sa_family == AF_INET)
		return address4_is_public(ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
	if (address->sa_family != AF_INET6)
		return false;
	/* Of IPv6 only 2000::/3 is given out; Teredo, ORCHID, documentation and 6to4 within it carry something else. */
	bytes = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
	if ((bytes[0] & 0xe0) != 0x20)
		return false;
	if (bytes[0] == 0x20 && bytes[1] == 0x02)
		return false;
	if (bytes[0] == 0x20 && bytes[1] == 0x01 && (bytes[2] < 0x02 || (bytes[2] == 0x0d && bytes[3] == 0xb8)))
		return false;
	return !(bytes[0] == 0x3f && bytes[1] == 0xff && bytes[2] < 0x10);
}

struct range {
	int family;
	unsigned bits;
	unsigned char bytes[16];
};

/* Written before the first thread starts, read only after it. */
static struct range reach[REACH_MAX];
static size_t reach_count;

int reach_add(const char *network, struct err *err)
{
	struct view bits;
	AUTO_FREE char *address = view_copy(view_cut(view_of(network), '/', &bits));
	struct range range = {.family = strchr(address, ':') ? AF_INET6 : AF_INET};
	unsigned bits_max = range.family == AF_INET ? 32 : 128;
	uint64_t number = bits_max;

	if (reach_count == REACH_MAX)
		return err_set(err, ERR_LIMIT, "more than %d networks to reach", REACH_MAX);
	if (inet_pton(range.family, address, range.bytes) != 1 || (bits.at && (!view_to_u64(bits, &number) || number > bits_max)))
		return err_set(err, ERR_INVALID, "`%s` is no network: expected ADDRESS or ADDRESS/BITS", network);
	range.bits = (unsigned)number;
	reach[reach_count++] = range;
	return 0;
}

static bool range_holds(const struct range *range, int family, const unsigned char *bytes)
{
	unsigned whole = range->bits / 8;
	unsigned rest = range->bits % 8;

	return range->family == family && memcmp(range->bytes, bytes, whole) == 0 &&
	       (!rest || ((range->bytes[whole] ^ bytes[whole]) >> (8 - rest)) == 0);
}

bool address_is_reachable(const struct sockaddr *address)
{
	const void *bytes = address->sa_family == AF_INET
				    ? (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr
				    : (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;

	if (address_is_public(address))
		return true;
	for (size_t i = 0; i < reach_count; i++)
		if (range_holds(&reach[i], address->sa_family, bytes))
			return true;
	return false;
}
