/* The file, its keys, and where each value came from. */
#include "programs/config.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/nearest.h"
#include "base/scope.h"
#include "base/world.h"
#include "blueprint/tree.h"

#define CONFIG_VARIABLE "ASSAY_CONFIG"
#define CONFIG_BYTES_MAX ((size_t)256 << 10)

enum config_kind { CONFIG_TEXT, CONFIG_FLAG, CONFIG_PERCENT, CONFIG_NUMBER, CONFIG_DURATION };
enum config_from { FROM_NOTHING, FROM_FILE, FROM_ENVIRONMENT };

static const struct config_key {
	const char *key;
	const char *variable;
	enum config_kind kind;
	const char *about;
} keys[] = {
	{"state", "ASSAY_STATE", CONFIG_TEXT, "what is kept: /var/lib/assay, of an ordinary user ~/.local/state/assay"},
	{"store", "ASSAY_STORE", CONFIG_TEXT, "where runs and issues are kept: postgres://…, else a file in the state"},
	{"repositories", "ASSAY_REPOSITORIES", CONFIG_TEXT, "the folder that control planes of one store share; else in the state"},
	{"takeover", "ASSAY_TAKEOVER", CONFIG_DURATION,
	 "runs of a control plane that is gone for so long are taken by another: 20s"},
	{"runs", "ASSAY_RUNS", CONFIG_NUMBER, "runs worked on here at once: 4"},
	{"runs-repository", "ASSAY_RUNS_REPOSITORY", CONFIG_NUMBER, "of one repository, everywhere; 0: any number"},
	{"runs-organisation", "ASSAY_RUNS_ORGANISATION", CONFIG_NUMBER, "of one organisation, everywhere; 0: any number"},
	{"listen", "ASSAY_LISTEN", CONFIG_TEXT, "pages and API: 127.0.0.1:7420"},
	{"pages", "ASSAY_PAGES", CONFIG_TEXT, "where else the pages are reached, through a proxy: https://assay.example.com"},
	{"sign-in", "ASSAY_SIGN_IN", CONFIG_FLAG, "browsers must sign in; always so where others can reach the pages"},
	{"rate-token", "ASSAY_RATE_TOKEN", CONFIG_NUMBER, "requests a minute of each token: 3000; 0: any number"},
	{"rate-address", "ASSAY_RATE_ADDRESS", CONFIG_NUMBER, "and of each address without one: 6000"},
	{"rate-refused", "ASSAY_RATE_REFUSED", CONFIG_NUMBER, "and of each address whose token or session is none: 30"},
	{"oidc-issuer", "ASSAY_OIDC_ISSUER", CONFIG_TEXT, "people sign in at this OpenID provider: https://login.example.com"},
	{"oidc-client", "ASSAY_OIDC_CLIENT", CONFIG_TEXT, "by what name it knows this server"},
	{"oidc-secret-file", "ASSAY_OIDC_SECRET_FILE", CONFIG_TEXT, "a file with the client's secret; none: a public client"},
	{"oidc-roles", "ASSAY_OIDC_ROLES", CONFIG_TEXT, "who may do what: groups:platform=admin email:@example.com=developer"},
	{"preview", "ASSAY_PREVIEW", CONFIG_TEXT, "previews: 127.0.0.1:7421"},
	{"preview-domain", "ASSAY_PREVIEW_DOMAIN", CONFIG_TEXT,
	 "people elsewhere see previews at https://ENV.DOMAIN: preview.example.com"},
	{"preview-listen", "ASSAY_PREVIEW_LISTEN", CONFIG_TEXT, "and come in here: 0.0.0.0:443"},
	{"preview-cert", "ASSAY_PREVIEW_CERT", CONFIG_TEXT,
	 "a file with the certificate for *.DOMAIN, taken again when it changes"},
	{"preview-plain", "ASSAY_PREVIEW_PLAIN", CONFIG_FLAG,
	 "TLS of previews ends before them, at a proxy of yours, which alone may come in: 127.0.0.1:7425"},
	{"preview-key", "ASSAY_PREVIEW_KEY", CONFIG_TEXT, "a file with its private key; else in the certificate's"},
	{"preview-relay", "ASSAY_PREVIEW_RELAY", CONFIG_TEXT, "they come through this relay: relay.example.com:7422"},
	{"preview-relay-token", "ASSAY_PREVIEW_RELAY_TOKEN", CONFIG_TEXT, "a file with the token that it knows for the domain"},
	{"preview-link", "ASSAY_PREVIEW_LINK", CONFIG_DURATION, "how long links to previews let anybody in: 7d; 0: people sign in"},
	{"oci", "ASSAY_RUNTIME", CONFIG_TEXT, "runc, crun or a path makes the sandboxes, instead of own code"},
	{"provider", "ASSAY_PROVIDER", CONFIG_TEXT, "where environments are: local, on this machine, or kubernetes, on a cluster"},
	{"kubernetes-context", "ASSAY_KUBERNETES_CONTEXT", CONFIG_TEXT,
	 "which clusters of the kubeconfig, with blanks between them; else its current one"},
	{"kubernetes-listen", "ASSAY_KUBERNETES_LISTEN", CONFIG_TEXT, "where pods come in: 0.0.0.0:7430"},
	{"kubernetes-address", "ASSAY_KUBERNETES_ADDRESS", CONFIG_TEXT,
	 "the address and port by which pods reach that; else the address that this machine has towards the cluster"},
	{"kubernetes-pods", "ASSAY_KUBERNETES_PODS", CONFIG_TEXT,
	 "NAMESPACE/LABEL=VALUE of the control plane's own pods, for network policies; else that address"},
	{"kubernetes-assay-image", "ASSAY_KUBERNETES_ASSAY_IMAGE", CONFIG_TEXT, "Assay's own image, for the link of each pod"},
	{"kubernetes-image", "ASSAY_KUBERNETES_IMAGE", CONFIG_TEXT,
	 "of what names none: workspaces, services, databases; else Assay's own"},
	{"kubernetes-storage-class", "ASSAY_KUBERNETES_STORAGE_CLASS", CONFIG_TEXT, "of volumes; else the cluster's default"},
	{"kubernetes-snapshot-class", "ASSAY_KUBERNETES_SNAPSHOT_CLASS", CONFIG_TEXT,
	 "a VolumeSnapshotClass by which databases are cloned; else they are copied"},
	{"kubernetes-volume-gib", "ASSAY_KUBERNETES_VOLUME_GIB", CONFIG_NUMBER, "of each volume: 8"},
	{"kubernetes-queue", "ASSAY_KUBERNETES_QUEUE", CONFIG_TEXT, "a queue of Kueue that admits pods"},
	{"kubernetes-priority", "ASSAY_KUBERNETES_PRIORITY", CONFIG_TEXT, "a PriorityClass of pods"},
	{"kubernetes-pod-life", "ASSAY_KUBERNETES_POD_LIFE", CONFIG_DURATION,
	 "after which the cluster ends a pod by itself, should nobody do it: 72h; 0: never"},
	{"kubernetes-spread", "ASSAY_KUBERNETES_SPREAD", CONFIG_FLAG,
	 "environments keep away from each other's nodes where they can"},
	{"policy", "ASSAY_POLICY", CONFIG_TEXT, "the organisation's policy: STATE/policy.yaml, else /etc/assay/policy.yaml"},
	{"warm", "ASSAY_WARM", CONFIG_FLAG, "keep another environment like the last one for the next"},
	{"disk-share", "ASSAY_DISK_SHARE", CONFIG_PERCENT, "the percentage of the disk that one environment may hold"},
	{"reach", "ASSAY_REACH", CONFIG_TEXT, "private addresses that rules may allow, with blanks between them"},
	{"authorities", "ASSAY_AUTHORITIES", CONFIG_TEXT, "a file of certificates that outside hosts are checked against"},
	{"keep-runs", "ASSAY_KEEP_RUNS", CONFIG_DURATION, "how long runs that are over are kept: 90d; 0: for ever"},
	{"keep-events", "ASSAY_KEEP_EVENTS", CONFIG_DURATION, "how long the events of runs that are over are: 30d; 0: for ever"},
	{"keep-ledger", "ASSAY_KEEP_LEDGER", CONFIG_DURATION,
	 "how long segments of the ledger are kept; what stays verifies: 400d; 0: for ever"},
	{"keep-inbox", "ASSAY_KEEP_INBOX", CONFIG_DURATION, "how long deliveries of outside services are known again: 30d"},
	{"otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", CONFIG_TEXT,
	 "a collector of OpenTelemetry that is sent what is done, as traces: http://127.0.0.1:4318"},
	{"log", "ASSAY_LOG", CONFIG_TEXT, "debug, info, warn or error"},
	{"log-format", "ASSAY_LOG_FORMAT", CONFIG_TEXT, "fields, or json: an object a line"},
};
static enum config_from from[ARRAY_LEN(keys)];
static char *loaded;                  /* the file's path; NULL: none */
static char *values[ARRAY_LEN(keys)]; /* of the file, as it was read last; under `mutex` once there are threads */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Owned by the caller; NULL: there is no usual place. */
static char *usual_path(void)
{
	const char *base = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");

	if (geteuid() == 0)
		return text_copy("/etc/assay/assay.conf");
	if (base && base[0] == '/')
		return text_format("%s/assay/assay.conf", base);
	return home && home[0] == '/' ? text_format("%s/.config/assay/assay.conf", home) : NULL;
}

/* Whoever may write it decides what runs here: that must be us or root. */
static int owner_check(const char *path, bool wanted, bool *there, struct err *err)
{
	struct stat about;

	*there = stat(path, &about) == 0;
	if (!*there && (wanted || (errno != ENOENT && errno != ENOTDIR)))
		return err_errno(err, errno, "cannot read %s", path);
	if (*there && ((about.st_uid != 0 && about.st_uid != geteuid()) || (about.st_mode & (S_IWGRP | S_IWOTH))))
		return err_set(err, ERR_DENIED, "%s: others than its owner may write it: chown it to yourself and chmod 644", path);
	return 0;
}

static int key_find(const struct tree_node *name, const char *path, size_t *at, struct err *err)
{
	struct nearest nearest = nearest_new(view_of(name->text));

	for (*at = 0; *at < ARRAY_LEN(keys); ++*at) {
		if (strcmp(keys[*at].key, name->text) == 0)
			return 0;
		nearest_offer(&nearest, keys[*at].key);
	}
	return err_set(err, ERR_INVALID, "%s:%d:%d: unknown key `%.60s`%s%s%s", path, name->line, name->column, name->text,
		       nearest.name ? ": did you mean `" : "", nearest.name ? nearest.name : "", nearest.name ? "`?" : "");
}

static bool value_fits(const char *text, enum config_kind kind)
{
	uint64_t number;

	switch (kind) {
	case CONFIG_TEXT:
		return text[0] && !strchr(text, '\n');
	case CONFIG_FLAG:
		return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
	case CONFIG_PERCENT:
		return view_to_u64(view_of(text), &number) && number >= 1 && number <= 100;
	case CONFIG_NUMBER:
		return view_to_u64(view_of(text), &number) && number <= INT32_MAX;
	case CONFIG_DURATION:
		return strcmp(text, "0") == 0 || duration_parse(view_of(text), &(int64_t){0}, NULL) == 0;
	}
	return false;
}

/* Which key it is, and its text; *text is NULL for one that says nothing. */
static int pair_check(const struct tree_pair *pair, const char *path, size_t *key, const char **text, struct err *err)
{
	static const char *const words[] = {[CONFIG_TEXT] = "a text",
					    [CONFIG_FLAG] = "true or false",
					    [CONFIG_PERCENT] = "a number from 1 to 100",
					    [CONFIG_NUMBER] = "a number",
					    [CONFIG_DURATION] = "a time like 30d, 12h or 0"};

	*text = tree_text(pair->value);
	if (key_find(pair->key, path, key, err))
		return -1;
	if (tree_is_null(pair->value)) {
		*text = NULL;
		return 0;
	}
	if (!*text || !value_fits(*text, keys[*key].kind))
		return err_set(err, ERR_INVALID, "%s:%d:%d: %s: expected %s", path, pair->value->line, pair->value->column,
			       keys[*key].key, words[keys[*key].kind]);
	return 0;
}

/* The file's values, by key; owned by the caller, one by one. */
static int file_values(const char *path, char *found[ARRAY_LEN(keys)], struct err *err)
{
	AUTO_BUF text = buf_new(CONFIG_BYTES_MAX);
	AUTO_ARENA arena = {0};
	const struct tree_node *root;
	int failed = -1;

	if (file_read(path, &text, err))
		return -1;
	root = tree_parse(buf_view(&text), path, TREE_STRICT, &arena, err);
	if (root && root->kind != TREE_MAP && !tree_is_null(root))
		(void)err_set(err, ERR_INVALID, "%s:%d:%d: expected a mapping of keys to values", path, root->line, root->column);
	else if (root)
		failed = 0;
	for (size_t i = 0; !failed && root->kind == TREE_MAP && i < root->count; i++) {
		const char *value;
		size_t key;

		failed = pair_check(&root->pairs[i], path, &key, &value, err);
		if (failed)
			break;
		free(found[key]);
		found[key] = text_copy(value);
	}
	return failed;
}

static int file_take(const char *path, struct err *err)
{
	if (file_values(path, values, err))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (!values[i] || from[i] == FROM_ENVIRONMENT)
			continue;
		from[i] = FROM_FILE;
		if (setenv(keys[i].variable, values[i], 1))
			return err_errno(err, errno, "cannot set %s", keys[i].variable);
	}
	return 0;
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

json_t *config_reload(struct err *err)
{
	char *found[ARRAY_LEN(keys)] = {NULL};
	AUTO_JSON changed = json_array();
	bool there = false;
	int failed = loaded ? owner_check(loaded, true, &there, err) || file_values(loaded, found, err) : 0;

	(void)pthread_mutex_lock(&mutex);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (!failed && loaded && from[i] != FROM_ENVIRONMENT && !same(found[i], values[i])) {
			(void)json_array_append_new(changed, json_string(keys[i].key));
			free(values[i]);
			values[i] = TAKE(found[i]);
		}
		free(found[i]);
	}
	(void)pthread_mutex_unlock(&mutex);
	return failed ? NULL : TAKE(changed);
}

char *config_text(const char *key)
{
	char *text = NULL;

	(void)pthread_mutex_lock(&mutex);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i].key, key) == 0)
			text = text_copy(from[i] == FROM_ENVIRONMENT ? getenv(keys[i].variable) : values[i]);
	(void)pthread_mutex_unlock(&mutex);
	return text;
}

int64_t config_number(const char *key, int64_t fallback)
{
	AUTO_FREE char *value = config_text(key);
	int64_t duration;
	uint64_t number;

	if (!value || !value[0])
		return fallback;
	if (view_to_u64(view_of(value), &number))
		return number <= INT64_MAX ? (int64_t)number : fallback;
	return duration_parse(view_of(value), &duration, NULL) ? fallback : duration;
}

int config_load(struct err *err)
{
	const char *given = getenv(CONFIG_VARIABLE);
	AUTO_FREE char *path = given && given[0] ? text_copy(given) : usual_path();
	bool there = false;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *value = getenv(keys[i].variable);

		from[i] = value && value[0] ? FROM_ENVIRONMENT : FROM_NOTHING;
	}
	if (!path || owner_check(path, given && given[0], &there, err))
		return path ? -1 : 0;
	if (!there)
		return 0;
	if (file_take(path, err))
		return -1;
	loaded = TAKE(path);
	return 0;
}

/* A YAML text in double quotes. */
static void quoted_add(struct buf *out, const char *text)
{
	buf_add_char(out, '"');
	for (const char *at = text; *at; at++) {
		if (*at == '"' || *at == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, *at);
	}
	buf_add_char(out, '"');
}

void config_dump(struct buf *out)
{
	buf_add_format(out, "# %s\n",
		       loaded ? loaded : "no configuration file: these are the defaults and what the environment says");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *value = getenv(keys[i].variable);

		buf_add_format(out, "\n# %s\n", keys[i].about);
		if (!value || !value[0]) {
			buf_add_format(out, "# %s:\n", keys[i].key);
			continue;
		}
		buf_add_format(out, "%s: ", keys[i].key);
		if (keys[i].kind == CONFIG_TEXT)
			quoted_add(out, value);
		else
			buf_add_text(out, value);
		buf_add_format(out, "%s\n", from[i] == FROM_ENVIRONMENT ? "  # by the environment" : "");
	}
}
