/* The client of API servers at a scripted one (tests/kubernetes/api.mjs), which does what real ones were seen to do. */
#include "kubernetes_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"

#define SKIPPED 77 /* for meson */
#define SPACE "/api/v1/namespaces/one"
#define MAP SPACE "/configmaps/m"
#define EVENTS_MAX 32

static struct cluster cluster;

static void good(int result, const struct err *err)
{
	if (result)
		fail_msg("%s", err->text);
}

static json_t *named(const char *kind, const char *space, const char *name)
{
	json_t *object = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", kind, "metadata", "name", name);

	if (space)
		(void)json_object_set_new(json_object_get(object, "metadata"), "namespace", json_string(space));
	return object;
}

static json_t *map_of(const char *key, const char *value)
{
	json_t *object = named("ConfigMap", "one", "m");

	(void)json_object_set_new(object, "data", json_pack("{s:s}", key, value));
	return object;
}

static void space_make(const char *name)
{
	AUTO_JSON space = named("Namespace", NULL, name);
	AUTO_FREE char *path = kube_path("v1", "namespaces", NULL, name);
	struct err err = {0};

	good(kube_apply(cluster.client, path, space, NULL, &err), &err);
}

static char *version_of(const json_t *object)
{
	return text_copy(json_text(json_member(object, "metadata"), "resourceVersion", ""));
}

static void apply_as(const char *manager, const json_t *object)
{
	AUTO_FREE char *path = text_format("%s?fieldManager=%s&force=true", MAP, manager);
	const struct kube_request request = {
		.method = "PATCH", .path = path, .type = "application/apply-patch+yaml", .body = object};
	struct err err = {0};

	good(kube_ask(cluster.client, &request, NULL, &err), &err);
}

static int64_t asked(void)
{
	AUTO_JSON state = cluster_state(&cluster);

	return json_number(state, "requests", 0);
}

/* ---- objects ---- */

static void paths_are_escaped(void **state)
{
	static const struct {
		const char *version, *plural, *space, *name, *path;
	} rows[] = {
		{"v1", "namespaces", NULL, NULL, "/api/v1/namespaces"},
		{"v1", "pods", "a", "b", "/api/v1/namespaces/a/pods/b"},
		{"networking.k8s.io/v1", "networkpolicies", "a", NULL, "/apis/networking.k8s.io/v1/namespaces/a/networkpolicies"},
		{"v1", "pods", "../x", "a;b?c", "/api/v1/namespaces/..%2Fx/pods/a%3Bb%3Fc"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *path = kube_path(rows[i].version, rows[i].plural, rows[i].space, rows[i].name);

		assert_string_equal(path, rows[i].path);
	}
}

static void what_is_applied_twice_is_not_changed_and_what_is_left_out_is_taken_away(void **state)
{
	AUTO_JSON first = map_of("a", "1");
	AUTO_JSON second = map_of("b", "2");
	AUTO_JSON made = NULL;
	AUTO_JSON same = NULL;
	AUTO_JSON other = NULL;
	struct err err = {0};

	(void)state;
	space_make("one");
	good(kube_apply(cluster.client, MAP, first, &made, &err), &err);
	good(kube_apply(cluster.client, MAP, first, &same, &err), &err);
	good(kube_apply(cluster.client, MAP, second, &other, &err), &err);
	AUTO_FREE char *version = version_of(made);
	AUTO_FREE char *version_same = version_of(same);
	assert_string_equal(version, version_same);
	assert_null(json_text(json_member(other, "data"), "a", NULL));
	assert_string_equal(json_text(json_member(other, "data"), "b", ""), "2");
}

static void what_others_own_stays_theirs(void **state)
{
	AUTO_JSON ours = map_of("a", "1");
	AUTO_JSON theirs = map_of("a", "2");
	AUTO_JSON now = NULL;
	struct err err = {0};

	(void)state;
	space_make("one");
	apply_as("spin", theirs);
	assert_int_equal(kube_apply(cluster.client, MAP, ours, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "conflict with \"spin\": .data.a"));
	good(kube_get(cluster.client, MAP, &now, &err), &err);
	assert_string_equal(json_text(json_member(now, "data"), "a", ""), "2");
}

/* A body that is wrong comes as a 500: it must not be sent again and again. */
static void a_wrong_body_is_refused_once(void **state)
{
	AUTO_JSON wrong = map_of("a", "1");
	struct err err = {0};
	int64_t before;

	(void)state;
	space_make("one");
	cluster_act(&cluster, "set", "{\"lenient\": true}");
	(void)json_object_set_new(wrong, "datta", json_object());
	before = asked();
	assert_int_equal(kube_apply(cluster.client, MAP, wrong, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.text, ".datta: field not declared in schema"));
	assert_int_equal(kube_create(cluster.client, SPACE "/configmaps", wrong, true, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.text, "strict decoding error"));
	assert_int_equal(asked() - before, 2);
}

static void refusals_are_told_apart(void **state)
{
	AUTO_JSON map = map_of("a", "1");
	AUTO_JSON object = NULL;
	struct kube_status status = {0};
	struct kube_request request = {.method = "GET", .path = MAP, .status = &status};
	struct err err = {0};

	(void)state;
	assert_int_equal(kube_ask(cluster.client, &request, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_string_equal(status.kind, "configmaps");
	request = (struct kube_request){
		"PATCH", MAP "?fieldManager=assay", "application/apply-patch+yaml", NULL, map, false, &status, NULL};
	assert_int_equal(kube_ask(cluster.client, &request, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_string_equal(status.kind, "namespaces");
	space_make("one");
	good(kube_create(cluster.client, SPACE "/configmaps", map, false, &object, &err), &err);
	assert_int_equal(kube_create(cluster.client, SPACE "/configmaps", map, false, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(kube_delete(cluster.client, MAP, "another-uid", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	good(kube_delete(cluster.client, MAP, json_text(json_member(object, "metadata"), "uid", NULL), &err), &err);
	assert_int_equal(kube_delete(cluster.client, MAP, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	good(kube_delete(cluster.client, SPACE, NULL, &err), &err);
	status = (struct kube_status){0};
	cluster_act(&cluster, "set", "{\"terminate_ms\": 60000}");
	space_make("two");
	good(kube_delete(cluster.client, "/api/v1/namespaces/two", NULL, &err), &err);
	request.path = "/api/v1/namespaces/two/configmaps/m?fieldManager=assay";
	(void)json_object_del(json_object_get(map, "metadata"), "namespace");
	assert_int_equal(kube_ask(cluster.client, &request, NULL, &err), -1);
	assert_int_equal(status.meaning, KUBE_TERMINATING);
	assert_int_equal(err.kind, ERR_CONFLICT);
}

/* ---- patience ---- */

static void load_and_lost_connections_are_waited_out(void **state)
{
	static const struct {
		const char *fault;
		enum err_kind get, apply, create; /* ERR_NONE: it goes well in the end */
	} rows[] = {
		{"apf", ERR_NONE, ERR_NONE, ERR_NONE},
		{"503", ERR_NONE, ERR_NONE, ERR_RETRY},
		{"500", ERR_NONE, ERR_NONE, ERR_RETRY},
		{"cut", ERR_NONE, ERR_NONE, ERR_RETRY},
		{"lost", ERR_NONE, ERR_NONE, ERR_RETRY},
		{"conflict", ERR_CONFLICT, ERR_CONFLICT, ERR_CONFLICT},
		{"disruption", ERR_CONFLICT, ERR_CONFLICT, ERR_CONFLICT},
		{"garbage", ERR_BROKEN, ERR_BROKEN, ERR_BROKEN},
	};
	AUTO_JSON map = map_of("a", "1");
	AUTO_JSON other = named("ConfigMap", "one", "n");

	(void)state;
	space_make("one");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON got = NULL;
		AUTO_JSON applied = NULL;
		AUTO_JSON created = NULL;
		struct err err = {0};

		cluster_act(&cluster, "fault", "{\"match\": \"PATCH\", \"kind\": \"%s\"}", rows[i].fault);
		if (kube_apply(cluster.client, MAP, map, &applied, &err) != (rows[i].apply ? -1 : 0))
			fail_msg("%s: %s", rows[i].fault, err.text);
		assert_int_equal(err.kind, rows[i].apply);
		good(kube_apply(cluster.client, MAP, map, NULL, &err), &err);
		err = (struct err){0};
		cluster_act(&cluster, "fault", "{\"match\": \"GET\", \"kind\": \"%s\"}", rows[i].fault);
		assert_int_equal(kube_get(cluster.client, MAP, &got, &err), rows[i].get ? -1 : 0);
		assert_int_equal(err.kind, rows[i].get);
		err = (struct err){0};
		cluster_act(&cluster, "fault", "{\"match\": \"POST\", \"kind\": \"%s\"}", rows[i].fault);
		assert_int_equal(kube_create(cluster.client, SPACE "/configmaps", other, false, &created, &err),
				 rows[i].create ? -1 : 0);
		assert_int_equal(err.kind, rows[i].create);
		if (kube_delete(cluster.client, SPACE "/configmaps/n", NULL, &err))
			assert_int_equal(err.kind, ERR_NOT_FOUND);
	}
}

static void a_token_that_was_rotated_is_read_again(void **state)
{
	char path[] = "/tmp/assay-token-XXXXXX";
	int fd = mkstemp(path);
	AUTO_FREE char *user = text_format("tokenFile: %s", path);
	struct kube_config *config = cluster_config(&cluster, "", user);
	struct kube_client *client = kube_client_open(config, world_real);
	struct err err = {0};

	(void)state;
	(void)close(fd);
	good(file_replace(path, VIEW("one\n"), 0600, &err), &err);
	cluster_act(&cluster, "set", "{\"token\": \"one\"}");
	good(kube_get(client, "/version", NULL, &err), &err);
	good(file_replace(path, VIEW("two\n"), 0600, &err), &err);
	cluster_act(&cluster, "set", "{\"token\": \"two\"}");
	good(kube_get(client, "/version", NULL, &err), &err);
	cluster_act(&cluster, "set", "{\"token\": \"three\"}");
	assert_int_equal(kube_get(client, "/version", NULL, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_non_null(strstr(err.text, "Unauthorized"));
	(void)unlink(path);
	kube_client_close(client);
	kube_config_free(config);
}

static void warnings_reach_the_caller(void **state)
{
	char warning[256] = "";
	const struct kube_request request = {.method = "GET", .path = "/version", .warning = warning};
	struct err err = {0};

	(void)state;
	cluster_act(&cluster, "fault", "{\"match\": \"version\", \"warning\": \"v1beta1 is deprecated\"}");
	good(kube_ask(cluster.client, &request, NULL, &err), &err);
	assert_string_equal(warning, "v1beta1 is deprecated");
}

static void who_is_acted_as_is_told(void **state)
{
	struct kube_config *config = cluster_config(&cluster, "",
						    "as: a, as-groups: [g, h], as-uid: '1', as-user-extra: {Some/Key: [v]}");
	struct kube_client *client = kube_client_open(config, world_real);
	struct err err = {0};
	AUTO_JSON seen = NULL;
	const json_t *last;

	(void)state;
	good(kube_get(client, "/version", NULL, &err), &err);
	seen = cluster_state(&cluster);
	last = json_member(seen, "last");
	assert_string_equal(json_text(last, "impersonate-user", ""), "a");
	assert_string_equal(json_text(last, "impersonate-uid", ""), "1");
	assert_string_equal(json_text(last, "impersonate-group", ""), "g, h");
	assert_string_equal(json_text(last, "impersonate-extra-some%2fkey", ""), "v");
	kube_client_close(client);
	kube_config_free(config);
}

/* ---- lists ---- */

static void lists_come_whole_page_by_page(void **state)
{
	char version[64];
	AUTO_JSON items = NULL;
	AUTO_JSON none = NULL;
	AUTO_JSON one = NULL;
	struct err err = {0};

	(void)state;
	good(kube_list(cluster.client, "/api/v1/namespaces", NULL, &none, version, &err), &err); /* "items": null */
	assert_int_equal(json_array_size(none), 0);
	for (int i = 0; i < 7; i++)
		cluster_act(&cluster, "put",
			    "{\"path\": \"/api/v1/namespaces/n%d\", \"object\": {\"metadata\": {\"labels\": {\"n\": \"%d\"}}}}", i,
			    i);
	cluster_act(&cluster, "set", "{\"page\": 3}");
	good(kube_list(cluster.client, "/api/v1/namespaces", NULL, &items, version, &err), &err);
	assert_int_equal(json_array_size(items), 7);
	good(kube_list(cluster.client, "/api/v1/namespaces", "n=4", &one, version, &err), &err);
	assert_int_equal(json_array_size(one), 1);
}

static void a_list_that_is_too_old_to_go_on_with_begins_again(void **state)
{
	AUTO_JSON items = NULL;
	struct err err = {0};

	(void)state;
	for (int i = 0; i < 7; i++)
		cluster_act(&cluster, "put", "{\"path\": \"/api/v1/namespaces/n%d\", \"object\": {}}", i);
	cluster_act(&cluster, "set", "{\"page\": 3, \"expire_pages\": 1}");
	good(kube_list(cluster.client, "/api/v1/namespaces", NULL, &items, NULL, &err), &err);
	assert_int_equal(json_array_size(items), 7);
}

/* ---- watches ---- */

struct seen {
	char events[EVENTS_MAX][64]; /* "= 2" for a list of two, "+ name", "~ name", "- name" */
	size_t count;
	const char *const *acts; /* what is done after each of them: "action body", or "" */
	size_t wanted;           /* it ends when so many came */
};

static bool seen_add(struct seen *seen, const char *sign, const char *text)
{
	const char *act = seen->acts[seen->count];

	(void)snprintf(seen->events[seen->count], sizeof(seen->events[0]), "%s %s", sign, text);
	seen->count++;
	while (act && act[0]) { /* several, with newlines between */
		const char *end = strchrnul(act, '\n');
		AUTO_FREE char *line = view_copy(view_make(act, (size_t)(end - act)));
		char *blank = strchr(line, ' ');

		if (blank)
			*blank = '\0';
		cluster_act(&cluster, line, "%s", blank ? blank + 1 : "{}");
		act = *end ? end + 1 : end;
	}
	return seen->count < seen->wanted;
}

static bool on_listed(void *self, const json_t *items)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%zu", json_array_size(items));
	return seen_add(self, "=", text);
}

static bool on_changed(void *self, enum kube_change change, const json_t *object)
{
	return seen_add(self,
			change == KUBE_ADDED     ? "+"
			: change == KUBE_DELETED ? "-"
						 : "~",
			json_text(json_member(object, "metadata"), "name", ""));
}

#define ADD(name) "put {\"path\": \"/api/v1/namespaces/" name "\", \"object\": {\"metadata\": {\"name\": \"" name "\"}}}"
#define DROP(name) "drop {\"path\": \"/api/v1/namespaces/" name "\"}"

static void a_watch_goes_on_over_every_way_in_which_it_ends(void **state)
{
	static const struct {
		const char *what;
		const char *acts[EVENTS_MAX], *events[EVENTS_MAX];
		unsigned lists, watches; /* at least */
	} rows[] = {
		{"nothing goes wrong", {ADD("a"), DROP("a"), ""}, {"= 0", "+ a", "- a"}, 1, 1},
		{"the server ends it", {ADD("a"), "end\n" ADD("b"), "end\n" ADD("c"), ""}, {"= 0", "+ a", "+ b", "+ c"}, 1, 2},
		{"a cut in the middle", {ADD("a"), "cut\n" ADD("b"), ""}, {"= 0", "+ a", "+ b"}, 1, 2},
		{"a bookmark is where it goes on", {ADD("a"), "bookmark\nend\n" ADD("b"), ""}, {"= 0", "+ a", "+ b"}, 1, 2},
		{"410 in the stream: a list again", {ADD("a"), "expire\n" ADD("b"), ""}, {"= 0", "+ a", "= 2"}, 2, 1},
		{"410 before the stream: a list again",
		 {ADD("a"), "fault {\"match\": \"^GET\", \"kind\": \"410\"}\nend\n" ADD("b"), ""},
		 {"= 0", "+ a", "= 2"},
		 2,
		 2},
		{"429, then 503, at the next watch",
		 {ADD("a"),
		  "fault {\"match\": \"^GET\", \"kind\": \"apf\"}\nfault {\"match\": \"^GET\", \"kind\": \"503\"}\nend\n" ADD("b"),
		  ""},
		 {"= 0", "+ a", "+ b"},
		 1,
		 3},
		{"refused connections",
		 {ADD("a"), "fault {\"match\": \"^GET\", \"kind\": \"cut\", \"count\": 3}\nend\n" ADD("b"), ""},
		 {"= 0", "+ a", "+ b"},
		 1,
		 4},
		{"the list meets trouble",
		 {ADD("a"), "fault {\"match\": \"^GET\", \"kind\": \"cut\", \"count\": 2}\nexpire\n" ADD("b"), ""},
		 {"= 0", "+ a", "= 2"},
		 2,
		 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen seen = {.acts = rows[i].acts};
		struct kube_watch watch = {.path = "/api/v1/namespaces", .listed = on_listed, .changed = on_changed, .self = &seen};
		struct err err = {0};

		cluster_act(&cluster, "reset", "{}");
		while (rows[i].events[seen.wanted])
			seen.wanted++;
		good(kube_watch_run(cluster.client, &watch, &err), &err);
		for (size_t at = 0; at < seen.wanted; at++)
			if (strcmp(seen.events[at], rows[i].events[at]) != 0)
				fail_msg("%s: %zu: %s, not %s", rows[i].what, at, seen.events[at], rows[i].events[at]);
		if (watch.lists != rows[i].lists || watch.watches < rows[i].watches)
			fail_msg("%s: %u lists, %u watches", rows[i].what, watch.lists, watch.watches);
		cluster_unwrong(&cluster);
	}
}

static void a_watch_that_is_refused_ends_and_says_so(void **state)
{
	struct seen seen = {.acts = (const char *const[]){"", ""}, .wanted = 9};
	struct kube_watch watch = {.path = "/api/v1/namespaces", .listed = on_listed, .changed = on_changed, .self = &seen};
	struct err err = {0};

	(void)state;
	cluster_act(&cluster, "set",
		    "{\"rules\": [{\"verbs\": [\"list\"], \"apiGroups\": [\"\"], \"resources\": [\"namespaces\"]}]}");
	assert_int_equal(kube_watch_run(cluster.client, &watch, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_non_null(strstr(err.text, "cannot watch resource \"namespaces\""));
	assert_int_equal(watch.lists, 1);
}

static bool on_log(void *self, struct view bytes)
{
	buf_add_view(self, bytes);
	return true;
}

static void logs_are_read_as_they_are(void **state)
{
	AUTO_BUF text = buf_new(1000);
	struct err err = {0};

	(void)state;
	space_make("one");
	cluster_act(&cluster, "set", "{\"logs\": \"one\\ntwo\\n\"}");
	good(kube_stream(cluster.client, SPACE "/pods/p/log?container=c&timestamps=true", on_log, &text, &err), &err);
	assert_string_equal(text.at, "one\ntwo\n");
}

/* ---- TLS ---- */

/* A clock that goes so fast that nobody waits. */
static int64_t fast_ms(void *self)
{
	static int64_t now_ms;

	(void)self;
	return now_ms += KUBE_PATIENCE_MS;
}

static void random_zero(void *self, void *at, size_t length)
{
	(void)self;
	memset(at, 0, length);
}

static const struct world_ops fast_ops = {fast_ms, fast_ms, random_zero};
static const struct world impatient = {&fast_ops, NULL};

static void openssl(const char *folder, const char *line)
{
	AUTO_FREE char *script = text_format("cd %s && openssl %s 2>/dev/null", folder, line);
	const char *const argv[] = {"sh", "-c", script, NULL};
	struct err err = {0};

	good(process_run(&(struct process_spec){.argv = argv}, NULL, &err), &err);
}

#define KEY "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
#define SIGNED "-CA ca.pem -CAkey ca.key -days 1"

static void certificates_of_both_sides_are_checked(void **state)
{
	enum { NO_AUTHORITY = 1, NO_NAME = 2, NO_CHECK = 4, NO_CERTIFICATE = 8 };
	static const struct {
		unsigned lacks;
		enum err_kind kind;
	} rows[] = {
		{0, ERR_NONE},
		{NO_AUTHORITY | NO_NAME | NO_CHECK, ERR_NONE},
		{NO_NAME, ERR_RETRY},
		{NO_AUTHORITY, ERR_RETRY},
		{NO_CERTIFICATE, ERR_RETRY},
	};
	char folder[] = "/tmp/assay-tls-XXXXXX";
	struct buf files[3] = {buf_new(65536), buf_new(65536), buf_new(65536)};
	static const char *const names[] = {"ca.pem", "me.pem", "me.key"};
	struct cluster secure;
	struct http_tls tls;
	struct err err = {0};

	(void)state;
	assert_non_null(mkdtemp(folder));
	openssl(folder, "req -x509 " KEY " -keyout ca.key -out ca.pem -subj /CN=ca -days 1");
	openssl(folder, "req -x509 " KEY " -keyout server.key -out server.pem -subj /CN=server " SIGNED
			" -addext subjectAltName=DNS:api.internal "
			"-addext basicConstraints=critical,CA:FALSE");
	openssl(folder,
		"req -x509 " KEY " -keyout me.key -out me.pem -subj /CN=me " SIGNED " -addext basicConstraints=critical,CA:FALSE");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *path = text_format("%s/%s", folder, names[i]);

		good(file_read(path, &files[i], &err), &err);
	}
	tls = (struct http_tls){files[0].at, files[1].at, files[2].at, "api.internal", false};
	assert_true(cluster_begin(&secure, folder, &tls));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *authority = text_format(", certificate-authority: %s/ca.pem", folder);
		AUTO_FREE char *more_cluster = text_format("%s%s%s", rows[i].lacks & NO_AUTHORITY ? "" : authority,
							   rows[i].lacks & NO_NAME ? "" : ", tls-server-name: api.internal",
							   rows[i].lacks & NO_CHECK ? ", insecure-skip-tls-verify: true" : "");
		AUTO_FREE char *user = text_format("client-certificate: %s/me.pem, client-key: %s/me.key", folder, folder);
		struct kube_config *config = cluster_config(&secure, more_cluster,
							    rows[i].lacks & NO_CERTIFICATE ? "token: t" : user);
		struct kube_client *client = kube_client_open(config, impatient);

		int said = 0;

		err = (struct err){0};
		for (int times = 0; times < 2; times++) /* the second one finds a connection */
			said = kube_get(client, "/version", NULL, &err);
		if (err.kind != rows[i].kind || !said != !err.kind)
			fail_msg("row %zu: %s", i, err.text);
		kube_client_close(client);
		kube_config_free(config);
	}
	cluster_end(&secure);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		buf_fini(&files[i]);
	good(file_remove_tree(folder, &err), &err);
}

/* ---- the frame ---- */

static int begin(void **state)
{
	(void)state;
	cluster_act(&cluster, "reset", "{}");
	return 0;
}

static int end(void **state)
{
	(void)state;
	cluster_unwrong(&cluster);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(paths_are_escaped),
		TEST(what_is_applied_twice_is_not_changed_and_what_is_left_out_is_taken_away),
		TEST(what_others_own_stays_theirs),
		TEST(a_wrong_body_is_refused_once),
		TEST(refusals_are_told_apart),
		TEST(load_and_lost_connections_are_waited_out),
		TEST(a_token_that_was_rotated_is_read_again),
		TEST(warnings_reach_the_caller),
		TEST(who_is_acted_as_is_told),
		TEST(lists_come_whole_page_by_page),
		TEST(a_list_that_is_too_old_to_go_on_with_begins_again),
		TEST(a_watch_goes_on_over_every_way_in_which_it_ends),
		TEST(a_watch_that_is_refused_ends_and_says_so),
		TEST(logs_are_read_as_they_are),
		TEST(certificates_of_both_sides_are_checked),
	};
	int failed;

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	if (!cluster_begin(&cluster, NULL, NULL))
		return SKIPPED;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cluster_end(&cluster);
	return failed;
}
