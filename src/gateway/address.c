/* Two tables of names, one that keeps all and one that forgets. */
#include "gateway/address.h"

#include <stdlib.h>

#include "base/scope.h"

struct entry {
	uint32_t address;
	uint64_t hash;
	uint64_t used; /* when, by a counter */
	char *name;
};

struct table {
	struct entry *at;
	size_t count;
};

struct addresses {
	struct table own;
	struct table hosts;
	uint64_t uses;
};

struct addresses *addresses_new(void)
{
	return mem_new(sizeof(struct addresses));
}

static void table_fini(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->at[i].name);
	free(table->at);
}

void addresses_free(struct addresses *addresses)
{
	if (!addresses)
		return;
	table_fini(&addresses->own);
	table_fini(&addresses->hosts);
	free(addresses);
}

static struct entry *entry_by_name(const struct table *table, const char *name, uint64_t hash)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->at[i].hash == hash && strcmp(table->at[i].name, name) == 0)
			return &table->at[i];
	return NULL;
}

static struct entry *entry_by_address(const struct table *table, uint32_t address)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->at[i].address == address)
			return &table->at[i];
	return NULL;
}

static struct entry *entry_oldest(const struct table *table)
{
	struct entry *oldest = &table->at[0];

	for (size_t i = 1; i < table->count; i++)
		if (table->at[i].used < oldest->used)
			oldest = &table->at[i];
	return oldest;
}

/* Fills `entry`, which may be of the table or its next. */
static void entry_fill(const struct table *table, struct entry *entry, const char *name, uint64_t hash, uint32_t first,
		       uint32_t span)
{
	uint32_t at = (uint32_t)(hash % span);

	while (entry_by_address(table, first + at))
		at = (at + 1) % span;
	*entry = (struct entry){.address = first + at, .hash = hash, .name = text_copy(name)};
}

static struct entry *entry_add(struct table *table)
{
	if ((table->count & (table->count + 1)) == 0) /* full at 0, 1, 3, 7, … */
		table->at = mem_grow(table->at, table->count * 2 + 1, sizeof(*table->at));
	table->at[table->count] = (struct entry){0};
	return &table->at[table->count];
}

uint32_t address_of_own(struct addresses *addresses, const char *name)
{
	struct table *table = &addresses->own;
	uint64_t hash = view_hash(view_of(name));
	struct entry *entry = entry_by_name(table, name, hash);

	if (entry)
		return entry->address;
	if (table->count == ADDRESS_OWN_MAX)
		return 0;
	entry = entry_add(table);
	entry_fill(table, entry, name, hash, ADDRESS_OWN_FIRST, ADDRESS_OWN_SPAN);
	table->count++;
	return entry->address;
}

uint32_t address_of_host(struct addresses *addresses, const char *host)
{
	struct table *table = &addresses->hosts;
	uint64_t hash = view_hash(view_of(host));
	struct entry *entry = entry_by_name(table, host, hash);

	if (!entry && table->count == ADDRESS_HOSTS_MAX) {
		entry = entry_oldest(table);
		free(entry->name);
		entry->address = 0;
		entry_fill(table, entry, host, hash, ADDRESS_HOST_FIRST, ADDRESS_HOST_SPAN);
	} else if (!entry) {
		entry = entry_add(table);
		entry_fill(table, entry, host, hash, ADDRESS_HOST_FIRST, ADDRESS_HOST_SPAN);
		table->count++;
	}
	entry->used = ++addresses->uses;
	return entry->address;
}

const char *address_own_name(const struct addresses *addresses, uint32_t address)
{
	const struct entry *entry = entry_by_address(&addresses->own, address);

	return entry ? entry->name : NULL;
}

const char *address_host_name(struct addresses *addresses, uint32_t address)
{
	struct entry *entry = entry_by_address(&addresses->hosts, address);

	if (!entry)
		return NULL;
	entry->used = ++addresses->uses;
	return entry->name;
}
