/* A cluster and a user, out of kubeconfigs: client-go's "clientcmd" is what they must mean the same as. */
#include "sandbox/kubernetes/config.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/scope.h"
#include "blueprint/tree.h"
#include "http/url.h"

#define FILE_NODES_MAX 100000
#define POD_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
#define EXEC_GROUP "client.authentication.k8s.io/"
#define NAMES_SHOWN_MAX 200

struct part {
	const struct kube_text *file;
	const struct tree_node *map; /* NULL: there is none */
};

struct reading {
	struct kube_config *config;
	const struct kube_text *texts;
	const struct tree_node *roots[KUBE_FILES_MAX];
	size_t count;
	bool tenant;
	struct err *err;
};

static int refuse(struct reading *reading, const struct kube_text *file, const struct tree_node *node, enum err_kind kind,
		  const char *text)
{
	return err_set(reading->err, kind, "%s:%d:%d: %s", file->path, node ? node->line : 1, node ? node->column : 1, text);
}

/* ---- finding by name ---- */

/* The part `key` of the first item of that name, in the order of the files. */
static bool part_find(const struct reading *reading, const char *list_name, const char *key, const char *name, struct part *part)
{
	for (size_t i = 0; i < reading->count; i++) {
		const struct tree_node *list = tree_find(reading->roots[i], list_name);

		for (size_t at = 0; list && list->kind == TREE_LIST && at < list->count; at++) {
			const char *its = tree_text(tree_find(list->items[at], "name"));

			if (its && strcmp(its, name) == 0) {
				*part = (struct part){&reading->texts[i], tree_find(list->items[at], key)};
				return true;
			}
		}
	}
	return false;
}

static void names_list(const struct reading *reading, const char *list_name, struct buf *out)
{
	for (size_t i = 0; i < reading->count; i++) {
		const struct tree_node *list = tree_find(reading->roots[i], list_name);

		for (size_t at = 0; list && list->kind == TREE_LIST && at < list->count; at++) {
			const char *its = tree_text(tree_find(list->items[at], "name"));

			if (its)
				buf_add_format(out, "%s%s", out->length ? ", " : "", its);
		}
	}
}

static int part_get(struct reading *reading, const char *list_name, const char *key, const char *name, struct part *part)
{
	AUTO_BUF names = buf_new(NAMES_SHOWN_MAX);

	if (part_find(reading, list_name, key, name, part))
		return 0;
	names_list(reading, list_name, &names);
	return err_set(reading->err, ERR_NOT_FOUND, "%s: no %s is called `%s`; there %s: %s", reading->texts[0].path, key, name,
		       names.length ? "are" : "is", names.length ? names.at : "none");
}

/* ---- values ---- */

static bool is_true(const struct tree_node *map, const char *key)
{
	const char *text = tree_text(tree_find(map, key));

	return text && strcmp(text, "true") == 0;
}

static const char *path_beside(struct reading *reading, const struct kube_text *file, const char *path)
{
	const char *slash = strrchr(file->path, '/');
	AUTO_FREE char *joined = NULL;

	if (path[0] == '/' || !slash)
		return path;
	joined = text_format("%.*s/%s", (int)(slash - file->path), file->path, path);
	return arena_copy(&reading->config->arena, view_of(joined));
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

/* A text that becomes part of a header, a URL or an argument. */
static int line_take(struct reading *reading, struct part part, const char *key, const char **value)
{
	const struct tree_node *node = tree_find(part.map, key);
	const char *text = tree_text(node);

	if (!text || !text[0])
		return 0;
	if (has_control(text))
		return refuse(reading, part.file, node, ERR_INVALID, "a control character in a name or a token");
	*value = text;
	return 0;
}

static int file_refuse_tenant(struct reading *reading, const struct kube_text *file, const struct tree_node *node)
{
	return refuse(
		reading, file, node, ERR_DENIED,
		"this kubeconfig comes from outside and may not name files of this machine: give the contents (…-data, token)");
}

/* KEY-data (base64) goes before KEY, a file. */
static int contents_take(struct reading *reading, struct part part, const char *data_key, const char *file_key, const char **value)
{
	const struct tree_node *data = tree_find(part.map, data_key);
	const struct tree_node *file = tree_find(part.map, file_key);
	AUTO_BUF bytes = buf_new(KUBE_FILE_BYTES_MAX);

	if (tree_text(data) && tree_text(data)[0]) {
		if (buf_add_unbase64(&bytes, view_of(tree_text(data)), NULL) || buf_finish(&bytes, NULL))
			return refuse(reading, part.file, data, ERR_INVALID, "this is not base64");
	} else if (tree_text(file) && tree_text(file)[0]) {
		if (reading->tenant)
			return file_refuse_tenant(reading, part.file, file);
		if (file_read(path_beside(reading, part.file, tree_text(file)), &bytes, reading->err))
			return err_prefix(reading->err, "%s:%d:%d", part.file->path, file->line, file->column);
	} else {
		return 0;
	}
	if (view_find(buf_view(&bytes), VIEW("-----BEGIN ")) < 0 || memchr(bytes.at, '\0', bytes.length))
		return refuse(reading, part.file, tree_text(data) ? data : file, ERR_INVALID, "this holds no PEM");
	*value = arena_copy(&reading->config->arena, buf_view(&bytes));
	explicit_bzero(bytes.at, bytes.length);
	return 0;
}

/* ---- the cluster ---- */

static int server_take(struct reading *reading, struct part part)
{
	const struct tree_node *node = tree_find(part.map, "server");
	const char *text = tree_text(node);
	struct view server = view_of(text);
	struct url url;
	struct err why = {0};

	if (!text)
		return refuse(reading, part.file, part.map, ERR_INVALID, "the cluster has no `server`");
	if (url_parse(server, &url, &why))
		return refuse(reading, part.file, node, ERR_INVALID, why.text);
	if ((!view_is(url.scheme, "https") && !view_is(url.scheme, "http")) || url.query.length || strpbrk(text, "?#"))
		return refuse(reading, part.file, node, ERR_INVALID, "`server` must be https://HOST:PORT");
	while (server.length && server.at[server.length - 1] == '/')
		server.length--;
	reading->config->server = arena_copy(&reading->config->arena, server);
	return 0;
}

static int cluster_take(struct reading *reading, const char *name)
{
	struct kube_config *config = reading->config;
	struct part part;

	if (part_get(reading, "clusters", "cluster", name, &part))
		return -1;
	config->unverified = is_true(part.map, "insecure-skip-tls-verify");
	if (server_take(reading, part) || line_take(reading, part, "tls-server-name", &config->server_name) ||
	    line_take(reading, part, "proxy-url", &config->proxy) ||
	    contents_take(reading, part, "certificate-authority-data", "certificate-authority", &config->authority))
		return -1;
	if (config->unverified && config->authority)
		return refuse(reading, part.file, part.map, ERR_INVALID,
			      "`insecure-skip-tls-verify` with a certificate authority: take one of them away");
	return 0;
}

/* ---- the user ---- */

/* Credentials that clusters and client-go no longer know. */
static int past_refuse(struct reading *reading, struct part part)
{
	const struct tree_node *provider = tree_find(part.map, "auth-provider");
	const struct tree_node *password = tree_find(part.map, "password");

	if (provider)
		return refuse(
			reading, part.file, provider, ERR_INVALID,
			"`auth-provider` was removed from Kubernetes 1.26: use `exec` with the cloud's plugin (gke-gcloud-auth-plugin, "
			"kubelogin)");
	if (password || tree_find(part.map, "username"))
		return refuse(
			reading, part.file, password ? password : tree_find(part.map, "username"), ERR_INVALID,
			"a user name and a password: no API server takes them since 1.19: use a token or a client certificate");
	return 0;
}

static int exec_lists_take(struct reading *reading, struct part part, struct kube_exec *exec)
{
	const struct tree_node *args = tree_find(part.map, "args");
	const struct tree_node *env = tree_find(part.map, "env");
	size_t count = 0;

	if ((args && args->kind != TREE_LIST) || (env && env->kind != TREE_LIST))
		return refuse(reading, part.file, part.map, ERR_INVALID, "`args` and `env` of `exec` must be lists");
	exec->args[count++] = exec->command;
	for (size_t i = 0; args && i < args->count; i++) {
		if (i >= KUBE_ARGS_MAX || args->items[i]->kind != TREE_SCALAR)
			return refuse(reading, part.file, args, ERR_INVALID, "`args` must be a list of at most 64 texts");
		exec->args[count++] = args->items[i]->text;
	}
	for (size_t i = 0; env && i < env->count; i++) {
		const char *name = tree_text(tree_find(env->items[i], "name"));
		const struct tree_node *value = name ? tree_find(env->items[i], "value") : NULL;
		AUTO_FREE char *pair = NULL;

		if (!name || i >= KUBE_ARGS_MAX || strchr(name, '='))
			return refuse(reading, part.file, env, ERR_INVALID, "`env` must be a list of at most 64 {name, value}");
		pair = text_format("%s=%s", name, tree_text(value) ? tree_text(value) : "");
		exec->env[i] = arena_copy(&reading->config->arena, view_of(pair));
	}
	return 0;
}

static int exec_take(struct reading *reading, struct part user)
{
	struct part part = {user.file, tree_find(user.map, "exec")};
	struct kube_exec *exec = &reading->config->exec;
	const char *command = tree_text(tree_find(part.map, "command"));
	const char *version = tree_text(tree_find(part.map, "apiVersion"));
	const char *mode = tree_text(tree_find(part.map, "interactiveMode"));

	if (!part.map)
		return 0;
	if (reading->tenant)
		return refuse(reading, part.file, part.map, ERR_DENIED,
			      "this kubeconfig comes from outside and may not name commands (`exec`): give a token");
	if (!command || !command[0])
		return refuse(reading, part.file, part.map, ERR_INVALID, "`exec` has no `command`");
	if (!version || (strcmp(version, EXEC_GROUP "v1") != 0 && strcmp(version, EXEC_GROUP "v1beta1") != 0))
		return refuse(reading, part.file, part.map, ERR_INVALID,
			      "`exec` must have the apiVersion client.authentication.k8s.io/v1 or …/v1beta1");
	if (mode && strcmp(mode, "Always") == 0)
		return refuse(reading, part.file, part.map, ERR_INVALID,
			      "the plugin wants a terminal (`interactiveMode: Always`), which a server has not");
	exec->version = version;
	exec->command = strchr(command, '/') ? path_beside(reading, part.file, command) : command;
	exec->hint = tree_text(tree_find(part.map, "installHint"));
	exec->with_cluster = is_true(part.map, "provideClusterInfo");
	return exec_lists_take(reading, part, exec);
}

static int extra_take(struct reading *reading, struct part part, const struct tree_node *extra)
{
	struct kube_config *config = reading->config;

	for (size_t i = 0; extra && i < extra->count; i++) {
		const struct tree_node *values = extra->kind == TREE_MAP ? extra->pairs[i].value : NULL;
		const char *name = values ? extra->pairs[i].key->text : NULL;

		for (size_t at = 0; values && values->kind == TREE_LIST && at < values->count; at++) {
			const char *value = tree_text(values->items[at]);

			if (!value || has_control(value) || has_control(name) || config->as_extra_count >= KUBE_GROUPS_MAX)
				return refuse(reading, part.file, extra, ERR_INVALID,
					      "`as-user-extra` must be lists of texts, 32 in all");
			config->as_extra[config->as_extra_count++] = (struct kube_pair){name, value};
		}
		if (!values || values->kind != TREE_LIST)
			return refuse(reading, part.file, extra, ERR_INVALID, "`as-user-extra` must be lists of texts, by name");
	}
	return 0;
}

static int impersonation_take(struct reading *reading, struct part part)
{
	struct kube_config *config = reading->config;
	const struct tree_node *groups = tree_find(part.map, "as-groups");

	if (line_take(reading, part, "as", &config->as) || line_take(reading, part, "as-uid", &config->as_uid))
		return -1;
	if (groups && groups->kind != TREE_LIST)
		return refuse(reading, part.file, groups, ERR_INVALID, "`as-groups` must be a list of names");
	for (size_t i = 0; groups && i < groups->count; i++) {
		const char *group = tree_text(groups->items[i]);

		if (!group || has_control(group) || i >= KUBE_GROUPS_MAX)
			return refuse(reading, part.file, groups, ERR_INVALID, "`as-groups` must be a list of at most 32 names");
		config->as_groups[config->as_group_count++] = (struct kube_pair){"", group};
	}
	if (extra_take(reading, part, tree_find(part.map, "as-user-extra")))
		return -1;
	if (!config->as && (config->as_uid || config->as_group_count || config->as_extra_count))
		return refuse(reading, part.file, part.map, ERR_INVALID, "`as-groups`, `as-uid` and `as-user-extra` need `as`");
	return 0;
}

static int user_take(struct reading *reading, const char *name)
{
	struct kube_config *config = reading->config;
	const struct tree_node *token_file;
	struct part part;

	if (part_get(reading, "users", "user", name, &part))
		return -1;
	token_file = tree_find(part.map, "tokenFile");
	if (past_refuse(reading, part) || line_take(reading, part, "token", &config->token) ||
	    contents_take(reading, part, "client-certificate-data", "client-certificate", &config->certificate) ||
	    contents_take(reading, part, "client-key-data", "client-key", &config->key) || exec_take(reading, part) ||
	    impersonation_take(reading, part))
		return -1;
	if (!config->certificate != !config->key)
		return refuse(reading, part.file, part.map, ERR_INVALID,
			      "a client certificate without its key, or a key without one");
	if (!tree_text(token_file) || !tree_text(token_file)[0])
		return 0;
	if (reading->tenant)
		return file_refuse_tenant(reading, part.file, token_file);
	config->token_file = path_beside(reading, part.file, tree_text(token_file));
	return 0;
}

/* ---- the whole ---- */

static int context_take(struct reading *reading, const char *wanted)
{
	struct part part;
	const char *cluster, *user;

	for (size_t i = 0; !(wanted && wanted[0]) && i < reading->count; i++)
		wanted = tree_text(tree_find(reading->roots[i], "current-context"));
	if (!wanted || !wanted[0]) {
		AUTO_BUF names = buf_new(NAMES_SHOWN_MAX);

		names_list(reading, "contexts", &names);
		return err_set(reading->err, ERR_NOT_FOUND, "%s: no context is chosen; there %s: %s", reading->texts[0].path,
			       names.length ? "are" : "is", names.length ? names.at : "none");
	}
	if (part_get(reading, "contexts", "context", wanted, &part))
		return -1;
	reading->config->context = arena_copy(&reading->config->arena, view_of(wanted));
	if (line_take(reading, part, "namespace", &reading->config->namespace))
		return -1;
	cluster = tree_text(tree_find(part.map, "cluster"));
	user = tree_text(tree_find(part.map, "user"));
	if (!cluster)
		return refuse(reading, part.file, part.map, ERR_INVALID, "the context names no cluster");
	return cluster_take(reading, cluster) || (user && user[0] && user_take(reading, user)) ? -1 : 0;
}

static int texts_parse(struct reading *reading, const char *context)
{
	const struct tree_limits limits = {KUBE_FILE_BYTES_MAX, FILE_NODES_MAX};

	for (size_t i = 0; i < reading->count; i++) {
		const struct kube_text *text = &reading->texts[i];

		reading->roots[i] = tree_parse_within(text->text, text->path, TREE_LOOSE, limits, &reading->config->arena,
						      reading->err);
		if (!reading->roots[i])
			return -1;
		if (!tree_is_null(reading->roots[i]) && reading->roots[i]->kind != TREE_MAP)
			return refuse(reading, text, reading->roots[i], ERR_INVALID, "this is no kubeconfig");
	}
	return context_take(reading, context);
}

struct kube_config *kube_config_parse(const struct kube_text *texts, size_t count, const char *context, bool tenant,
				      struct err *err)
{
	struct reading reading = {.texts = texts, .count = count, .tenant = tenant, .err = err};

	if (!count || count > KUBE_FILES_MAX) {
		(void)err_set(err, ERR_LIMIT, "a list of %zu kubeconfigs; 1 to %d can be read", count, KUBE_FILES_MAX);
		return NULL;
	}
	reading.config = mem_new(sizeof(*reading.config));
	if (texts_parse(&reading, context) == 0)
		return reading.config;
	kube_config_free(reading.config);
	return NULL;
}

struct kube_config *kube_config_read(const char *files, const char *context, struct err *err)
{
	struct kube_text texts[KUBE_FILES_MAX];
	struct buf read[KUBE_FILES_MAX];
	char *paths[KUBE_FILES_MAX];
	struct kube_config *config = NULL;
	struct view rest = view_of(files);
	size_t count = 0;
	bool failed = false;

	while (rest.at && !failed) {
		struct view path = view_cut(rest, ':', &rest);
		struct err why = {0};

		if (!path.length)
			continue;
		if (count >= KUBE_FILES_MAX) {
			failed = true;
			(void)err_set(err, ERR_LIMIT, "more than %d kubeconfigs", KUBE_FILES_MAX);
			break;
		}
		paths[count] = view_copy(path);
		read[count] = buf_new(KUBE_FILE_BYTES_MAX);
		failed = file_read(paths[count], &read[count], &why) && why.kind != ERR_NOT_FOUND;
		texts[count] = (struct kube_text){paths[count], buf_view(&read[count])};
		if (failed)
			(void)err_set(err, why.kind, "%s", why.text);
		if (!why.kind || failed) {
			count++;
		} else {
			free(paths[count]);
			buf_fini(&read[count]);
		}
	}
	if (!failed && !count)
		(void)err_set(err, ERR_NOT_FOUND, "no kubeconfig: %s is not there", files[0] ? files : "(an empty list)");
	else if (!failed)
		config = kube_config_parse(texts, count, context, false, err);
	for (size_t i = 0; i < count; i++) {
		free(paths[i]);
		if (read[i].at)
			explicit_bzero(read[i].at, read[i].length);
		buf_fini(&read[i]);
	}
	return config;
}

struct kube_config *kube_config_pod(const char *dir, struct err *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	const char *place = dir ? dir : POD_DIR;
	AUTO_FREE char *token = text_format("%s/token", place);
	AUTO_FREE char *authority = text_format("%s/ca.crt", place);
	AUTO_FREE char *namespace = text_format("%s/namespace", place);
	AUTO_BUF pem = buf_new(KUBE_FILE_BYTES_MAX);
	AUTO_BUF own = buf_new(256);
	AUTO_FREE char *server = NULL;
	struct kube_config *config;

	if (!host || !host[0] || !port || !port[0]) {
		(void)err_set(err, ERR_NOT_FOUND, "this is no pod of a cluster: KUBERNETES_SERVICE_HOST and …_PORT are not set");
		return NULL;
	}
	if (file_read(authority, &pem, err) || !file_exists(token)) {
		(void)err_set(err, ERR_NOT_FOUND, "this pod has no service account at %s: set automountServiceAccountToken", place);
		return NULL;
	}
	server = text_format(strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
	config = mem_new(sizeof(*config));
	config->context = "in-cluster";
	config->server = arena_copy(&config->arena, view_of(server));
	config->authority = arena_copy(&config->arena, buf_view(&pem));
	config->token_file = arena_copy(&config->arena, view_of(token));
	if (file_read(namespace, &own, NULL) == 0 && view_trim(buf_view(&own)).length)
		config->namespace = arena_copy(&config->arena, view_trim(buf_view(&own)));
	return config;
}

struct kube_config *kube_config_find(const char *context, struct err *err)
{
	const char *files = getenv("KUBECONFIG");
	const char *home = getenv("HOME");
	AUTO_FREE char *usual = text_format("%s/.kube/config", home && home[0] ? home : "/root");
	struct kube_config *config;

	if (files && files[0])
		return kube_config_read(files, context, err);
	config = context ? NULL : kube_config_pod(NULL, NULL); /* all that it can say is that this is no pod with an account */
	return config ? config : kube_config_read(usual, context, err);
}

void kube_config_free(struct kube_config *config)
{
	if (!config)
		return;
	arena_wipe(&config->arena); /* keys and tokens, and the text that they were in */
	free(config);
}
