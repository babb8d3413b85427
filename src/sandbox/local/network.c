/*
 * The network of a room: `lo` and nothing else, every address local, every TCP connection redirected to the door.
 *
 * Routes and addresses go by rtnetlink. The redirect rules are one nfnetlink batch of constant bytes, built once with libnftnl when the
 * keeper starts (running nft would cost more than the rest of a sandbox together):
 *
 *	table inet assay { chain out { type nat hook output priority -100;
 *		ip daddr 127.0.0.0/8 accept; ip6 daddr ::1 accept;
 *		meta nfproto ipv4 udp dport 53 redirect to :53; meta l4proto tcp redirect to :15001 } }
 *
 * Other UDP meets a local address that nobody listens on: refused at once.
 */
#include "sandbox/local/keeper_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/if_addr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/door.h"

#define BATCH_BYTES ((size_t)16 << 10)
#define REPLY_BYTES ((size_t)16 << 10)
#define LOOPBACK 1 /* the index of lo in every network namespace */
#define TABLE_NAME "assay"
#define CHAIN_NAME "out"
#define RULE_SEQUENCE 3 /* after the table and the chain */
#define SELF_V6 "fd0a:40::2"

/* ---- rules ---- */

static struct nftnl_expr *expr_new(struct nftnl_rule *rule, const char *name)
{
	struct nftnl_expr *expr = nftnl_expr_alloc(name);

	if (!expr)
		abort();
	nftnl_rule_add_expr(rule, expr);
	return expr;
}

static void match_meta(struct nftnl_rule *rule, uint32_t key, uint8_t value)
{
	struct nftnl_expr *expr = expr_new(rule, "meta");

	nftnl_expr_set_u32(expr, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_META_DREG, NFT_REG_1);
	expr = expr_new(rule, "cmp");
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	(void)nftnl_expr_set(expr, NFTNL_EXPR_CMP_DATA, &value, sizeof(value));
}

static void match_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, const void *value, uint32_t length)
{
	struct nftnl_expr *expr = expr_new(rule, "payload");

	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, length);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
	expr = expr_new(rule, "cmp");
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	(void)nftnl_expr_set(expr, NFTNL_EXPR_CMP_DATA, value, length);
}

static void do_accept(struct nftnl_rule *rule)
{
	struct nftnl_expr *expr = expr_new(rule, "immediate");

	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_VERDICT, NF_ACCEPT);
}

static void do_redirect(struct nftnl_rule *rule, uint16_t port)
{
	uint16_t network_order = htons(port);
	struct nftnl_expr *expr = expr_new(rule, "immediate");

	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
	(void)nftnl_expr_set(expr, NFTNL_EXPR_IMM_DATA, &network_order, sizeof(network_order));
	expr = expr_new(rule, "redir");
	nftnl_expr_set_u32(expr, NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_REDIR_FLAGS, 2 /* NF_NAT_RANGE_PROTO_SPECIFIED */);
}

static void rule_loopback_v4(struct nftnl_rule *rule)
{
	static const uint8_t net = 127;

	match_meta(rule, NFT_META_NFPROTO, NFPROTO_IPV4);
	match_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, 16, &net, sizeof(net));
	do_accept(rule);
}

static void rule_loopback_v6(struct nftnl_rule *rule)
{
	match_meta(rule, NFT_META_NFPROTO, NFPROTO_IPV6);
	match_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, 24, &in6addr_loopback, sizeof(in6addr_loopback));
	do_accept(rule);
}

static void rule_dns(struct nftnl_rule *rule)
{
	uint16_t port = htons(DOOR_DNS_PORT);

	match_meta(rule, NFT_META_NFPROTO, NFPROTO_IPV4);
	match_meta(rule, NFT_META_L4PROTO, IPPROTO_UDP);
	match_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 2, &port, sizeof(port));
	do_redirect(rule, DOOR_DNS_PORT);
}

static void rule_tcp(struct nftnl_rule *rule)
{
	match_meta(rule, NFT_META_L4PROTO, IPPROTO_TCP);
	do_redirect(rule, DOOR_PORT);
}

static void rule_add(struct mnl_nlmsg_batch *batch, uint32_t sequence, uint16_t flags, void (*fill)(struct nftnl_rule *rule))
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct nlmsghdr *header;

	if (!rule)
		abort();
	(void)nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, TABLE_NAME);
	(void)nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, CHAIN_NAME);
	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
	fill(rule);
	header = nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch), NFT_MSG_NEWRULE, NFPROTO_INET,
				       NLM_F_CREATE | NLM_F_APPEND | flags, sequence);
	nftnl_rule_nlmsg_build_payload(header, rule);
	nftnl_rule_free(rule);
	(void)mnl_nlmsg_batch_next(batch);
}

static void chain_add(struct mnl_nlmsg_batch *batch)
{
	struct nftnl_table *table = nftnl_table_alloc();
	struct nftnl_chain *chain = nftnl_chain_alloc();
	struct nlmsghdr *header;

	if (!table || !chain)
		abort();
	(void)nftnl_table_set_str(table, NFTNL_TABLE_NAME, TABLE_NAME);
	header = nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch), NFT_MSG_NEWTABLE, NFPROTO_INET, NLM_F_CREATE, 1);
	nftnl_table_nlmsg_build_payload(header, table);
	(void)mnl_nlmsg_batch_next(batch);
	(void)nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, TABLE_NAME);
	(void)nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, CHAIN_NAME);
	(void)nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, "nat");
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, NF_INET_LOCAL_OUT);
	nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, -100);
	header = nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch), NFT_MSG_NEWCHAIN, NFPROTO_INET, NLM_F_CREATE, 2);
	nftnl_chain_nlmsg_build_payload(header, chain);
	(void)mnl_nlmsg_batch_next(batch);
	nftnl_table_free(table);
	nftnl_chain_free(chain);
}

int network_open(struct network *network, struct err *err)
{
	static void (*const rules[])(struct nftnl_rule * rule) = {rule_loopback_v4, rule_loopback_v6, rule_dns, rule_tcp};
	AUTO_FREE char *bytes = mem_new(2 * BATCH_BYTES);
	struct mnl_nlmsg_batch *batch = mnl_nlmsg_batch_start(bytes, BATCH_BYTES);

	if (!batch)
		abort();
	(void)nftnl_batch_begin(mnl_nlmsg_batch_current(batch), 0);
	(void)mnl_nlmsg_batch_next(batch);
	chain_add(batch);
	/* The last rule asks for the one acknowledgement; an error of any part comes before it. */
	for (uint32_t i = 0; i < ARRAY_LEN(rules); i++)
		rule_add(batch, RULE_SEQUENCE + i, i + 1 == ARRAY_LEN(rules) ? NLM_F_ACK : 0, rules[i]);
	network->last = RULE_SEQUENCE + (uint32_t)ARRAY_LEN(rules) - 1;
	(void)nftnl_batch_end(mnl_nlmsg_batch_current(batch), network->last + 1);
	(void)mnl_nlmsg_batch_next(batch);
	network->length = mnl_nlmsg_batch_size(batch);
	mnl_nlmsg_batch_stop(batch);
	if (network->length > BATCH_BYTES)
		return err_set(err, ERR_LIMIT, "the redirect rules have %zu bytes", network->length);
	network->batch = TAKE(bytes);
	return 0;
}

/* ---- what a room does with them ---- */

/* Sends and reads until the acknowledgement of `last`; the first error that comes is the result, as an errno. */
static int netlink_talk(int protocol, const void *bytes, size_t length, uint32_t last)
{
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	AUTO_FREE char *reply = mem_new(REPLY_BYTES);
	int failed = 0;

	if (fd < 0 || send(fd, bytes, length, 0) != (ssize_t)length)
		return errno;
	for (;;) {
		ssize_t got = recv(fd, reply, REPLY_BYTES, 0);
		size_t left = got > 0 ? (size_t)got : 0;

		if (got < 0)
			return errno;
		for (struct nlmsghdr *header = (void *)reply; NLMSG_OK(header, left);
		     header = (void *)((char *)header + NLMSG_ALIGN(header->nlmsg_len))) {
			const struct nlmsgerr *error = NLMSG_DATA(header);

			left -= NLMSG_ALIGN(header->nlmsg_len) < left ? NLMSG_ALIGN(header->nlmsg_len) : left;
			if (header->nlmsg_type != NLMSG_ERROR)
				continue;
			if (error->error && !failed)
				failed = -error->error;
			if (header->nlmsg_seq == last || (failed && protocol == NETLINK_NETFILTER))
				return failed;
		}
	}
}

struct route_batch {
	char bytes[2048];
	size_t length;
	uint32_t sequence;
};

static struct nlmsghdr *message_begin(struct route_batch *batch, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(batch->bytes + batch->length);

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	header->nlmsg_seq = ++batch->sequence;
	return header;
}

static void link_up(struct route_batch *batch)
{
	struct nlmsghdr *header = message_begin(batch, RTM_NEWLINK, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));

	info->ifi_index = LOOPBACK;
	info->ifi_flags = info->ifi_change = IFF_UP;
	batch->length += NLMSG_ALIGN(header->nlmsg_len);
}

static void address_add(struct route_batch *batch, uint8_t family, const void *address, size_t length)
{
	struct nlmsghdr *header = message_begin(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));

	info->ifa_family = family;
	info->ifa_prefixlen = (uint8_t)(length * 8);
	info->ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0;
	info->ifa_index = LOOPBACK;
	mnl_attr_put(header, IFA_LOCAL, length, address);
	mnl_attr_put(header, IFA_ADDRESS, length, address);
	batch->length += NLMSG_ALIGN(header->nlmsg_len);
}

/* ip route add local default dev lo src ADDRESS */
static void route_add(struct route_batch *batch, uint8_t family, const void *source, size_t length)
{
	struct nlmsghdr *header = message_begin(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
	struct rtmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));

	info->rtm_family = family;
	info->rtm_table = RT_TABLE_LOCAL;
	info->rtm_protocol = RTPROT_BOOT;
	info->rtm_scope = RT_SCOPE_HOST;
	info->rtm_type = RTN_LOCAL;
	mnl_attr_put_u32(header, RTA_OIF, LOOPBACK);
	mnl_attr_put(header, RTA_PREFSRC, length, source);
	batch->length += NLMSG_ALIGN(header->nlmsg_len);
}

static int family_enter(uint8_t family, const char *self, bool with_link)
{
	struct route_batch batch = {{0}};
	struct in6_addr address;
	size_t length = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);

	if (inet_pton(family, self, &address) != 1)
		return EINVAL;
	if (with_link)
		link_up(&batch);
	address_add(&batch, family, &address, length);
	route_add(&batch, family, &address, length);
	return netlink_talk(NETLINK_ROUTE, batch.bytes, batch.length, batch.sequence);
}

int network_enter(const struct network *network, struct err *err)
{
	int failed = family_enter(AF_INET, DOOR_ADDRESS_SELF, true);

	if (failed)
		return err_errno(err, failed, "cannot set up the sandbox's network");
	failed = family_enter(AF_INET6, SELF_V6, false);
	if (failed && failed != EOPNOTSUPP && failed != EAFNOSUPPORT &&
	    failed != EACCES) /* no IPv6, or turned off: nothing to redirect */
		return err_errno(err, failed, "cannot set up the sandbox's IPv6 network");
	failed = netlink_talk(NETLINK_NETFILTER, network->batch, network->length, network->last);
	if (failed)
		return err_errno(err, failed, "cannot redirect the sandbox's connections (nf_tables with nat is needed)");
	return text_put("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0", err);
}
