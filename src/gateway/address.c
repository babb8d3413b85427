/* Two tables of names. */
#include "gateway/address.h"

#include <stdlib.h>

#include "base/scope.h"

struct host {
	uint64_t hash;
	uint64_t used; /* when, by a counter */
	char *name;
};

struct addresses {
	char **own;
	size_t own_count;
	struct host hosts[ADDRESS_HOSTS_MAX];
	size_t host_count;
	uint64_t uses;
};

struct addresses *addresses_new(void)
{
	return mem_new(sizeof(struct addresses));
}

void addresses_free(struct addresses *addresses)
{
	if (!addresses)
		return;
	for (size_t i = 0; i < addresses->own_count; i++)
		free(addresses->own[i]);
	for (size_t i = 0; i < addresses->host_count; i++)
		free(addresses->hosts[i].name);
	free(addresses->own);
	free(addresses);
}

uint32_t address_of_own(struct addresses *addresses, const char *name)
{
	size_t at = 0;

	while (at < addresses->own_count && strcmp(addresses->own[at], name) != 0)
		at++;
	if (at == ADDRESS_OWN_MAX)
		return 0;
	if (at == addresses->own_count) {
		addresses->own = mem_grow(addresses->own, at + 1, sizeof(*addresses->own));
		addresses->own[addresses->own_count++] = text_copy(name);
	}
	return ADDRESS_OWN_FIRST + (uint32_t)at;
}

uint32_t address_of_host(struct addresses *addresses, const char *host)
{
	uint64_t hash = view_hash(view_of(host));
	size_t oldest = 0;
	size_t at;

	for (at = 0; at < addresses->host_count; at++) {
		if (addresses->hosts[at].hash == hash && strcmp(addresses->hosts[at].name, host) == 0)
			break;
		if (addresses->hosts[at].used < addresses->hosts[oldest].used)
			oldest = at;
	}
	if (at == ADDRESS_HOSTS_MAX) {
		at = oldest;
		free(addresses->hosts[at].name);
		addresses->hosts[at] = (struct host){.hash = hash, .name = text_copy(host)};
	} else if (at == addresses->host_count) {
		addresses->hosts[addresses->host_count++] = (struct host){.hash = hash, .name = text_copy(host)};
	}
	addresses->hosts[at].used = ++addresses->uses;
	return ADDRESS_HOST_FIRST + (uint32_t)at;
}

const char *address_own_name(const struct addresses *addresses, uint32_t address)
{
	uint32_t at = address - ADDRESS_OWN_FIRST;

	return at < addresses->own_count ? addresses->own[at] : NULL;
}

const char *address_host_name(struct addresses *addresses, uint32_t address)
{
	uint32_t at = address - ADDRESS_HOST_FIRST;

	if (at >= addresses->host_count)
		return NULL;
	addresses->hosts[at].used = ++addresses->uses;
	return addresses->hosts[at].name;
}
