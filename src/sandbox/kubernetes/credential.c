/* Tokens, and the programs that give them (kubernetes.io "client-go credential plugins"). */
#include "sandbox/kubernetes/credential.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/process.h"
#include "base/scope.h"

#define TOKEN_BYTES_MAX ((size_t)256 << 10)
#define PLUGIN_BYTES_MAX ((size_t)1 << 20)
#define VARIABLES_MAX 4096

struct kube_identity {
	const struct kube_config *config;
	struct world world;
	pthread_mutex_t lock;
	struct kube_credential current;
	int64_t read_ms;    /* of the token's file, by the monotonic clock */
	int64_t expires_ms; /* of what the plugin gave, by the wall clock; 0: never */
	bool known;
};

static void text_wipe(char **text)
{
	if (*text)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

void kube_credential_fini(struct kube_credential *credential)
{
	text_wipe(&credential->token);
	text_wipe(&credential->certificate);
	text_wipe(&credential->key);
}

struct kube_identity *kube_identity_new(const struct kube_config *config, struct world world)
{
	struct kube_identity *identity = mem_new(sizeof(*identity));

	identity->config = config;
	identity->world = world;
	(void)pthread_mutex_init(&identity->lock, NULL);
	identity->current.token = text_copy(config->token);
	identity->current.certificate = text_copy(config->certificate);
	identity->current.key = text_copy(config->key);
	identity->current.serial = 1;
	return identity;
}

void kube_identity_free(struct kube_identity *identity)
{
	if (!identity)
		return;
	kube_credential_fini(&identity->current);
	(void)pthread_mutex_destroy(&identity->lock);
	free(identity);
}

/* ---- a token's file ---- */

static int file_look(struct kube_identity *identity, struct err *err)
{
	int64_t now_ms = world_elapsed_ms(identity->world);
	AUTO_BUF bytes = buf_new(TOKEN_BYTES_MAX);
	struct view token;
	struct err why = {0};

	if (identity->known && now_ms - identity->read_ms < KUBE_TOKEN_FRESH_MS)
		return 0;
	if (file_read(identity->config->token_file, &bytes, &why) == 0)
		token = view_trim(buf_view(&bytes));
	else
		token = (struct view){0};
	identity->read_ms = now_ms;
	if (!token.length && identity->current.token)
		return 0; /* the last good one may still be */
	if (!token.length)
		return err_set(err, ERR_DENIED, "no token: %s", why.kind ? why.text : "its file is empty");
	if (memchr(token.at, '\n', token.length) || memchr(token.at, '\r', token.length) || memchr(token.at, '\0', token.length))
		return err_set(err, ERR_DENIED, "no token: %s holds more than one line", identity->config->token_file);
	if (!identity->current.token || !view_is(token, identity->current.token)) {
		text_wipe(&identity->current.token);
		identity->current.token = view_copy(token);
		identity->current.serial++;
	}
	explicit_bzero(bytes.at, bytes.length);
	identity->known = true;
	return 0;
}

/* ---- a plugin ---- */

/* RFC 3339, in UTC or with an offset. */
static bool time_parse(const char *text, int64_t *time_ms)
{
	struct tm broken = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &broken);
	int64_t offset_s = 0;

	if (!end)
		return false;
	if (*end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if ((*end == '+' || *end == '-') && strlen(end) == 6 && end[3] == ':')
		offset_s = (end[0] == '-' ? -1 : 1) * ((int64_t)atoi(end + 1) * 3600 + (int64_t)atoi(end + 4) * 60);
	else if (strcmp(end, "Z") != 0 && strcmp(end, "z") != 0)
		return false;
	*time_ms = ((int64_t)timegm(&broken) - offset_s) * 1000;
	return true;
}

static bool is_one_line(const char *text)
{
	return text && text[0] && !strpbrk(text, "\r\n");
}

int kube_credential_parse(struct view printed, const char *version, struct kube_credential *credential, int64_t *expires_ms,
			  struct err *err)
{
	AUTO_JSON json = json_parse(printed, err);
	const json_t *status = json_member(json, "status");
	const char *token = json_text(status, "token", NULL);
	const char *certificate = json_text(status, "clientCertificateData", NULL);
	const char *key = json_text(status, "clientKeyData", NULL);
	const char *expires = json_text(status, "expirationTimestamp", NULL);

	*expires_ms = 0;
	if (!json)
		return err_prefix(err, "what it printed");
	if (strcmp(json_text(json, "kind", ""), "ExecCredential") != 0 || strcmp(json_text(json, "apiVersion", ""), version) != 0)
		return err_set(err, ERR_INVALID, "it printed no ExecCredential of %s", version);
	if (!certificate != !key)
		return err_set(err, ERR_INVALID, "it gave a client certificate without its key, or a key without one");
	if (!is_one_line(token) && !(certificate && !token))
		return err_set(err, ERR_INVALID, "it gave neither a token nor a client certificate");
	if (expires && !time_parse(expires, expires_ms))
		return err_set(err, ERR_INVALID, "its expirationTimestamp is no time: %.40s", expires);
	credential->token = text_copy(token);
	credential->certificate = text_copy(certificate);
	credential->key = text_copy(key);
	return 0;
}

/* KUBERNETES_EXEC_INFO: what the plugin is told. */
static char *info_make(const struct kube_config *config)
{
	AUTO_BUF text = buf_new(KUBE_FILE_BYTES_MAX * 2);
	AUTO_BUF authority = buf_new(KUBE_FILE_BYTES_MAX * 2);
	AUTO_JSON info = json_pack("{s:s, s:s, s:{s:b}}", "apiVersion", config->exec.version, "kind", "ExecCredential", "spec",
				   "interactive", 0);
	json_t *cluster;

	if (config->exec.with_cluster) {
		cluster = json_pack("{s:s, s:b}", "server", config->server, "insecure-skip-tls-verify", config->unverified);
		if (config->server_name)
			(void)json_object_set_new(cluster, "tls-server-name", json_string(config->server_name));
		if (config->proxy)
			(void)json_object_set_new(cluster, "proxy-url", json_string(config->proxy));
		if (config->authority) {
			buf_add_base64(&authority, config->authority, strlen(config->authority));
			(void)json_object_set_new(cluster, "certificate-authority-data",
						  json_stringn(authority.at, authority.length));
		}
		(void)json_object_set_new(json_object_get(info, "spec"), "cluster", cluster);
	}
	json_format(&text, info);
	return text_format("KUBERNETES_EXEC_INFO=%s", text.at);
}

/* Ours (a cloud's plugin finds its profile there), without those that the plugin's replace. */
static const char **variables_make(const struct kube_exec *exec, const char *info)
{
	const char **list = mem_new_array(VARIABLES_MAX + KUBE_ARGS_MAX + 2, sizeof(*list));
	size_t count = 0;

	list[count++] = info;
	for (size_t i = 0; exec->env[i]; i++)
		list[count++] = exec->env[i];
	for (size_t i = 0; i < VARIABLES_MAX && environ[i]; i++) {
		const char *equals = strchr(environ[i], '=');
		size_t length = equals ? (size_t)(equals - environ[i]) + 1 : strlen(environ[i]);
		bool replaced = false;

		for (size_t at = 0; at < count && !replaced; at++)
			replaced = strncmp(list[at], environ[i], length) == 0;
		if (!replaced)
			list[count++] = environ[i];
	}
	return list;
}

static int plugin_ask(struct kube_identity *identity, struct err *err)
{
	const struct kube_exec *exec = &identity->config->exec;
	AUTO_FREE char *info = info_make(identity->config);
	AUTO_FREE const char **variables = variables_make(exec, info);
	AUTO_BUF printed = buf_new(PLUGIN_BYTES_MAX);
	AUTO_CREDENTIAL given = {.serial = identity->current.serial + 1};
	const struct process_spec spec = {.argv = exec->args, .env = variables, .output = &printed, .timeout_ms = KUBE_PLUGIN_MS};
	int64_t expires_ms;
	struct err why = {0};
	int failed = process_run(&spec, NULL, &why) || buf_finish(&printed, &why) ||
		     kube_credential_parse(buf_view(&printed), exec->version, &given, &expires_ms, &why);

	if (printed.at)
		explicit_bzero(printed.at, printed.length);
	if (failed)
		return err_set(err, why.kind == ERR_RETRY || why.kind == ERR_LIMIT ? ERR_RETRY : ERR_DENIED,
			       "the plugin %s: %s%s%s", exec->command, why.text, exec->hint ? "; " : "",
			       exec->hint ? exec->hint : "");
	if (!given.certificate) { /* a certificate of the configuration stays */
		given.certificate = TAKE(identity->current.certificate);
		given.key = TAKE(identity->current.key);
	}
	kube_credential_fini(&identity->current);
	identity->current = given;
	given = (struct kube_credential){0};
	identity->expires_ms = expires_ms;
	identity->known = true;
	return 0;
}

/* ---- both ---- */

int kube_identity_get(struct kube_identity *identity, struct kube_credential *credential, struct err *err)
{
	int failed = 0;

	(void)pthread_mutex_lock(&identity->lock);
	if (identity->config->exec.command) {
		bool expired = identity->expires_ms && world_now_ms(identity->world) >= identity->expires_ms;

		if (!identity->known || expired)
			failed = plugin_ask(identity, err);
	} else if (identity->config->token_file) {
		failed = file_look(identity, err);
	}
	if (!failed)
		*credential = (struct kube_credential){text_copy(identity->current.token), text_copy(identity->current.certificate),
						       text_copy(identity->current.key), identity->current.serial};
	(void)pthread_mutex_unlock(&identity->lock);
	return failed ? -1 : 0;
}

bool kube_identity_refused(struct kube_identity *identity, uint64_t serial)
{
	bool more;

	(void)pthread_mutex_lock(&identity->lock);
	more = identity->current.serial != serial; /* somebody else has seen to it */
	if (!more && (identity->config->exec.command || identity->config->token_file)) {
		identity->known = false;
		more = true;
	}
	(void)pthread_mutex_unlock(&identity->lock);
	return more;
}
