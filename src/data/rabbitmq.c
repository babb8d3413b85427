/*
 * RabbitMQ as an engine.
 *
 * Theory of operation: the server is started with a loop of a few lines of Erlang beside it, which answers every connection at a port of its
 * own with the queues and what is in them, asked of the server itself: AMQP cannot list queues, and the management plugin's numbers are
 * seconds old. Nothing can be told to it. User and password are those of RABBITMQ_DEFAULT_USER and _PASS in `env`, or guest.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"
#include "data/broker.h"
#include "data/wire.h"

#define SERVER "/usr/lib/rabbitmq/bin/rabbitmq-server"
#define DIRECTORY ENGINE_DATA_PATH "/rabbitmq"
#define ASK_PORT 15671
#define ANSWER_BYTES_MAX ((size_t)4 << 20)
#define QUEUES_MAX 10000
#define TEXT_MAX 200

static int version_choose(int wanted, int *version, struct err *err)
{
	if (access(SERVER, X_OK))
		return err_set(err, ERR_NOT_FOUND, "RabbitMQ is not installed: apt install rabbitmq-server");
	*version = wanted ? wanted : 3; /* one is installed or none */
	return 0;
}

static void initialise(const struct engine_target *target, struct engine_program *program)
{
	(void)target;
	engine_program_add(program, "mkdir");
	engine_program_add(program, "-p");
	engine_program_add(program, DIRECTORY);
}

/* Once the server listens: "BASE64-OF-NAME ready unacknowledged consumers\n" of each queue, and END. */
static const char ask_loop[] =
	"spawn(fun()->{ok,L}=gen_tcp:listen(15671,[binary,{ip,{127,0,0,1}},{active,false},{reuseaddr,true}]),"
	"A=fun(A)->{ok,S}=gen_tcp:accept(L),"
	"R=try [[base64:encode(element(4,element(2,Q))),[[32,integer_to_list(N)]||{_,N}<-rabbit_amqqueue:info(Q,"
	"[messages_ready,messages_unacknowledged,consumers])],10]||Q<-rabbit_amqqueue:list()] of I->[I,<<\"END\\n\">>]"
	" catch _:_-><<\"NO\\n\">> end,gen_tcp:send(S,R),gen_tcp:close(S),A(A) end,A(A) end).";

static const char *variable(const struct engine_target *target, const char *name, const char *fallback)
{
	const struct variables *env = &target->database->env;

	for (size_t i = 0; i < env->count; i++)
		if (strcmp(env->at[i].name, name) == 0)
			return env->at[i].value;
	return fallback;
}

/* A setting's value must not end its line. */
static const char *setting(const struct engine_target *target, const char *name, const char *fallback)
{
	const char *value = variable(target, name, fallback);

	return strpbrk(value, "\n\r#'") || strlen(value) > TEXT_MAX ? fallback : value;
}

static void serve(const struct engine_target *target, bool loading, struct engine_program *program)
{
	static const char *const variables[] = {
		"HOME=" DIRECTORY,
		"RABBITMQ_NODENAME=rabbit@localhost",
		"RABBITMQ_MNESIA_BASE=" DIRECTORY "/mnesia",
		"RABBITMQ_LOG_BASE=" DIRECTORY "/log",
		"RABBITMQ_CONFIG_FILE=" DIRECTORY "/rabbitmq.conf",
		"RABBITMQ_ENABLED_PLUGINS_FILE=" DIRECTORY "/plugins",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
		"ERL_CRASH_DUMP=/dev/null",
	};

	(void)loading;
	engine_program_add(program, "sh");
	engine_program_add(program, "-c");
	engine_program_add(program, "printf %%s \"$1\" >" DIRECTORY "/rabbitmq.conf && shift && exec env \"$@\"");
	engine_program_add(program, "rabbitmq");
	engine_program_add(
		program,
		"listeners.tcp.default = 127.0.0.1:%u\nlog.file = false\nlog.console = true\nlog.console.level = warning\n"
		"loopback_users = none\ndefault_user = %s\ndefault_pass = %s\ndefault_vhost = %s\n",
		(unsigned)target->ops->port, setting(target, "RABBITMQ_DEFAULT_USER", "guest"),
		setting(target, "RABBITMQ_DEFAULT_PASS", "guest"), setting(target, "RABBITMQ_DEFAULT_VHOST", "/"));
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		engine_program_add(program, "%s", variables[i]);
	engine_program_add(program, SERVER);
	engine_program_add(program, "-eval");
	engine_program_add(program, "%s", ask_loop);
}

/* It answers the protocol's greeting with Connection.Start. */
static int ready(const struct engine_target *target, int fd, int64_t timeout_ms, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, timeout_ms, (size_t)1 << 16);

	(void)target;
	if (wire_send(&wire, view_make("AMQP\0\0\x09\1", 8), err))
		return -1;
	while (wire.in.length < 11)
		if (wire_receive(&wire, err))
			return -1;
	if (memcmp(wire.in.at + 7, "\0\x0a\0\x0a", 4) != 0)
		return err_set(err, ERR_BROKEN, "what listens there does not speak AMQP 0-9-1");
	return 0;
}

static void client(const struct engine_target *target, const char *statement, struct engine_program *program)
{
	(void)target;
	engine_program_add(program, "sh");
	engine_program_add(program, "-c");
	engine_program_add(program, "HOME=" DIRECTORY " exec /usr/lib/rabbitmq/bin/rabbitmqctl -n rabbit@localhost -q $1");
	engine_program_add(program, "rabbitmqctl");
	engine_program_add(program, "%s", *statement ? statement : "list_queues");
}

/* ---- what is in its queues ---- */

struct queue_row {
	char *name;
	uint64_t ready, unacknowledged, consumers;
};

/* A line; false at the end, or when it is none. */
static bool row_parse(struct view line, struct queue_row *row, struct err *err)
{
	AUTO_BUF name = buf_new(1024);
	uint64_t *const numbers[] = {&row->ready, &row->unacknowledged, &row->consumers};
	struct view rest;

	if (buf_add_unbase64(&name, view_cut(line, ' ', &rest), err))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (!view_to_u64(view_cut(rest.at ? rest : (struct view){"", 0}, ' ', &rest), numbers[i])) {
			(void)err_set(err, ERR_BROKEN, "RabbitMQ said something else of its queues");
			return false;
		}
	row->name = view_copy(buf_view(&name));
	return true;
}

/* All it says, whole: its last line is END. */
static int answer_take(struct wire *wire, struct err *err)
{
	while (!view_ends(buf_view(&wire->in), VIEW("END\n"))) {
		if (view_ends(buf_view(&wire->in), VIEW("NO\n")))
			return err_set(err, ERR_RETRY, "RabbitMQ does not know its queues just now");
		if (wire_receive(wire, err))
			return -1;
	}
	wire->in.length -= sizeof("END\n") - 1;
	return 0;
}

static int waiting(const struct engine_target *target, int fd, const struct queue *queue, int64_t *count, char **which,
		   struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, ANSWER_BYTES_MAX);
	struct view rest;

	(void)target;
	*count = 0;
	*which = NULL;
	if (answer_take(&wire, err))
		return -1;
	for (rest = buf_view(&wire.in); rest.length;) {
		struct queue_row row = {.name = NULL};
		bool counts;

		if (!row_parse(view_cut(rest, '\n', &rest), &row, err))
			return -1;
		counts = queue ? strcmp(queue->stream, row.name) == 0 : row.consumers > 0;
		*count += (int64_t)(counts ? row.ready : 0) + (int64_t)(!queue || counts ? row.unacknowledged : 0);
		if (*count && !*which)
			*which = TAKE(row.name);
		free(row.name);
	}
	return 0;
}

/* {"keys": {queue: {"type": "queue", "value": messages}}} */
static json_t *rows(const struct engine_target *target, int fd, const json_t *mark, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, ANSWER_BYTES_MAX);
	AUTO_JSON result = json_pack("{s:{}}", "keys");
	json_t *keys = json_object_get(result, "keys");
	struct view rest;

	(void)target;
	(void)mark;
	if (answer_take(&wire, err))
		return NULL;
	for (rest = buf_view(&wire.in); rest.length;) {
		struct queue_row row = {.name = NULL};
		AUTO_FREE char *name = NULL;

		if (json_object_size(keys) >= QUEUES_MAX) {
			(void)json_object_set_new(result, "cut", json_true());
			break;
		}
		if (!row_parse(view_cut(rest, '\n', &rest), &row, err))
			return NULL;
		name = row.name;
		(void)json_object_set_new(
			keys, name,
			json_pack("{s:s, s:I}", "type", "queue", "value", (json_int_t)(row.ready + row.unacknowledged)));
	}
	return TAKE(result);
}

static void url(const struct engine_target *target, struct buf *out)
{
	const char *vhost = variable(target, "RABBITMQ_DEFAULT_VHOST", "/");

	buf_add_text(out, "amqp://");
	buf_add_url(out, view_of(setting(target, "RABBITMQ_DEFAULT_USER", "guest")));
	buf_add_char(out, ':');
	buf_add_url(out, view_of(setting(target, "RABBITMQ_DEFAULT_PASS", "guest")));
	buf_add_format(out, "@%s:%u", target->database->name, (unsigned)target->ops->port);
	if (strcmp(vhost, "/") == 0)
		return; /* what clients take when there is none */
	buf_add_char(out, '/');
	buf_add_url(out, view_of(vhost));
}

const struct engine_ops engine_rabbitmq = {
	.kind = ENGINE_RABBITMQ,
	.name = "rabbitmq",
	.port = 5672,
	.stop_signal = SIGTERM,
	.stop_limit_ms = 60000,
	.version = version_choose,
	.initialise = initialise,
	.serve = serve,
	.ready = ready,
	.create = broker_create,
	.client = client,
	.loader = broker_loader,
	.dumper = broker_dumper,
	.settle = broker_settle,
	.mark = broker_mark,
	.rows = rows,
	.url = url,
	.waiting = waiting,
	.ask_port = ASK_PORT,
	.ready_limit_ms = 120000, /* it takes seconds of computing */
};
