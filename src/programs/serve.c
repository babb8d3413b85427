/* `assay serve`: wiring only. What is opened first is closed last. */
#include "programs/serve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "blueprint/egress.h"
#include "cli/cli.h"
#include "http/otlp.h"
#include "http/url.h"
#include "net/loop.h"
#include "programs/config.h"
#include "programs/doctor.h"
#include "programs/manager.h"
#include "programs/policy.h"
#include "programs/serve_priv.h"
#include "runs/runs.h"
#include "vault/vault.h"
#include "web/oidc.h"
#include "web/web.h"

#define LISTEN_DEFAULT "127.0.0.1:7420"
#define PREVIEW_DEFAULT "127.0.0.1:7421"
#define FRONT_DEFAULT "0.0.0.0:443"
#define FRONT_BEHIND_DEFAULT "127.0.0.1:0"   /* where a relay brings them */
#define FRONT_PLAIN_DEFAULT "127.0.0.1:7425" /* where a proxy of the operator's does */
#define RUN_WORKERS 4
#define RUN_WORKERS_MAX 64
#define KEY_BYTES_MAX 4096

void serve_end(void *self)
{
	struct serve *serve = self;

	loop_stop(serve->loop);
}

/* ---- what the pages ask ---- */

static json_t *doctor(void *self)
{
	const struct serve *serve = self;

	return json_pack("{s:o}", "items", serve_sandboxes_doctor(serve->sandboxes));
}

static int process_look(void *self, const char *name, struct err *err)
{
	const struct serve *serve = self;

	if (strcmp(name, "gateway") != 0)
		return serve_sandboxes_look(serve->sandboxes, err);
	return serve_gateway_pid(serve->gateway) ? 0 : err_set(err, ERR_RETRY, "the %s ended, and is started again", name);
}

/* ---- signals ---- */

static void on_signal(struct loop_watch *watch, unsigned events)
{
	struct serve *serve = (struct serve *)((char *)watch - offsetof(struct serve, signals));
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP && !serve->hangup_ends) {
		(void)pthread_mutex_lock(&serve->lock);
		serve->reload_wanted = true;
		(void)pthread_cond_broadcast(&serve->ended);
		(void)pthread_mutex_unlock(&serve->lock);
		return;
	}
	log_info("signal %u: ending", info.ssi_signo);
	serve_end(serve);
}

/* Before any thread starts: all of them inherit the mask. */
static int signals_open(struct serve *serve, struct err *err)
{
	sigset_t set;
	int fd;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_errno(err, errno, "cannot watch signals");
	serve->hangup_ends = isatty(STDIN_FILENO);
	serve->signals = (struct loop_watch){.ready = on_signal, .fd = fd};
	return loop_watch_add(serve->loop, &serve->signals, fd, LOOP_READ, err);
}

static int authority(void *self, const char *env, struct buf *pem, char hash[SANDBOX_AUTHORITY_HASH_MAX], struct err *err)
{
	const struct serve *serve = self;

	return vault_authority(serve->vault, env, pem, hash, err);
}

/* ---- all parts ---- */

static int head_sign(void *self, struct view bytes, unsigned char signature[LEDGER_SIGNATURE_BYTES], struct err *err)
{
	const struct serve *serve = self;
	char key_id[65];

	return vault_sign(serve->vault, bytes, signature, key_id, err);
}

static json_t *ledger_heads(void *self, struct err *err)
{
	const struct serve *serve = self;

	return audit_heads(serve->audit, err);
}

/* Only what the run itself asks for. */
static int hold_approve(void *self, const char *run, const char *hold, bool allow, const char *by, struct err *err)
{
	const struct serve *serve = self;
	AUTO_JSON holds = egress_holds(serve->egress.egress, false);
	AUTO_JSON answer = NULL;
	size_t index;
	json_t *item;

	json_array_foreach(holds, index, item)
		if (*hold && strcmp(json_text(item, "run", ""), run) == 0 &&
		    strncmp(json_text(item, "id", ""), hold, strlen(hold)) == 0) {
			answer = egress_answer(serve->egress.egress, json_text(item, "id", ""), allow, "once", false, by,
					       "said where the work was given", err);
			return answer ? 0 : -1;
		}
	return err_set(err, ERR_NOT_FOUND, "No request of this run waits as `%.40s`.", hold);
}

static int ledger_start(struct serve *serve, struct err *err)
{
	AUTO_BUF key = buf_new(KEY_BYTES_MAX);
	unsigned char signature[LEDGER_SIGNATURE_BYTES];
	struct audit_options options = {.state_dir = serve->state_dir, .sign = head_sign, .self = serve};
	struct ledger_row row;
	char key_id[65];

	if (vault_public_key(serve->vault, &key, err) || vault_sign(serve->vault, VIEW("assay key id"), signature, key_id, err))
		return -1;
	options.key_id = key_id;
	options.public_key = buf_view(&key);
	if (audit_open(&options, &serve->audit, err))
		return -1;
	row = audit_row(LEDGER_POLICY, NULL, NULL, NULL, "serve", "the server starts, version " ASSAY_VERSION);
	return audit_put(serve->audit, &row, err);
}

static char *preview_url(void *self, const char *env, const char *path, int64_t serial)
{
	const struct serve *serve = self;

	return serve_front_url(serve->front, env, path, serial);
}

static int preview_link(void *self, const char *env, const char *link, struct preview_link *found, struct err *err)
{
	const struct serve *serve = self;

	return serve_front_link(serve->front, env, link, found, err);
}

static char *preview_enter(void *self, const char *host, const char *to, const char *browser, struct err *err)
{
	const struct serve *serve = self;

	return serve_front_enter(serve->front, host, to, browser, err);
}

/* Where people elsewhere see previews. */
static int outer_open(struct serve *serve, struct err *err)
{
	const struct serve_front_options options = {.domain = serve->outer.domain,
						    .listen = serve->outer_base,
						    .plain = serve->outer.plain,
						    .certificate = serve->outer.certificate,
						    .key = serve->outer.key,
						    .sign_in = serve->pages,
						    .link_ms = config_number("preview-link", SERVE_FRONT_LINK_MS),
						    .vault = serve->vault,
						    .world = world_real};

	return serve->outer.domain ? serve_front_open(&options, &serve->front, err) : 0;
}

/* Visitors come through a relay, where no port can be opened. */
static int relay_open(struct serve *serve, struct err *err)
{
	const struct serve_relay_options options = {.relay = serve->outer.relay,
						    .domain = serve->front ? serve_front_name(serve->front) : NULL,
						    .token_file = serve->outer.token,
						    .forward = serve->outer_base};

	if (!serve->outer.relay)
		return 0;
	if (serve->outer.plain)
		return err_set(err, ERR_INVALID, "preview-relay brings TLS, which preview-plain says ends before it: take one");
	if (!serve->front)
		return err_set(err, ERR_INVALID, "preview-relay wants the domain that it is for: preview-domain");
	return serve_relay_open(&options, &serve->relay, err);
}

/* Ed25519 signs the same bytes always the same, and these nobody else is ever given: what only the vault's key makes, and needs no
 * file of its own. */
static int mask_key(void *self, unsigned char key[DIGEST_KEY_BYTES], struct err *err)
{
	static const unsigned char none[DIGEST_KEY_BYTES] = {0};
	const struct serve *serve = self;
	unsigned char signature[64];
	char key_id[65];

	if (vault_sign(serve->vault, VIEW("assay: the key of masks, 1"), signature, key_id, err))
		return err_prefix(err, "the key of masks");
	digest_keyed(none, (const struct view[]){view_make(signature, sizeof(signature))}, 1, key);
	explicit_bzero(signature, sizeof(signature));
	return 0;
}

static int sandboxes_open(struct serve *serve, struct err *err)
{
	struct serve_sandboxes_options sandboxes = {.provider = serve->provider, .state_dir = serve->state_dir, .oci = serve->oci};
	const struct egress_options egress = {
		.state_dir = serve->state_dir, .policy_path = serve->policy, .prices_path = serve->prices, .world = world_real};
	struct environments_options options;

	if (egress_open(&egress, &serve->egress.egress, err) || vault_open(serve->state_dir, &serve->vault, err))
		return -1;
	sandboxes.vault = serve->vault;
	if (serve_sandboxes_open(&sandboxes, &serve->sandboxes, err) || ledger_start(serve, err) || outer_open(serve, err) ||
	    serve_gateway_open(serve->preview_base, serve->front, serve->tools_dir, TOOLS_SOCKET, serve->vault,
			       serve->egress.egress, serve->audit, &serve->gateway, err))
		return -1;
	serve->egress.vault = serve->vault;
	serve->egress.audit = serve->audit;
	options = (struct environments_options){.state_dir = serve->state_dir,
						.provider = serve_sandboxes_provider(serve->sandboxes),
						.gateway = serve_gateway_link(serve->gateway),
						.preview_base = serve->preview_base,
						.world = world_real,
						.authority = authority,
						.mask_key = mask_key,
						.preview_url = serve->front ? preview_url : NULL,
						.preview_link = serve->front ? preview_link : NULL,
						.self = serve,
						.warm = serve->warm,
						.egress = serve_egress_watcher(&serve->egress)};
	if (environments_open(&options, &serve->environments, err))
		return -1;
	serve->egress.environments = serve->environments;
	serve->egress.provider = serve_sandboxes_provider(serve->sandboxes);
	serve->egress.gateway = serve->gateway;
	serve_egress_attach(&serve->egress);
	if (serve_gateway_watch(serve->gateway, serve->environments, err))
		return -1;
	/* What cannot be brought back is said and shown; it is no reason not to serve the rest. */
	if (environment_reconcile(serve->environments, err))
		log_warn("reconcile: %s", err->text);
	return 0;
}

/* Numbers only: nothing is looked up. */
static bool is_loopback(const char *address)
{
	return view_starts(view_of(address), VIEW("127.")) || view_starts(view_of(address), VIEW("[::1]")) || address[0] == ':';
}

/* "https://assay.example.com": an origin and nothing behind it. */
static int pages_url_check(const char *url, struct err *err)
{
	struct url parsed;

	if (!url)
		return 0;
	if (url_parse(view_of(url), &parsed, err))
		return err_prefix(err, "--pages");
	if (parsed.path.length || parsed.query.at || (!view_is(parsed.scheme, "http") && !view_is(parsed.scheme, "https")))
		return err_set(err, ERR_INVALID, "--pages: expected https://HOST or https://HOST:PORT, not `%.200s`", url);
	return 0;
}

const char *serve_setting(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value ? value : NULL;
}

/* Where people sign in, as the configuration says it; asks nobody. */
static int oidc_make(struct oidc **oidc, struct err *err)
{
	const char *file = serve_setting("ASSAY_OIDC_SECRET_FILE");
	AUTO_BUF secret = buf_new(KEY_BYTES_MAX);
	struct oidc_options options = {.issuer = serve_setting("ASSAY_OIDC_ISSUER"),
				       .client = serve_setting("ASSAY_OIDC_CLIENT"),
				       .roles = serve_setting("ASSAY_OIDC_ROLES"),
				       .world = world_real};
	AUTO_FREE char *text = NULL;
	int failed;

	if (!options.issuer)
		return 0;
	if (file && (file_read(file, &secret, err) || buf_finish(&secret, err)))
		return err_prefix(err, "oidc-secret-file");
	text = view_copy(view_trim(buf_view(&secret)));
	options.secret = text;
	failed = oidc_open(&options, oidc, err);
	explicit_bzero(text, strlen(text));
	if (secret.at)
		explicit_bzero(secret.at, secret.length);
	return failed;
}

static int pages_open(struct serve *serve, const char *address, struct err *err)
{
	AUTO_FREE char *base = serve->pages ? text_copy(serve->pages) : text_format("http://%s", address);
	struct runs_options runs = {.state_dir = serve->state_dir,
				    .store = serve->store,
				    .environments = serve->environments,
				    .vault = serve->vault,
				    .pages_base = base,
				    .repositories = serve->repositories,
				    .takeover_ms = config_number("takeover", RUNS_TAKEOVER_MS),
				    .workers = (int)config_number("runs", RUN_WORKERS),
				    .repository_max = (int)config_number("runs-repository", 0),
				    .organisation_max = (int)config_number("runs-organisation", 0),
				    .goes_outside = true,
				    .world = world_real,
				    .approve = hold_approve,
				    .keep = keep_wanted(),
				    .sources = &serve->sources,
				    .ledger_heads = ledger_heads,
				    .self = serve};
	struct web_options web = {.loop = serve->loop,
				  .environments = serve->environments,
				  .vault = serve->vault,
				  .audit = serve->audit,
				  .state_dir = serve->state_dir,
				  .listen = address,
				  .pages_url = serve->pages,
				  .rates = rates_wanted(),
				  .sign_in = serve->sign_in || serve->pages || !is_loopback(address),
				  .serve_socket = serve->serve_socket,
				  .tool_socket = serve->tool_socket,
				  .preview_base = serve->preview_base,
				  .preview_domain = serve->front ? serve_front_domain(serve->front) : NULL,
				  .preview_enter = serve->front && serve->pages ? preview_enter : NULL,
				  .shutdown = serve_end,
				  .doctor = doctor,
				  .reload = serve_reload,
				  .process_look = process_look,
				  .sandboxes_process = serve_sandboxes_name(serve->provider),
				  .policy_judge = policy_requests_judge,
				  .self = serve,
				  .world = world_real};

	if (runs.workers < 1 || runs.workers > RUN_WORKERS_MAX)
		return err_set(err, ERR_INVALID, "runs: expected a number from 1 to %d", RUN_WORKERS_MAX);
	if (oidc_make(&serve->oidc, err) || runs_open(&runs, &serve->runs, err))
		return -1;
	web.oidc = serve->oidc;
	web.sign_in = web.sign_in || serve->oidc;
	web.runs = serve->egress.runs = serve->runs;
	web.egress = serve->egress.egress;
	if (web_open(&web, &serve->web, err))
		return -1;
	if (chmod(serve->tool_socket, 0666)) /* the gateway is another user; the folder above keeps everybody else out */
		return err_errno(err, errno, "cannot open %s to the gateway", serve->tool_socket);
	return 0;
}

/* Where we are, for the command line and for tests; written before we say that we are ready. */
static int ready_say(struct serve *serve, struct err *err)
{
	AUTO_FREE char *path = text_format("%s/serve.json", serve->runtime_dir);
	AUTO_JSON where = json_pack("{s:i, s:s, s:s, s:s?, s:s, s:s}", "pid", (int)getpid(), "api", web_base(serve->web), "preview",
				    serve->preview_base, "outer", serve->outer_base, "socket", serve->serve_socket, "state_dir",
				    serve->state_dir);
	AUTO_BUF text = buf_new(65536);

	json_format(&text, where);
	buf_add_char(&text, '\n');
	if (file_replace(path, buf_view(&text), 0600, err))
		return -1;
	printf("assay: serving %s (previews http://<environment>.localhost:%s/, state %s)\n", web_base(serve->web),
	       strrchr(serve->preview_base, ':') + 1, serve->state_dir);
	(void)fflush(stdout);
	manager_tell("READY=1");
	if (serve->ready_fd >= 0) {
		if (file_write_fd((int)serve->ready_fd, VIEW("ready\n"), err))
			return -1;
		(void)close((int)serve->ready_fd);
	}
	mem_settle();
	return 0;
}

/* Who has named a collector for all programs of a shell wants no server to fail by it. */
static int traces_open(struct serve *serve, struct err *err)
{
	struct err wrong = {0};

	if (!otlp_open(ASSAY_VERSION, &serve->otlp, &wrong))
		return 0;
	if (wrong.kind != ERR_INVALID)
		return err_set(err, wrong.kind, "%s", wrong.text);
	log_warn("no traces are sent: %s", wrong.text);
	return 0;
}

static const char *outer_listen(const struct serve *serve)
{
	if (serve->outer.listen)
		return serve->outer.listen;
	return serve->outer.plain ? FRONT_PLAIN_DEFAULT : serve->outer.relay ? FRONT_BEHIND_DEFAULT : FRONT_DEFAULT;
}

static int serve_open(struct serve *serve, const char *state, const char *runtime, struct err *err)
{
	AUTO_FREE char *address = NULL;

	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	serve->loop = loop_new(err);
	if (!serve->loop || signals_open(serve, err) || traces_open(serve, err) || places_make(serve, state, runtime, err) ||
	    state_lock(serve, err))
		return -1;
	address = address_take("--listen", serve->listen, err);
	serve->preview_base = address ? address_take("--preview", serve->preview, err) : NULL;
	serve->outer_base = serve->outer.domain ? address_take("--preview-listen", outer_listen(serve), err) : NULL;
	if (!serve->preview_base || (serve->outer.domain && !serve->outer_base) || pages_url_check(serve->pages, err) ||
	    sandboxes_open(serve, err) || relay_open(serve, err) || pages_open(serve, address, err) || ticker_start(serve, err))
		return -1;
	return ready_say(serve, err);
}

static void serve_close(struct serve *serve)
{
	AUTO_FREE char *where = text_format("%s/serve.json", serve->runtime_dir ? serve->runtime_dir : "");

	(void)pthread_mutex_lock(&serve->lock);
	serve->ending = true;
	(void)pthread_cond_broadcast(&serve->ended);
	(void)pthread_mutex_unlock(&serve->lock);
	if (serve->ticking)
		(void)pthread_join(serve->ticker, NULL);
	serve_relay_close(serve->relay);
	if (serve->web)
		web_close(serve->web);
	oidc_close(serve->oidc);
	runs_close(serve->runs);
	serve_gateway_unwatch(serve->gateway);
	if (serve->environments)
		environments_close(serve->environments);
	serve_gateway_close(serve->gateway);
	audit_close(serve->audit);
	serve_front_close(serve->front);
	serve_sandboxes_close(serve->sandboxes);
	if (serve->vault)
		vault_close(serve->vault);
	egress_close(serve->egress.egress);
	otlp_close(serve->otlp);
	if (serve->loop) {
		loop_watch_remove(serve->loop, &serve->signals);
		loop_free(serve->loop);
	}
	if (serve->web)
		(void)unlink(where);
	scope_close(&serve->signals.fd);
	scope_close(&serve->lock_fd);
	free(serve->outer_base);
	free(serve->preview_base);
	free(serve->tool_socket);
	free(serve->serve_socket);
	free(serve->tools_dir);
	free(serve->rules_dir);
	free(serve->advisories_dir);
	free(serve->runtime_dir);
	free(serve->state_dir);
}

/* What the environment, or the configuration for it, says; options come on top. */
static void variables_take(struct serve *serve)
{
	const struct {
		const char *name;
		const char **text;
	} texts[] = {{"ASSAY_PROVIDER", &serve->provider},
		     {"ASSAY_RUNTIME", &serve->oci},
		     {"ASSAY_STORE", &serve->store},
		     {"ASSAY_LISTEN", &serve->listen},
		     {"ASSAY_PREVIEW", &serve->preview},
		     {"ASSAY_POLICY", &serve->policy},
		     {"ASSAY_PAGES", &serve->pages},
		     {"ASSAY_PREVIEW_DOMAIN", &serve->outer.domain},
		     {"ASSAY_PREVIEW_LISTEN", &serve->outer.listen},
		     {"ASSAY_PREVIEW_CERT", &serve->outer.certificate},
		     {"ASSAY_PREVIEW_KEY", &serve->outer.key},
		     {"ASSAY_PREVIEW_RELAY", &serve->outer.relay},
		     {"ASSAY_PREVIEW_RELAY_TOKEN", &serve->outer.token},
		     {"ASSAY_REPOSITORIES", &serve->repositories}};
	const char *warm = getenv("ASSAY_WARM");
	const char *plain = getenv("ASSAY_PREVIEW_PLAIN");
	const char *sign_in = getenv("ASSAY_SIGN_IN");

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *value = getenv(texts[i].name);

		if (value && *value)
			*texts[i].text = value;
	}
	serve->warm = warm && strcmp(warm, "true") == 0;
	serve->outer.plain = plain && strcmp(plain, "true") == 0;
	serve->sign_in = sign_in && strcmp(sign_in, "true") == 0;
}

/* `--check` and `--dump`: the configuration was read already, or we would not be here. */
static int config_tell(const struct serve *serve, bool dump)
{
	AUTO_BUF text = buf_new((size_t)1 << 20);
	struct err err = {0};
	AUTO_JSON policy = serve->policy ? policy_file_load(serve->policy, &err) : NULL;
	struct serve checked = *serve;
	struct oidc *oidc = NULL;
	struct otlp *otlp = NULL;

	if ((serve->policy && !policy) || serve_sandboxes_check(serve->provider, &err) || pages_url_check(serve->pages, &err) ||
	    oidc_make(&oidc, &err) || otlp_open(ASSAY_VERSION, &otlp, &err) || outer_open(&checked, &err))
		return cli_fail("assay serve", false, &err);
	otlp_close(otlp);
	serve_front_close(checked.front);
	oidc_close(oidc);
	if (dump)
		config_dump(&text);
	else
		buf_add_text(&text, "the configuration is right\n");
	(void)fwrite(text.at, 1, text.length, stdout);
	return CLI_DONE;
}

/* Each watcher of what happens is a connection: as many as the machine allows, of which a login often gives 1,024. */
static void descriptors_raise(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

int serve_main(int argc, char **argv)
{
	struct serve serve = {.listen = LISTEN_DEFAULT,
			      .preview = PREVIEW_DEFAULT,
			      .ready_fd = -1,
			      .lock_fd = -1,
			      .signals = {.fd = -1},
			      .lock = PTHREAD_MUTEX_INITIALIZER};
	const char *state = NULL;
	const char *runtime = NULL;
	const char *config = NULL; /* main() has read it */
	bool check = false;
	bool dump = false;
	const struct cli_option options[] = {
		{.name = "state", .value = "DIR", .help = "what is kept (default: ASSAY_STATE, /var/lib/assay)", .text = &state},
		{.name = "runtime", .value = "DIR", .help = "sockets (default: /run/assay)", .text = &runtime},
		{.name = "store",
		 .value = "URL",
		 .help = "where runs and issues are kept: postgres://… (default: ASSAY_STORE, else STATE/assay.db)",
		 .text = &serve.store},
		{.name = "listen", .value = "ADDRESS", .help = "pages and API (" LISTEN_DEFAULT ")", .text = &serve.listen},
		{.name = "preview", .value = "ADDRESS", .help = "previews (" PREVIEW_DEFAULT ")", .text = &serve.preview},
		{.name = "preview-domain",
		 .value = "DOMAIN",
		 .help = "people elsewhere see previews at https://ENV.DOMAIN",
		 .text = &serve.outer.domain},
		{.name = "preview-listen",
		 .value = "ADDRESS",
		 .help = "and come in here (" FRONT_DEFAULT ")",
		 .text = &serve.outer.listen},
		{.name = "preview-cert",
		 .value = "FILE",
		 .help = "the certificate for *.DOMAIN and those above it, PEM; taken again when it changes",
		 .text = &serve.outer.certificate},
		{.name = "preview-key",
		 .value = "FILE",
		 .help = "its private key, PEM (in the certificate's file)",
		 .text = &serve.outer.key},
		{.name = "preview-plain",
		 .help = "TLS of them ends before, at a proxy of yours, which alone may come in here (" FRONT_PLAIN_DEFAULT ")",
		 .flag = &serve.outer.plain},
		{.name = "preview-relay",
		 .value = "HOST:PORT",
		 .help = "they come through this relay: no port is open here",
		 .text = &serve.outer.relay},
		{.name = "preview-relay-token",
		 .value = "FILE",
		 .help = "the token that it knows for the domain",
		 .text = &serve.outer.token},
		{.name = "pages",
		 .value = "URL",
		 .help = "where else the pages are reached, through a proxy: https://assay.example.com",
		 .text = &serve.pages},
		{.name = "sign-in",
		 .help = "browsers must sign in; always so where others can reach the pages",
		 .flag = &serve.sign_in},
		{.name = "provider",
		 .value = "NAME",
		 .help = "where environments are: local, on this machine, or kubernetes, on a cluster (local)",
		 .text = &serve.provider},
		{.name = "oci",
		 .value = "RUNTIME",
		 .help = "runc, crun or a path makes the sandboxes (default: ASSAY_RUNTIME, else own code, which is faster)",
		 .text = &serve.oci},
		{.name = "policy",
		 .value = "FILE",
		 .help = "the organisation's policy (STATE/policy.yaml, /etc/assay/policy.yaml)",
		 .text = &serve.policy},
		{.name = "prices",
		 .value = "FILE",
		 .help = "what models cost (STATE/prices.json, /etc/assay/prices.json, or what is built in)",
		 .text = &serve.prices},
		{.name = "warm",
		 .help = "keep another environment like the last one, and its databases, for the next",
		 .flag = &serve.warm},
		{.name = "exit-when-idle", .help = "end when there is nothing left to do", .flag = &serve.exit_when_idle},
		{.name = "config", .value = "FILE", .help = "the configuration (/etc/assay/assay.conf)", .text = &config},
		{.name = "check", .help = "say whether the configuration and the policy are right, and end", .flag = &check},
		{.name = "dump", .help = "print the configuration that counts, and end", .flag = &dump},
		{.name = "ready-fd", .value = "N", .help = "write `ready` to this descriptor", .number = &serve.ready_fd},
	};
	const struct cli_usage usage = {.program = "assay serve",
					.arguments = "[OPTION…]",
					.about = "runs the control plane, in the foreground",
					.options = options,
					.option_count = ARRAY_LEN(options)};
	pthread_condattr_t clock;
	struct err err = {0};
	int code = CLI_DONE;

	log_init("serve", LOG_LEVEL_INFO);
	variables_take(&serve);
	if (cli_options(&usage, argc, argv, &code) < 0)
		return code;
	if (check || dump)
		return config_tell(&serve, dump);
	descriptors_raise();
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&serve.ended, &clock);
	(void)pthread_condattr_destroy(&clock);
	if (serve_open(&serve, state, runtime, &err))
		code = cli_fail("assay serve", false, &err);
	else
		loop_run(serve.loop);
	manager_tell("STOPPING=1");
	serve_close(&serve);
	return code;
}
