/*
 * Brokers of messages in an environment: NATS with JetStream, and RabbitMQ where everything is asked (ASSAY_LONG: its start takes seconds of
 * computing): ready, what waits, what is left, a clean stop. Needs root and Debian's packages; without a gateway.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/scope.h"
#include "fixture.h"
#include "sandbox/environment.h"
#include "sandbox/local/local.h"

static char state_dir[] = "/tmp/assay-brokers-XXXXXX";
static struct provider provider;
static struct environments *environments;

#define BLUEPRINT(engine, more) \
	"version: 1\nname: tiny\nservices:\n  web: {run: [sleep, \"1000000\"]}\ndatabases:\n  mq: {engine: " engine "}\n" more

static const struct fixture_file nats_files[] = {{"assay.yaml", BLUEPRINT("nats", "")}};
static const struct fixture_file rabbitmq_files[] = {
	{"assay.yaml", BLUEPRINT("rabbitmq", "queues:\n  work: {database: mq, stream: jobs}\n")}};

/* A stream, a consumer of it, a message; the answers are awaited. */
static const char nats_fill[] =
	"exec 3<>/dev/tcp/127.0.0.1/4222\n"
	"say() { printf 'PUB %s in %d\\r\\n%s\\r\\n' \"$1\" ${#2} \"$2\" >&3; while read -r line <&3; do case $line in MSG*) read -r line <&3; echo "
	"\"$line\"; break ;; esac; done; }\n"
	"printf 'CONNECT {\"verbose\":false}\\r\\nSUB in 1\\r\\n' >&3\n"
	"say '$JS.API.STREAM.CREATE.JOBS' '{\"name\":\"JOBS\",\"subjects\":[\"jobs.*\"]}'\n"
	"say '$JS.API.CONSUMER.DURABLE.CREATE.JOBS.worker' "
	"'{\"stream_name\":\"JOBS\",\"config\":{\"durable_name\":\"worker\",\"ack_policy\":\"explicit\"}}'\n"
	"say jobs.new '{\"id\":1}'\n";
static const char nats_drain[] =
	"exec 3<>/dev/tcp/127.0.0.1/4222\n"
	"printf 'CONNECT {\"verbose\":false}\\r\\nSUB in 1\\r\\nPUB $JS.API.CONSUMER.MSG.NEXT.JOBS.worker in 0\\r\\n\\r\\n' >&3\n"
	"while read -r verb subject id reply bytes <&3; do case $verb in MSG) break ;; esac; done\n"
	"printf 'SUB done 2\\r\\nPUB %s done 4\\r\\n+ACK\\r\\n' \"$reply\" >&3\n"
	"while read -r verb rest <&3; do case $verb in MSG) break ;; esac; done\n";

/* Logs in, declares the queue `jobs`, publishes one message; then waits until the queue's answer came (method 50, 11). */
static const char rabbitmq_fill[] =
	"exec 3<>/dev/tcp/127.0.0.1/5672\n"
	"printf '\\101\\115\\121\\120\\000\\000\\011\\001\\001\\000\\000\\000\\000\\000\\044\\000\\012\\000\\013\\000\\000\\000\\000\\005\\120\\114\\101\\111\\116\\000\\000\\000\\014\\000\\147\\165\\145\\163\\164\\000\\147\\165\\145\\163\\164\\005\\145\\156\\137\\125\\123\\316\\001\\000\\000\\000\\000\\000\\014\\000\\012\\000\\037\\007\\377\\000\\002\\000\\000\\000\\000\\316\\001\\000\\000\\000\\000\\000\\010\\000\\012\\000\\050\\001\\057\\000\\000\\316\\001\\000\\001\\000\\000\\000\\005\\000\\024\\000\\012\\000\\316\\001\\000\\001\\000\\000\\000\\020\\000\\062\\000\\012\\000\\000\\004\\152\\157\\142\\163\\002\\000\\000\\000\\000\\316\\001\\000\\001\\000\\000\\000\\015\\000\\074\\000\\050\\000\\000\\000\\004\\152\\157\\142\\163\\000\\316\\002\\000\\001\\000\\000\\000\\017\\000\\074\\000\\000\\000\\000\\000\\000\\000\\000\\000\\002\\020\\000\\002\\316\\003\\000\\001\\000\\000\\000\\002\\150\\151\\316' >&3\n"
	"LC_ALL=C\n"
	"while IFS= read -r -t 60 -d $'\\316' frame <&3; do case $frame in *jobs*) exit 0 ;; esac; done; exit 1\n";

static void must_here(int result, const struct err *err)
{
	if (result)
		fail_msg("%s", err->text);
}

static void run(struct env_id id, const char *line)
{
	const char *argv[] = {"bash", "-c", line, NULL};
	AUTO_BUF output = buf_new((size_t)1 << 20);
	struct exit_status status;
	struct err err = {0};
	const struct environment_exec exec = {
		.sandbox = "mq", .argv = argv, .timeout_ms = 120000, .output = &output, .errors = &output};

	must_here(environment_exec(environments, id, &exec, &status, &err), &err);
	if (status.reason != EXIT_CODE || status.code)
		fail_msg("%s: %d %d: %s", line, status.reason, status.code, output.length ? output.at : "");
}

static struct env_id up(const char *name, const struct fixture_file *files)
{
	struct git_hash commit;
	AUTO_FREE char *repository = fixture_repository(state_dir, name, files, 1, &commit);
	const struct environment_spec spec = {.repository = repository, .commit = commit, .purpose = "test"};
	struct env_id id = {{0}};
	struct err err = {0};

	must_here(environment_up(environments, &spec, false, (struct progress){NULL}, &id, &err), &err);
	return id;
}

/* What is left of the only key of the only broker. */
static json_t *key_left(struct env_id id, const char *engine, const char *key)
{
	struct err err = {0};
	AUTO_JSON rows = environment_rows_written(environments, id, &err);

	if (!rows)
		fail_msg("%s", err.text);
	return json_incref(json_member(json_member(json_member(rows, engine), "mq"), key));
}

static void quiet_await(struct env_id id)
{
	struct err err = {0};

	must_here(environment_quiet(environments, id, 60000, &err), &err);
}

static void messages_of_jetstream_wait_until_they_are_acknowledged_and_are_told(void **state)
{
	struct err err = {0};
	struct env_id id;

	(void)state;
	if (access("/usr/sbin/nats-server", X_OK)) {
		print_message("# nats-server is not installed\n");
		skip();
	}
	id = up("nats", nats_files);
	quiet_await(id);
	run(id, nats_fill);
	assert_int_equal(environment_quiet(environments, id, 200, &err), -1);
	assert_non_null(strstr(err.text, "1 messages wait in queue JOBS"));
	{
		AUTO_JSON left = key_left(id, "nats", "JOBS");
		AUTO_BUF text = buf_new(4096);

		json_format_sorted(&text, left);
		assert_string_equal(text.at,
				    "{\"type\":\"stream\",\"value\":[[1,[\"subject\",\"jobs.new\",\"data\",\"{\\\"id\\\":1}\"]]]}");
	}
	run(id, nats_drain);
	quiet_await(id);
	must_here(environment_down(environments, id, &err), &err);
}

static void queues_of_rabbitmq_are_asked_of_the_server_itself(void **state)
{
	struct err err = {0};
	struct env_id id;

	(void)state;
	if (access("/usr/lib/rabbitmq/bin/rabbitmq-server", X_OK) || !getenv("ASSAY_LONG")) {
		print_message("# rabbitmq-server is not installed, or ASSAY_LONG is not set\n");
		skip();
	}
	id = up("rabbitmq", rabbitmq_files);
	quiet_await(id);
	run(id, rabbitmq_fill);
	assert_int_equal(environment_quiet(environments, id, 2000, &err), -1);
	assert_non_null(strstr(err.text, "1 messages wait in queue jobs"));
	{
		AUTO_JSON left = key_left(id, "rabbitmq", "jobs");

		assert_string_equal(json_text(left, "type", ""), "queue");
		assert_int_equal(json_number(left, "value", 0), 1);
	}
	must_here(environment_down(environments, id, &err), &err);
}

static int everything_begin(void **state)
{
	struct local_options local = {.state_dir = state_dir, .program = fixture_self(), .runtime = getenv("ASSAY_RUNTIME")};
	struct environments_options options = {.state_dir = state_dir, .preview_base = "127.0.0.1:7421", .world = world_real};
	struct err err = {0};

	(void)state;
	assert_non_null(mkdtemp(state_dir));
	must_here(local_provider_open(&local, &provider, &err), &err);
	options.provider = provider;
	must_here(environments_open(&options, &environments, &err), &err);
	return 0;
}

static int everything_end(void **state)
{
	(void)state;
	environments_close(environments);
	local_provider_close(provider);
	return fixture_remove(state_dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_of_jetstream_wait_until_they_are_acknowledged_and_are_told),
		cmocka_unit_test(queues_of_rabbitmq_are_asked_of_the_server_itself),
	};

	return fixture_main(argc, argv, "brokers", tests, ARRAY_LEN(tests), everything_begin, everything_end);
}
