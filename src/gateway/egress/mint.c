/*
 * Certificates, asked for and kept.
 *
 * Theory of operation: a leaf is an entry of a hash table from the moment somebody asks for it. Until its certificate is there, those who
 * ask hang from it, and it stands in one queue: first of those to be sent to the vault, at most VAULT_ASKED_MAX of which are
 * under way, then of those sent. The environment's key comes the same way, once. When the link ends, all that was sent is sent again
 * over the next one.
 */
#include "gateway/egress/mint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "net/vault.h"

#define BUCKETS 2048
#define ENVS_KEPT_MAX 256
#define LEAF_FRESH_MS (INT64_C(30) * 86400 * 1000) /* of 90 days: then it is minted again */

struct mint_ask {
	struct mint_ask *next, **place;
	mint_done *done;
	void *self;
};

struct identity {
	struct identity *next;
	char env[VAULT_ENV_MAX];
	struct tls_key *key; /* NULL: not there yet */
	uint64_t request;    /* 0: not asked */
	size_t leaves;
	double allowance; /* new names now */
	int64_t allowance_ms;
};

struct leaf {
	struct leaf *chain;                /* of its bucket */
	struct leaf *newer, *older;        /* by use, once it is there */
	struct leaf *queue, **queue_place; /* while it is not */
	struct identity *identity;
	char host[VAULT_HOST_MAX];
	struct tls_certificate *certificate; /* NULL: not there yet */
	int64_t made_ms;
	uint64_t request; /* 0: not sent */
	struct mint_ask *asks;
};

struct mint {
	struct worker *worker;
	struct loop_watch watch;
	int link; /* -1: none */
	bool was_linked;
	uint64_t requests;
	struct identity *identities;
	struct leaf *buckets[BUCKETS];
	struct leaf *newest, *oldest;
	size_t kept;
	struct leaf *queue; /* those that are not there, in order */
	size_t under_way;
	struct mint_rider rider;
};

/* ---- tables ---- */

static struct leaf **bucket_of(struct mint *mint, const char *env, const char *host)
{
	uint64_t hash = view_hash(view_of(host)) ^ (view_hash(view_of(env)) * 31);

	return &mint->buckets[hash % BUCKETS];
}

static struct leaf *leaf_find(struct mint *mint, const char *env, const char *host)
{
	struct leaf *leaf = *bucket_of(mint, env, host);

	while (leaf && (strcmp(leaf->host, host) != 0 || strcmp(leaf->identity->env, env) != 0))
		leaf = leaf->chain;
	return leaf;
}

static void use_remove(struct mint *mint, struct leaf *leaf)
{
	if (!leaf->certificate)
		return;
	*(leaf->newer ? &leaf->newer->older : &mint->newest) = leaf->older;
	*(leaf->older ? &leaf->older->newer : &mint->oldest) = leaf->newer;
	leaf->newer = leaf->older = NULL;
	mint->kept--;
}

static void use_add(struct mint *mint, struct leaf *leaf)
{
	leaf->older = mint->newest;
	leaf->newer = NULL;
	*(mint->newest ? &mint->newest->newer : &mint->oldest) = leaf;
	mint->newest = leaf;
	mint->kept++;
}

static void queue_remove(struct leaf *leaf)
{
	if (!leaf->queue_place)
		return;
	*leaf->queue_place = leaf->queue;
	if (leaf->queue)
		leaf->queue->queue_place = leaf->queue_place;
	leaf->queue_place = NULL;
}

static void queue_add(struct mint *mint, struct leaf *leaf)
{
	leaf->queue = NULL;
	leaf->queue_place = &mint->queue;
	while (*leaf->queue_place)
		leaf->queue_place = &(*leaf->queue_place)->queue;
	*leaf->queue_place = leaf;
}

static void ask_remove(struct mint_ask *ask)
{
	*ask->place = ask->next;
	if (ask->next)
		ask->next->place = ask->place;
}

void mint_cancel(struct mint_ask *ask)
{
	if (!ask)
		return;
	ask_remove(ask);
	free(ask);
}

static void asks_answer(struct leaf *leaf, const char *why)
{
	while (leaf->asks) {
		struct mint_ask *ask = leaf->asks;

		ask_remove(ask);
		ask->done(ask->self, why ? NULL : leaf->certificate, why ? NULL : leaf->identity->key, why);
		free(ask);
	}
}

static void leaf_free(struct mint *mint, struct leaf *leaf)
{
	struct leaf **place = bucket_of(mint, leaf->identity->env, leaf->host);

	asks_answer(leaf, "its certificate is not wanted any more");
	while (*place != leaf)
		place = &(*place)->chain;
	*place = leaf->chain;
	use_remove(mint, leaf);
	queue_remove(leaf);
	leaf->identity->leaves--;
	mint->under_way -= leaf->request != 0;
	tls_certificate_release(leaf->certificate);
	free(leaf);
}

static void identity_free(struct mint *mint, struct identity *identity)
{
	struct identity **place = &mint->identities;

	for (size_t i = 0; i < BUCKETS && identity->leaves; i++) {
		struct leaf *next;

		for (struct leaf *leaf = mint->buckets[i]; leaf; leaf = next) {
			next = leaf->chain;
			if (leaf->identity == identity)
				leaf_free(mint, leaf);
		}
	}
	while (*place != identity)
		place = &(*place)->next;
	*place = identity->next;
	tls_key_free(identity->key);
	free(identity);
}

static struct identity *identity_find(struct mint *mint, const char *env)
{
	struct identity *identity = mint->identities;

	while (identity && strcmp(identity->env, env) != 0)
		identity = identity->next;
	return identity;
}

static struct identity *identity_get(struct mint *mint, const char *env)
{
	struct identity *identity = identity_find(mint, env);

	if (identity)
		return identity;
	identity = mem_new(sizeof(*identity));
	(void)snprintf(identity->env, sizeof(identity->env), "%s", env);
	identity->allowance = MINT_BURST;
	identity->allowance_ms = loop_now_ms(mint->worker->loop);
	identity->next = mint->identities;
	mint->identities = identity;
	return identity;
}

/* Is one more new name within the environment's rate? */
static bool allowance_take(struct mint *mint, struct identity *identity)
{
	int64_t now = loop_now_ms(mint->worker->loop);

	identity->allowance += (double)(now - identity->allowance_ms) * MINT_PER_SECOND / 1000;
	identity->allowance_ms = now;
	if (identity->allowance > MINT_BURST)
		identity->allowance = MINT_BURST;
	if (identity->allowance < 1)
		return false;
	identity->allowance -= 1;
	return true;
}

/* ---- the link ---- */

static void link_lose(struct mint *mint)
{
	AUTO_JSON body = json_object();

	if (mint->link < 0)
		return;
	loop_watch_remove(mint->worker->loop, &mint->watch);
	(void)close(mint->link);
	mint->link = -1;
	mint->under_way = 0;
	for (struct leaf *leaf = mint->queue; leaf; leaf = leaf->queue)
		leaf->request = 0;
	for (struct identity *identity = mint->identities; identity; identity = identity->next)
		identity->request = 0;
	log_warn("the link to the vault ended");
	link_notify(mint->worker->link, MESSAGE_VAULT_LOST, body);
	if (mint->rider.lost)
		mint->rider.lost(mint->rider.self);
}

static bool say(struct mint *mint, const void *message, size_t bytes)
{
	ssize_t sent;

	do
		sent = send(mint->link, message, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)bytes;
}

static struct message_header header_of(struct mint *mint, enum vault_gateway_ask ask, size_t bytes)
{
	return (struct message_header){
		.length = (uint32_t)bytes, .version = MESSAGE_VERSION, .name = (uint16_t)ask, .request = ++mint->requests};
}

static bool identity_ask(struct mint *mint, struct identity *identity)
{
	struct vault_identity_request request = {.header = header_of(mint, VAULT_IDENTITY, sizeof(request))};

	if (identity->key || identity->request)
		return true;
	memcpy(request.env, identity->env, sizeof(request.env));
	identity->request = request.header.request;
	return say(mint, &request, sizeof(request));
}

static bool leaf_ask(struct mint *mint, struct leaf *leaf)
{
	struct vault_mint_request request = {.header = header_of(mint, VAULT_MINT, sizeof(request))};

	memcpy(request.env, leaf->identity->env, sizeof(request.env));
	memcpy(request.host, leaf->host, sizeof(request.host));
	leaf->request = request.header.request;
	mint->under_way++;
	return identity_ask(mint, leaf->identity) && say(mint, &request, sizeof(request));
}

/* Sends what may be sent. */
static void queue_send(struct mint *mint)
{
	for (struct leaf *leaf = mint->queue; leaf && mint->link >= 0 && mint->under_way < VAULT_ASKED_MAX; leaf = leaf->queue)
		if (!leaf->request && !leaf_ask(mint, leaf))
			link_lose(mint);
}

/* Its certificate and its environment's key are there: whoever waits gets them. */
static void leaf_ready(struct mint *mint, struct leaf *leaf)
{
	queue_remove(leaf);
	asks_answer(leaf, NULL);
	while (mint->kept > MINT_KEPT_MAX)
		leaf_free(mint, mint->oldest);
}

static void identity_answered(struct mint *mint, const struct vault_identity_reply *reply)
{
	struct identity *identity = mint->identities;
	struct leaf *next;
	struct err err = {0};

	while (identity && identity->request != reply->header.request)
		identity = identity->next;
	if (!identity)
		return; /* forgotten */
	identity->request = 0;
	if (reply->errno_value || reply->key_bytes > VAULT_KEY_MAX ||
	    tls_key_parse(view_make(reply->key, reply->key_bytes), &identity->key, &err)) {
		log_error("env=%s: the vault gives no key: %s", identity->env, reply->errno_value ? "refused" : err.text);
		identity_free(mint, identity);
		return;
	}
	for (struct leaf *leaf = mint->queue; leaf; leaf = next) {
		next = leaf->queue;
		if (leaf->identity == identity && leaf->certificate)
			leaf_ready(mint, leaf);
	}
}

static void leaf_answered(struct mint *mint, const struct vault_mint_reply *reply)
{
	struct leaf *leaf = mint->queue;
	struct err err = {0};

	while (leaf && leaf->request != reply->header.request)
		leaf = leaf->queue;
	if (!leaf)
		return;
	leaf->request = 0;
	mint->under_way--;
	if (reply->errno_value || reply->leaf_bytes > VAULT_LEAF_MAX ||
	    tls_certificate_parse(view_make(reply->leaf, reply->leaf_bytes), &leaf->certificate, &err)) {
		asks_answer(leaf, "the vault makes no certificate for it");
		leaf_free(mint, leaf);
	} else {
		leaf->made_ms = worker_wall_ms();
		use_add(mint, leaf);
		if (leaf->identity->key)
			leaf_ready(mint, leaf);
	}
	queue_send(mint);
}

/* Is it one of those that are none of a certificate's? */
static bool rider_takes(const struct message_header *header, size_t got)
{
	static const struct {
		uint16_t name;
		size_t bytes;
	} rows[] = {
		{VAULT_RELEASE, sizeof(struct vault_release_reply)},
		{VAULT_FINGERPRINT, sizeof(struct vault_fingerprint_reply)},
		{VAULT_CHANGED, sizeof(struct vault_changed)},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (got == rows[i].bytes && header->name == rows[i].name)
			return true;
	return false;
}

static void link_ready(struct loop_watch *watch, unsigned events)
{
	struct mint *mint = (struct mint *)((char *)watch - offsetof(struct mint, watch));
	union {
		struct message_header header;
		struct vault_identity_reply identity;
		struct vault_mint_reply mint;
		struct vault_release_reply release;
		struct vault_fingerprint_reply fingerprint;
		struct vault_changed changed;
	} reply;

	(void)events;
	for (int i = 0; i < VAULT_ASKED_MAX && mint->link >= 0; i++) {
		ssize_t got = recv(mint->link, &reply, sizeof(reply), MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got == (ssize_t)sizeof(reply.identity) && reply.header.name == VAULT_IDENTITY)
			identity_answered(mint, &reply.identity);
		else if (got == (ssize_t)sizeof(reply.mint) && reply.header.name == VAULT_MINT)
			leaf_answered(mint, &reply.mint);
		else if (rider_takes(&reply.header, (size_t)got) && mint->rider.answered)
			mint->rider.answered(mint->rider.self, &reply.header, (size_t)got);
		else
			link_lose(mint);
		explicit_bzero(&reply, sizeof(reply));
	}
}

int mint_link_set(struct mint *mint, int fd, struct err *err)
{
	if (mint->link >= 0) { /* what is under way on the old one is asked again */
		loop_watch_remove(mint->worker->loop, &mint->watch);
		(void)close(mint->link);
		mint->link = -1;
		mint->under_way = 0;
		for (struct leaf *leaf = mint->queue; leaf; leaf = leaf->queue)
			leaf->request = 0;
		for (struct identity *identity = mint->identities; identity; identity = identity->next)
			identity->request = 0;
		if (mint->rider.lost)
			mint->rider.lost(mint->rider.self);
	}
	mint->link = fd;
	mint->was_linked = true;
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (loop_watch_add(mint->worker->loop, &mint->watch, fd, LOOP_READ, err)) {
		(void)close(fd);
		mint->link = -1;
		return -1;
	}
	for (struct leaf *leaf = mint->queue; leaf; leaf = leaf->queue)
		if (leaf->certificate && !identity_ask(mint, leaf->identity))
			break; /* the reading side finds out */
	queue_send(mint);
	return 0;
}

/* ---- who rides along ---- */

void mint_rider_set(struct mint *mint, struct mint_rider rider)
{
	mint->rider = rider;
}

uint64_t mint_say(struct mint *mint, uint16_t name, struct message_header *message, size_t bytes)
{
	if (mint->link < 0)
		return 0;
	*message = header_of(mint, (enum vault_gateway_ask)name, bytes);
	if (say(mint, message, bytes))
		return message->request;
	link_lose(mint);
	return 0;
}

struct loop *mint_loop(const struct mint *mint)
{
	return mint->worker->loop;
}

/* ---- from outside ---- */

struct mint *mint_new(struct worker *worker)
{
	struct mint *mint = mem_new(sizeof(*mint));

	mint->worker = worker;
	mint->link = -1;
	mint->watch.ready = link_ready;
	return mint;
}

void mint_free(struct mint *mint)
{
	if (!mint)
		return;
	while (mint->identities)
		identity_free(mint, mint->identities);
	if (mint->link >= 0) {
		loop_watch_remove(mint->worker->loop, &mint->watch);
		(void)close(mint->link);
	}
	free(mint);
}

static struct leaf *leaf_new(struct mint *mint, struct identity *identity, const char *host)
{
	struct leaf *leaf = mem_new(sizeof(*leaf));
	struct leaf **bucket = bucket_of(mint, identity->env, host);

	leaf->identity = identity;
	(void)snprintf(leaf->host, sizeof(leaf->host), "%s", host);
	leaf->chain = *bucket;
	*bucket = leaf;
	identity->leaves++;
	queue_add(mint, leaf);
	return leaf;
}

struct mint_ask *mint_leaf(struct mint *mint, const char *env, const char *host, mint_done *done, void *self)
{
	struct leaf *leaf = leaf_find(mint, env, host);
	struct identity *identity;
	struct mint_ask *ask;

	if (leaf && leaf->certificate && leaf->identity->key && worker_wall_ms() - leaf->made_ms > LEAF_FRESH_MS) {
		leaf_free(mint, leaf);
		leaf = NULL;
	}
	if (leaf && leaf->certificate && leaf->identity->key) {
		use_remove(mint, leaf);
		use_add(mint, leaf);
		done(self, leaf->certificate, leaf->identity->key, NULL);
		return NULL;
	}
	if (!leaf) {
		identity = identity_get(mint, env);
		if (!mint->was_linked || !allowance_take(mint, identity)) {
			done(self, NULL, NULL,
			     mint->was_linked ? "too many new names at once" : "no vault is there to make its certificate");
			return NULL;
		}
		leaf = leaf_new(mint, identity, host);
	}
	ask = mem_new(sizeof(*ask));
	*ask = (struct mint_ask){.next = leaf->asks, .place = &leaf->asks, .done = done, .self = self};
	if (ask->next)
		ask->next->place = &ask->next;
	leaf->asks = ask;
	queue_send(mint);
	return ask;
}

void mint_env_forget(struct mint *mint, const char *env)
{
	struct identity *identity = mint ? identity_find(mint, env) : NULL;

	if (identity)
		identity_free(mint, identity);
}
