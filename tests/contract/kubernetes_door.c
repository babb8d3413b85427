/*
 * The door of rooms on a cluster, whole: programs of pods (the scripted API server, and its kubelet of tests), their links, a real gateway, a real vault
 * and a ledger; the outside is a thread of this program. Needs root, ip and nft; else skipped aloud.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "gateway_fixture.h"
#include "kubernetes_fixture.h"
#include "ledger/ledger.h"
#include "net/socket.h"
#include "sandbox/kubernetes/cluster.h"
#include "sandbox/link/opens.h"
#include "vault/vault.h"

#define NAME "assay.internal"
#define IMAGE "assay:test"
#define WAIT_MS 60000
#define OUTPUT_MAX ((size_t)4 << 20)
#define CREDENTIAL "outside-key-7f3a91b2c4d5e6f708192a3b4c5d6e7f"
#define PROXY "http://127.18.0.2:3128"
#define POLLS 2000
#define POLL_US 5000

static char folder[] = "/tmp/assay-door-XXXXXX";
static struct cluster scripted;
static struct provider provider;
static struct world_fixture *world;
static struct vault *vault;
static struct buf identity, authority, trusted;
static char trusted_hash[9];

/* One environment: `front` calls, `api` serves at 8080. */
static struct env_id env;
static struct copy copy;
static char *placeholder;

/* What the outside was told last. */
static struct {
	pthread_mutex_t mutex;
	char last[65536];
	unsigned count;
} outside = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void good(int result, const struct err *err)
{
	if (result)
		fail_msg("%s", err->text);
}

/* ---- the outside ---- */

/* Answers a request with itself, but "/hang", which gets no answer. */
static void *outside_client(void *self)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n";
	int fd = *(int *)self;
	char text[65536];
	size_t length = 0;
	ssize_t got = 1;

	free(self);
	while (got > 0 && length < sizeof(text) - 1 && !memmem(text, length, "\r\n\r\n", 4)) {
		got = recv(fd, text + length, sizeof(text) - 1 - length, 0);
		length += got > 0 ? (size_t)got : 0;
	}
	text[length] = '\0';
	(void)pthread_mutex_lock(&outside.mutex);
	memcpy(outside.last, text, length + 1);
	outside.count++;
	(void)pthread_mutex_unlock(&outside.mutex);
	if (strstr(text, " /hang"))
		while (recv(fd, text, sizeof(text), 0) > 0)
			continue;
	(void)send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL);
	(void)send(fd, text, length, MSG_NOSIGNAL);
	(void)close(fd);
	return NULL;
}

static void *outside_main(void *self)
{
	int listener = *(int *)self;

	for (;;) {
		int *fd = mem_new(sizeof(*fd));
		pthread_t thread;

		(void)fcntl(listener, F_SETFL, 0); /* it is to be waited for */
		*fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (*fd < 0 || pthread_create(&thread, NULL, outside_client, fd))
			return NULL;
		(void)pthread_detach(thread);
	}
}

static unsigned outside_count(void)
{
	unsigned count;

	(void)pthread_mutex_lock(&outside.mutex);
	count = outside.count;
	(void)pthread_mutex_unlock(&outside.mutex);
	return count;
}

static bool outside_heard(const char *text)
{
	bool found;

	(void)pthread_mutex_lock(&outside.mutex);
	found = strstr(outside.last, text) != NULL;
	(void)pthread_mutex_unlock(&outside.mutex);
	return found;
}

/* ---- programs ---- */

static const char *const inside[] = {
	"PATH=/usr/local/bin:/usr/bin:/bin",      "HOME=/tmp", "http_proxy=" PROXY, "https_proxy=" PROXY,
	"no_proxy=localhost,127.0.0.1,api,front", NULL};

static uint32_t start(const char *room, const char *line, int out)
{
	const char *argv[] = {"sh", "-c", line, NULL};
	struct program_spec spec = {.argv = argv, .env = inside, .dir = "/tmp", .fds = {-1, out, out}};
	struct err err = {0};
	uint32_t process = 0;

	good(provider_program_start(provider, env, room, &spec, &process, &err), &err);
	return process;
}

/* What a line for sh prints. Owned by the caller. */
static char *shell(const char *room, const char *line)
{
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	struct exit_status status;
	struct err err = {0};
	uint32_t process;
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	process = start(room, line, out[1]);
	(void)close(out[1]);
	good(file_read_fd(out[0], &output, &err), &err);
	(void)close(out[0]);
	good(provider_program_wait(provider, env, room, process, WAIT_MS, &status, &err), &err);
	while (output.length && output.at[output.length - 1] == '\n')
		output.at[--output.length] = '\0';
	return output.at ? buf_take(&output) : text_copy("");
}

static void says(const char *room, const char *line, const char *wanted)
{
	AUTO_FREE char *got = shell(room, line);

	assert_string_equal(got, wanted);
}

static void contains(const char *room, const char *line, const char *wanted)
{
	AUTO_FREE char *got = shell(room, line);

	if (!strstr(got, wanted))
		fail_msg("`%s` says `%s`, not `%s`", line, got, wanted);
}

/* Is there such a text in the ledger? Its rows are there some milliseconds later. */
static bool ledger_has(const char *text)
{
	AUTO_FREE char *line = text_format("grep -rqaF -- '%s' %s/ledger", text, folder);

	for (int i = 0; i < POLLS; i++) {
		if (system(line) == 0)
			return true;
		(void)usleep(POLL_US);
	}
	return false;
}

/* ---- what is promised ---- */

static void names_have_addresses_of_the_pods_own_loopback_or_none(void **state)
{
	(void)state;
	contains("front", "getent ahostsv4 api", "127.18.");
	contains("front", "getent ahostsv4 ok.test", "127.19.");
	says("front", "getent hosts evil.test || echo none", "none");
	/* By TCP as by UDP. */
	contains(
		"front",
		"python3 -c \"import socket,struct\nq=b'\\0\\7\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\3api\\0\\0\\1\\0\\1'\n"
		"s=socket.create_connection(('127.0.0.1',53),5); s.sendall(struct.pack('!H',len(q))+q); r=s.recv(600); r+=s.recv(600) if len(r)<20 else b''\n"
		"print(socket.inet_ntoa(r[-4:]))\"",
		"127.18.");
}

static void a_request_that_is_allowed_goes_out_and_is_in_the_ledger(void **state)
{
	(void)state;
	contains("front", "curl -s -m 20 http://ok.test/allowed/one", "GET /allowed/one HTTP/1.1");
	assert_true(outside_heard("Host: ok.test\r\n"));
	assert_true(ledger_has("/allowed/one"));
	assert_true(ledger_has("door by flow"));
}

static void a_request_that_is_not_gets_the_rule_and_goes_nowhere(void **state)
{
	unsigned before = outside_count();

	(void)state;
	contains("front", "curl -s -m 20 -i http://evil.test/", "HTTP/1.1 403 ");
	contains("front", "curl -s -m 20 http://evil.test/", "default-deny");
	says("front", "curl -s -m 20 -o /dev/null -w '%{http_connect}' https://evil.test/; true", "403");
	/* By number there is no way at all. */
	says("front", "curl -s -m 20 --noproxy '*' http://203.0.113.9/ || echo no way", "no way");
	assert_int_equal(outside_count(), before);
	assert_true(ledger_has("evil.test"));
}

static void who_wants_no_proxy_reaches_by_name_what_is_allowed(void **state)
{
	(void)state;
	contains("front", "curl -s -m 20 --noproxy '*' http://ok.test/allowed/past", "GET /allowed/past HTTP/1.1");
	assert_true(ledger_has("/allowed/past"));
	contains("front", "curl -s -m 20 --noproxy '*' https://bank.test/v1/list", "stubbed");
	says("front", "curl -s -m 20 --noproxy '*' -o /dev/null http://evil.test/; echo $?", "6");    /* no such name */
	says("front", "curl -s -m 20 --noproxy '*' -o /dev/null http://ok.test:8099/; echo $?", "7"); /* no rule has that port */
}

/* More names than a pod listens for at once: those asked for last are reached, and each when it is asked for again. */
static void of_many_names_those_asked_for_last_are_reached(void **state)
{
	static const char line[] =
		"for i in $(seq 400); do getent ahostsv4 n$i.many.test >/dev/null || echo n$i; done\n"
		"for i in 400 1 2 400; do curl -s -m 20 --noproxy '*' -o /dev/null -w '%{http_code} ' http://n$i.many.test/; done";

	(void)state;
	says("front", line, "502 502 502 502 "); /* by the gateway: no name server knows them */
	contains("front", "curl -s -m 20 http://api:8080/seam.txt", "over the seam");
	contains("front", "curl -s -m 20 http://ok.test/allowed/still", "GET /allowed/still HTTP/1.1");
}

static void a_credential_is_put_in_outside_only(void **state)
{
	AUTO_FREE char *line = text_format("curl -s -m 20 -H 'X-Key: %s' http://ok.test/keyed", placeholder);
	AUTO_FREE char *stray = text_format("curl -s -m 20 -H 'X-Key: %s' http://other.test/", placeholder);
	AUTO_FREE char *leak = text_format("curl -s -m 20 -d 'note=%s' http://other.test/", CREDENTIAL);
	AUTO_FREE char *answer = NULL;
	unsigned before;

	(void)state;
	answer = shell("front", line);
	assert_true(outside_heard("X-Key: " CREDENTIAL "\r\n"));
	assert_non_null(strstr(answer, "GET /keyed"));
	assert_null(strstr(answer, CREDENTIAL)); /* the origin echoes it: it is masked again */
	before = outside_count();
	contains("front", stray, "placeholder");
	contains("front", leak, "secret");
	assert_int_equal(outside_count(), before);
}

static void what_a_room_trusts_is_where_toolchains_look(void **state)
{
	(void)state;
	contains("front", "openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/assay.pem", ": OK");
	says("front", "head -c 4 /etc/ssl/certs/assay.jks | od -An -tx1", " fe ed fe ed");
	contains("front", "readlink /etc/ssl/certs/*.0", "assay.pem");
	/* TLS is opened with the environment's authority, which the room trusts. */
	contains("front", "curl -s -m 20 https://bank.test/v1/list", "stubbed");
	says("front", "touch /etc/ssl/certs/x 2>/dev/null || echo read-only", "read-only");
}

static void a_service_of_another_room_is_called_by_its_name(void **state)
{
	AUTO_JSON log = NULL;
	const json_t *line;
	size_t index;
	bool seen = false;

	(void)state;
	contains("front", "curl -s -m 20 http://api:8080/seam.txt", "over the seam");
	says("front", "curl -s -m 20 http://api:8099/ || echo refused", "refused"); /* no name has that port */
	log = copy_log(&copy);
	json_array_foreach(log, index, line)
		seen = seen ||
		       (strcmp(json_text(line, "from", ""), "front") == 0 && strcmp(json_text(line, "to", ""), "api") == 0 &&
			strcmp(json_text(json_member(line, "request"), "url", ""), "/seam.txt") == 0);
	assert_true(seen);
}

static void the_preview_shows_a_room_of_a_pod(void **state)
{
	AUTO_FREE char *url = text_format("http://127.0.0.1:%d/env/%s/seam.txt", PREVIEW_PORT, env.text);
	const struct http_call call = {.method = "GET", .url = url, .timeout_ms = 20000, .body_bytes_max = (size_t)1 << 20};
	AUTO_RESPONSE shown;
	struct err err = {0};

	(void)state;
	good(http_client_call(&call, &shown, &err), &err);
	assert_int_equal(shown.status, 200);
	assert_non_null(strstr(shown.body.at, "over the seam"));
}

/* More than a link carries wait in the pod, and none is lost. */
static void connections_beyond_what_a_link_carries_wait_their_turn(void **state)
{
	AUTO_FREE char *line = text_format(
		"python3 -c \"import socket\nheld=[socket.create_connection(('127.18.0.2',3128),20) for i in range(%d)]\n"
		"late=socket.create_connection(('127.18.0.2',3128),20); late.sendall(b'GET http://ok.test/late HTTP/1.1\\r\\nHost: ok.test\\r\\nConnection: close\\r\\n\\r\\n')\n"
		"late.settimeout(0.3)\ntry:\n print(late.recv(12))\nexcept TimeoutError:\n print('waits')\n"
		"[each.close() for each in held]\nlate.settimeout(20)\nprint(late.recv(12))\"",
		LINK_OPENS_MAX);

	(void)state;
	says("front", line, "waits\nb'HTTP/1.1 200'");
}

static void a_link_that_breaks_in_a_download_loses_nothing(void **state)
{
	const char *line = "curl -s -m 50 http://api:8080/large | sha256sum; sha256sum </dev/null >/dev/null";
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	AUTO_FREE char *wanted = shell("api", "sha256sum </tmp/www/large");
	struct exit_status status;
	struct err err = {0};
	uint32_t process;
	int out[2];

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	process = start("front", line, out[1]);
	(void)close(out[1]);
	for (int i = 0; i < 5; i++) {
		kube_cluster_cut(provider);
		(void)usleep(20000);
	}
	good(file_read_fd(out[0], &output, &err), &err);
	(void)close(out[0]);
	good(provider_program_wait(provider, env, "front", process, WAIT_MS, &status, &err), &err);
	assert_int_equal(strncmp(output.at, wanted, 64), 0);
}

/* ---- what dies ---- */

/* Its pod is killed with everything in it, as by its node. */
static void room_kill(const char *room)
{
	AUTO_JSON seen = cluster_state(&scripted);
	size_t index;
	json_t *object;

	json_array_foreach(json_member(seen, "objects"), index, object) {
		const json_t *pod = json_member(object, "object");
		const json_t *meta = json_member(pod, "metadata");

		if (strcmp(json_text(pod, "kind", ""), "Pod") == 0 && strcmp(json_text(meta, "name", ""), room) == 0)
			cluster_act(&scripted, "kill", "{\"path\": \"/api/v1/namespaces/%s/pods/%s\"}",
				    json_text(meta, "namespace", ""), room);
	}
}

static void who_waits_for_a_room_that_dies_is_told(void **state)
{
	AUTO_FREE char *there = text_format("127.0.0.1:%d", PREVIEW_PORT);
	AUTO_FREE char *ask = text_format("GET /env/%s/hang HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", env.text, there);
	AUTO_FREE char *heard = NULL;
	int fd = dial_to(there);

	(void)state;
	say(fd, ask);
	says("api", "until [ -e /tmp/hangs ]; do sleep 0.02; done; echo asked", "asked");
	room_kill("api");
	heard = hear(fd, NULL); /* within the ten seconds that it waits at most for a byte */
	assert_true(errno != EAGAIN);
	(void)close(fd);
	contains("front", "curl -s -m 20 -o /dev/null http://api:8080/seam.txt || echo lost", "lost");
}

static void a_gateway_that_dies_leaves_nothing_hanging_and_nothing_open(void **state)
{
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	unsigned before = outside_count();
	struct exit_status status;
	struct err err = {0};
	uint32_t process;
	int out[2];

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	process = start("front", "curl -s http://ok.test/hang; echo ended", out[1]);
	(void)close(out[1]);
	while (outside_count() == before)
		(void)usleep(POLL_US);
	assert_int_equal(kill(world->gateway, SIGKILL), 0);
	assert_int_equal(waitpid(world->gateway, NULL, 0), world->gateway);
	good(file_read_fd(out[0], &output, &err), &err);
	(void)close(out[0]);
	assert_string_equal(output.at, "ended\n");
	good(provider_program_wait(provider, env, "front", process, WAIT_MS, &status, &err), &err);
	says("front", "curl -s -m 20 http://ok.test/; echo $?", "52"); /* an empty answer, at once */
	says("front", "getent hosts api || echo none", "none");
}

/* ---- begin and end ---- */

static void openssl(const char *line)
{
	AUTO_FREE char *script = text_format("cd %s && openssl %s 2>/dev/null", folder, line);

	assert_int_equal(system(script), 0);
}

static void file_into(const char *name, struct buf *into)
{
	AUTO_FREE char *path = text_format("%s/%s", folder, name);
	struct err err = {0};

	good(file_read(path, into, &err), &err);
}

/* Hosts outside are here. In a mount namespace of our own, which the gateway inherits. */
static void hosts_make(void)
{
	AUTO_FREE char *path = text_format("%s/hosts", folder);
	struct err err = {0};

	good(file_replace(path, VIEW("127.0.0.1 localhost ok.test other.test evil.test bank.test\n"), 0644, &err), &err);
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount(path, "/etc/hosts", NULL, MS_BIND, NULL), 0);
}

static void outside_begin(void)
{
	static int listener;
	pthread_t thread;
	struct err err = {0};

	good(socket_listen_tcp("127.0.0.1:80", &listener, &err), &err);
	assert_int_equal(pthread_create(&thread, NULL, outside_main, &listener), 0);
	(void)pthread_detach(thread);
}

/* On the link's thread: what serve would have signed. */
static void head_sign(void *self, struct link *link, struct link_message *message)
{
	unsigned char bytes[LEDGER_HEAD_BYTES];
	char line[LEDGER_HEAD_TEXT_MAX];
	struct ledger_head head;
	AUTO_JSON body = NULL;
	struct err err = {0};
	char key_id[65];

	(void)self;
	if (!ledger_head_parse(view_of(json_text(message->body, "head", "")), &head, &err)) {
		ledger_head_bytes(&head, bytes);
		if (!vault_sign(vault, view_make(bytes, sizeof(bytes)), head.signature, key_id, &err)) {
			ledger_head_format(&head, line);
			body = json_pack("{s:s}", "head", line);
		}
	}
	link_reply(link, message->name, message->request, body, body ? NULL : &err);
}

static void gateway_tell(uint16_t name, json_t *body, int fd)
{
	AUTO_JSON answer = NULL;
	struct err err = {0};

	answer = link_call(world->link, name, body, &fd, 1, 5000, &err);
	if (!answer)
		fail_msg("message %u: %s", name, err.text);
	json_decref(body);
	(void)close(fd);
}

static void vault_begin(void)
{
	AUTO_FREE char *state = text_format("%s/state", folder);
	AUTO_FREE char *ledger = text_format("%s/ledger", folder);
	AUTO_BUF key = buf_new(65536);
	unsigned char signature[64];
	struct err err = {0};
	char key_id[65];
	int fd = -1;

	good(vault_open(state, &vault, &err) || vault_gateway_link(vault, &fd, &err), &err);
	gateway_tell(MESSAGE_VAULT, json_object(), fd);
	fixture_head_sign = head_sign;
	assert_int_equal(mkdir(ledger, 0700), 0);
	assert_int_equal(chmod(ledger, 0777), 0); /* whoever the gateway becomes */
	fd = open(ledger, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	good(vault_public_key(vault, &key, &err) || vault_sign(vault, VIEW("x"), signature, key_id, &err), &err);
	gateway_tell(MESSAGE_LEDGER, json_pack("{s:s, s:s}", "key_id", key_id, "key", key.at), fd);
}

static void cluster_open(const char *assay)
{
	static struct kube_cluster_options options;
	struct err err = {0};

	cluster_act(&scripted, "set", "{\"kubelet\": {\"base\": \"%s/node\", \"programs\": {\"" IMAGE "\": \"%s\"}}}", folder,
		    assay);
	options.site = (struct kube_site){.client = scripted.client, .world = world_real, .owner = "contract"};
	options.rooms.name = NAME;
	options.rooms.authority = authority.at;
	options.rooms.image = options.image = IMAGE;
	options.listen = "127.0.0.1:0";
	options.peer = (struct kube_peer){.cidr = "127.0.0.1/32", .port = 7430};
	options.identity = buf_view(&identity);
	options.state_dir = folder;
	options.sweep_ms = 3600000;
	good(kube_cluster_open(&options, &provider, &err), &err);
}

static void door_put(const char *room)
{
	struct err err = {0};
	int fd;

	good(provider_sandbox_door(provider, env, room, &fd, &err), &err);
	gateway_tell(MESSAGE_SANDBOX_PUT, json_pack("{s:s, s:s}", "env", env.text, "sandbox", room), fd);
}

static void secret_make(void)
{
	AUTO_BUF text = buf_new(65536);
	struct credential_use use = {0};
	struct err err = {0};

	good(credential_rule_parse(VIEW("http://ok.test/*"), &use, &err) ||
		     credential_place_parse(VIEW("header:X-Key"), &use, &err) ||
		     vault_secret_set(vault, "outside-key", &use, VIEW(CREDENTIAL), &err) ||
		     vault_secret_bind(vault, env.text, "outside-key", &use, &text, &err),
	     &err);
	placeholder = text_copy(text.at);
}

static void environment_make(void)
{
	AUTO_FREE char *routes = NULL;
	struct sandbox_spec spec = {.authority_hash = trusted_hash};
	struct err err = {0};

	env = env_id_new(world_real);
	trusted = buf_new(65536);
	good(vault_authority(vault, env.text, &trusted, trusted_hash, &err), &err);
	buf_add_char(&trusted, '\0');
	secret_make();
	routes = text_format(
		"{\"names\": {\"api\": {\"sandbox\": \"api\", \"kind\": \"service\", \"port\": 8080}},"
		" \"preview\": {\"service\": \"api\", \"port\": 8080},"
		" \"egress\": [{\"host\": \"ok.test\", \"action\": \"allow\"}, {\"host\": \"other.test\", \"action\": \"allow\"},"
		"  {\"host\": \"*.many.test\", \"action\": \"allow\"}],"
		" \"stubs\": {\"bank.test\": [{\"request\": {\"path\": \"/v1/list\"}, \"response\": {\"body\": \"stubbed\"}}]},"
		" \"credentials\": [{\"name\": \"outside-key\", \"placeholder\": \"%s\", \"for\": [\"http://ok.test/*\"], \"in\": \"header:X-Key\"}],"
		" \"tools\": []}",
		placeholder);
	copy_make(world, env.text, "ready", routes, &copy);
	good(provider_env_make(provider, env, &err), &err);
	spec.env = env;
	spec.authority = trusted.at;
	for (size_t i = 0; i < 2; i++) {
		spec.name = i ? "api" : "front";
		good(provider_sandbox_make(provider, &spec, &err), &err);
		door_put(spec.name);
	}
}

/* A service on all addresses of its pod: where the pod's link listens must leave it that port. */
static void service_begin(void)
{
	static const char line[] =
		"mkdir www; echo over the seam >www/seam.txt; head -c 3000000 /dev/urandom >www/large; exec python3 -c \"\n"
		"import http.server, functools, time\n"
		"class H(http.server.SimpleHTTPRequestHandler):\n"
		" def do_GET(self):\n"
		"  if self.path.endswith('/hang'): open('/tmp/hangs', 'w').close(); time.sleep(600)\n"
		"  super().do_GET()\n"
		"http.server.ThreadingHTTPServer(('0.0.0.0', 8080), functools.partial(H, directory='/tmp/www')).serve_forever()\"";
	struct err err = {0};
	int fd = -1;

	(void)start("api", line, -1);
	for (int i = 0; i < POLLS && fd < 0; i++)
		if (provider_sandbox_dial(provider, env, "api", 8080, &fd, &err))
			(void)usleep(POLL_US);
	good(fd < 0, &err);
	(void)close(fd);
}

static int begin(void **state)
{
	identity = buf_new(65536);
	authority = buf_new(65536);
	openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout link.key -out link.pem -subj /CN=" NAME
		" -addext subjectAltName=DNS:" NAME " -days 2");
	file_into("link.pem", &identity);
	file_into("link.key", &identity);
	file_into("link.pem", &authority);
	buf_add_char(&authority, '\0');
	outside_begin();
	vault_begin();
	cluster_open(*state);
	environment_make();
	service_begin();
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const arguments[] = {"--reach", "127.0.0.0/8", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_have_addresses_of_the_pods_own_loopback_or_none),
		cmocka_unit_test(a_request_that_is_allowed_goes_out_and_is_in_the_ledger),
		cmocka_unit_test(a_request_that_is_not_gets_the_rule_and_goes_nowhere),
		cmocka_unit_test(who_wants_no_proxy_reaches_by_name_what_is_allowed),
		cmocka_unit_test(of_many_names_those_asked_for_last_are_reached),
		cmocka_unit_test(a_credential_is_put_in_outside_only),
		cmocka_unit_test(what_a_room_trusts_is_where_toolchains_look),
		cmocka_unit_test(a_service_of_another_room_is_called_by_its_name),
		cmocka_unit_test(the_preview_shows_a_room_of_a_pod),
		cmocka_unit_test(connections_beyond_what_a_link_carries_wait_their_turn),
		cmocka_unit_test(a_link_that_breaks_in_a_download_loses_nothing),
		cmocka_unit_test(who_waits_for_a_room_that_dies_is_told),
		cmocka_unit_test(a_gateway_that_dies_leaves_nothing_hanging_and_nothing_open),
	};
	AUTO_FREE char *assay = argc > 1 ? realpath(argv[1], NULL) : NULL; /* containers are started elsewhere */
	void *state = assay;
	struct err err = {0};
	int failed;

	if (argc > 1 && strcmp(argv[1], "vault") == 0)
		return vault_main(argc - 1, argv + 1);
	if (!assay) {
		(void)fprintf(stderr, "usage: contract_kubernetes_door ASSAY\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(folder) || chmod(folder, 0755))
		return 1;
	if (geteuid() == 0)
		hosts_make();
	fixture_arguments = arguments;
	world = world_open();
	if (!world || !cluster_begin(&scripted, NULL, NULL)) {
		(void)!file_remove_tree(folder, &err);
		return 77;
	}
	failed = begin(&state) ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
	kube_cluster_close(provider);
	cluster_unwrong(&scripted);
	cluster_end(&scripted);
	link_free(world->link);
	vault_close(vault);
	free(placeholder);
	(void)!file_remove_tree(folder, &err);
	return failed;
}
