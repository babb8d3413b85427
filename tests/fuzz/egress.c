/*
 * The way out with a hostile client and a hostile host: the first byte says what each speaks (HTTP/1.1 or HTTP/2), the rest are pieces that the
 * client or the latest of the hosts says in turn. Whatever they say, nothing stays: no flow, no request in flight. The gateway's own code runs
 * from the client's connection to the host's; only the dialling is ours.
 */
#include "seam.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "gateway/dlp/dlp.h"
#include "gateway/egress/dial.h"
#include "gateway/egress/h1.h"
#include "gateway/egress/h2.h"
#include "gateway/egress/pipeline.h"
#include "gateway/egress/scan_rules.h"
#include "gateway/egress/upstream.h"
#include "net/link.h"

#define HOSTS_MAX 8
#define TURNS 4 /* of the loop, for each piece */
#define PIECES_MAX 400
#define SETTINGS "\0\0\0\4\0\0\0\0\0"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct dial {
	struct flow *flow;
};

struct piece {
	bool server;
	struct view bytes;
};

static struct {
	struct worker worker;
	bool host_h2;
	int client;
	int hosts[HOSTS_MAX];
	size_t host_count;
	struct piece pieces[PIECES_MAX];
	size_t piece_count;
	size_t next;
	size_t turns;
} world;

/* ---- the dialling ---- */

static void dialled(void *self)
{
	struct dial *dial = self;
	int pair[2];

	if (!dial->flow || dial->flow->closed || world.host_count == HOSTS_MAX) {
		if (dial->flow && !dial->flow->closed)
			flow_close(dial->flow, "too many hosts");
	} else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0) {
		world.hosts[world.host_count++] = pair[1];
		if (world.host_h2)
			(void)!write(pair[1], SETTINGS, sizeof(SETTINGS) - 1);
		flow_server_set(dial->flow, pair[0], true);
		flow_update(dial->flow);
	}
	free(dial);
}

struct dial *dial_begin(struct flow *flow, const char *host, uint16_t port)
{
	struct dial *dial = mem_new(sizeof(*dial));

	(void)host;
	(void)port;
	dial->flow = flow;
	loop_defer(flow->worker->loop, dialled, dial);
	return NULL; /* freed when it is done */
}

bool dial_again(struct dial *dial)
{
	(void)dial;
	return false;
}

bool dial_looks_up(const struct dial *dial)
{
	(void)dial;
	return false;
}

void dial_free(struct dial *dial)
{
	(void)dial;
}

struct dial_names *dial_names_new(void)
{
	return NULL;
}

void dial_names_free(struct dial_names *names)
{
	(void)names;
}

/* ---- the rules: one of them, and no pool to compile it on ---- */

void scan_env_describe(struct env *env, json_t *description)
{
	(void)env;
	json_decref(description);
}

enum scan_ready scan_env_ready(struct env *env)
{
	static struct dlp_rules *rules;
	AUTO_JSON few = json_pack("[{s:s,s:s,s:s}]", "id", "a", "pattern", "\b(shop_[a-z0-9]{16,40})\b", "entropy", "3");

	if (!rules)
		rules = dlp_rules_new(few, true, NULL, NULL);
	if (!rules)
		abort();
	if (!env->dlp)
		env->dlp = dlp_new(rules);
	return SCAN_READY;
}

void scan_env_free(struct env *env)
{
	dlp_unref(env->dlp);
}

/* ---- the script ---- */

static void drain(int fd)
{
	char bytes[65536];

	while (fd >= 0 && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		continue;
}

static void drain_all(void)
{
	drain(world.client);
	for (size_t i = 0; i < world.host_count; i++)
		drain(world.hosts[i]);
}

static void step(void *self)
{
	(void)self;
	drain_all();
	if (world.turns++ % TURNS == 0 && world.next < world.piece_count) {
		const struct piece *piece = &world.pieces[world.next++];
		int fd = !piece->server ? world.client : world.host_count ? world.hosts[world.host_count - 1] : -1;

		if (fd >= 0)
			(void)!send(fd, piece->bytes.at, piece->bytes.length, MSG_NOSIGNAL);
	}
	if (world.next < world.piece_count || world.turns % TURNS)
		loop_post(world.worker.loop, step, NULL);
	else
		loop_stop(world.worker.loop);
}

static void piece_add(void *self, bool server, struct view bytes, int64_t at)
{
	(void)self;
	(void)at;
	if (world.piece_count < PIECES_MAX)
		world.pieces[world.piece_count++] = (struct piece){server, bytes};
}

static struct env *env_make(struct worker *worker)
{
	AUTO_JSON body = json_pack("{s:s, s:s, s:{}, s:n, s:[s], s:[{s:s, s:i, s:s}]}", "env", "e1", "state", "ready", "names",
				   "preview", "tools", "workspace", "egress", "host", "ok.test", "port", 8080, "action", "allow");
	struct err err;

	if (env_put(worker, body, -1, NULL, &err)) {
		(void)fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return worker->envs;
}

static void worker_make(struct worker *worker, int *peer)
{
	static struct log_writer *writer;
	const struct link_spec spec = {.fd = -1, .peer = LINK_CONTROL};
	struct link_spec made = spec;
	int pair[2];

	if (!writer) {
		log_init("fuzz", LOG_LEVEL_ERROR);
		writer = log_writer_new(NULL);
	}
	*worker = (struct worker){.scratch = mem_new(SCRATCH_BYTES), .loop = loop_new(NULL), .log_writer = writer};
	worker->env_flows_max = 100;
	worker->upstreams = upstreams_new(worker);
	if (!worker->loop || !writer || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		abort();
	*peer = pair[1];
	made.fd = pair[0];
	worker->link = link_on_loop(worker->loop, &made, NULL);
	if (!worker->link)
		abort();
}

static void worker_drop(struct worker *worker, int peer)
{
	link_free(worker->link);
	(void)close(peer);
	loop_drain(worker->loop);
	upstreams_free(worker->upstreams);
	pipelines_free(worker);
	loop_free(worker->loop);
	buf_spares_fini(&worker->spares);
	free(worker->scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct worker *worker = &world.worker;
	struct env *env;
	struct flow *flow;
	int pair[2], peer;

	if (size < 2)
		return 0;
	world.host_h2 = data[0] & 1;
	world.host_count = world.piece_count = world.next = world.turns = 0;
	worker_make(worker, &peer);
	env = env_make(worker);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		abort();
	world.client = pair[1];
	flow = flow_new(worker, env, pair[0], "workspace");
	if (world.host_h2)
		h2_begin(flow, "ok.test", 8080, VIEW(H2_PREFACE SETTINGS));
	else
		h1_begin(flow, "ok.test", 8080, VIEW(""));
	flow_update(flow);
	seam_pieces(data + 1, size - 1, piece_add, NULL);
	loop_post(worker->loop, step, NULL);
	loop_run(worker->loop);
	env_kill(env, "the end");
	assert(!env->flows && !env->in_flight);
	env_remove(env);
	drain_all();
	(void)close(world.client);
	for (size_t i = 0; i < world.host_count; i++)
		(void)close(world.hosts[i]);
	worker_drop(worker, peer);
	return 0;
}
