/* Names, addresses, and which of them are never dialled. */
#include "gateway/policy/host.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/scope.h"

#define OWN_ADDRESSES_MAX 1024 /* more are not told apart: then none is reachable */
#define OWN_FRESH_S 5

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

bool host_address_canonical(struct view text, char host[HOST_NAME_MAX_BYTES])
{
	char plain[INET6_ADDRSTRLEN];
	unsigned char bytes[16];

	if (text.length > 2 && text.at[0] == '[' && text.at[text.length - 1] == ']') {
		text = view_make(text.at + 1, text.length - 2);
		if (!memchr(text.at, ':', text.length))
			return false;
	}
	if (!text.length || text.length >= sizeof(plain) || memchr(text.at, '\0', text.length))
		return false;
	memcpy(plain, text.at, text.length);
	plain[text.length] = '\0';
	if (inet_pton(AF_INET, plain, bytes) == 1)
		return inet_ntop(AF_INET, bytes, host, HOST_NAME_MAX_BYTES) && strcmp(host, plain) == 0;
	/* ::ffff:1.2.3.4 and its like would be two forms of one address. */
	return inet_pton(AF_INET6, plain, bytes) == 1 && inet_ntop(AF_INET6, bytes, host, HOST_NAME_MAX_BYTES) &&
	       !strchr(host, '.');
}

bool host_or_address_canonical(struct view text, char host[HOST_NAME_MAX_BYTES], bool *address)
{
	*address = host_address_canonical(text, host);
	return *address || host_canonical(text, host);
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

/* What the interfaces have: asked for by whoever finds it old. */
static struct {
	pthread_mutex_t lock;
	struct range at[OWN_ADDRESSES_MAX];
	size_t count;
	bool over;
	time_t asked_s;
} own = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const unsigned char *address_bytes(const struct sockaddr *address)
{
	return address->sa_family == AF_INET
		       ? (const unsigned char *)&((const struct sockaddr_in *)(const void *)address)->sin_addr
		       : (const unsigned char *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
}

static void own_ask(void)
{
	struct ifaddrs *found = NULL;

	own.count = 0;
	own.over = getifaddrs(&found) != 0;
	for (const struct ifaddrs *at = found; at && !own.over; at = at->ifa_next) {
		if (!at->ifa_addr || (at->ifa_addr->sa_family != AF_INET && at->ifa_addr->sa_family != AF_INET6))
			continue;
		own.over = own.count == OWN_ADDRESSES_MAX;
		if (own.over)
			break;
		own.at[own.count].family = at->ifa_addr->sa_family;
		own.at[own.count].bits = at->ifa_addr->sa_family == AF_INET ? 32 : 128;
		memcpy(own.at[own.count++].bytes, address_bytes(at->ifa_addr), at->ifa_addr->sa_family == AF_INET ? 4 : 16);
	}
	if (found)
		freeifaddrs(found);
}

bool address_is_own(const struct sockaddr *address)
{
	struct timespec now;
	bool is_own;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)pthread_mutex_lock(&own.lock);
	if (!own.asked_s || now.tv_sec - own.asked_s >= OWN_FRESH_S) {
		own_ask();
		own.asked_s = now.tv_sec;
	}
	is_own = own.over;
	for (size_t i = 0; i < own.count && !is_own; i++)
		is_own = range_holds(&own.at[i], address->sa_family, address_bytes(address));
	(void)pthread_mutex_unlock(&own.lock);
	return is_own;
}

bool address_is_reachable(const struct sockaddr *address)
{
	if (address->sa_family != AF_INET && address->sa_family != AF_INET6)
		return false;
	for (size_t i = 0; i < reach_count; i++)
		if (range_holds(&reach[i], address->sa_family, address_bytes(address)))
			return true;
	return address_is_public(address) && !address_is_own(address);
}

bool address_text_is_reachable(const char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return address_is_reachable((const struct sockaddr *)(const void *)&v4);
	return inet_pton(AF_INET6, text, &v6.sin6_addr) == 1 && address_is_reachable((const struct sockaddr *)(const void *)&v6);
}
