/* The way into a sandbox. */
#include "net/door.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define NET_MASK 0xfffe0000u /* a /15 */
#define SYNTHETIC 0xc6120000u
#define LOOPBACK 0x7f120000u

uint32_t door_loopback(uint32_t synthetic)
{
	return (synthetic & NET_MASK) == SYNTHETIC ? LOOPBACK | (synthetic & ~NET_MASK) : 0;
}

uint32_t door_synthetic(uint32_t loopback)
{
	return (loopback & NET_MASK) == LOOPBACK ? SYNTHETIC | (loopback & ~NET_MASK) : 0;
}

int door_connect(int fd, uint16_t port, bool v6)
{
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int family = AF_INET;
	socklen_t length = sizeof(family);

	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
	if (family != AF_INET6) {
		if (v6)
			return ECONNREFUSED;
		return connect(fd, (const struct sockaddr *)&four, sizeof(four)) ? errno : 0;
	}
	if (!v6) { /* ::ffff:127.0.0.1 */
		six.sin6_addr = (struct in6_addr){0};
		six.sin6_addr.s6_addr[10] = six.sin6_addr.s6_addr[11] = 0xff;
		six.sin6_addr.s6_addr[12] = 127;
		six.sin6_addr.s6_addr[15] = 1;
	}
	return connect(fd, (const struct sockaddr *)&six, sizeof(six)) ? errno : 0;
}
