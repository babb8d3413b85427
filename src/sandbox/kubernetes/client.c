/* Requests to an API server, with the patience that it asks for. */
#include "sandbox/kubernetes/client.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/scope.h"
#include "http/client.h"
#include "sandbox/kubernetes/credential.h"

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#define HEADERS_MAX (8 + 2 * KUBE_GROUPS_MAX)
#define ANSWER_BYTES_MAX ((size_t)64 << 20)
#define WARNING_BYTES 256
#define PAUSE_FIRST_MS 100
#define PAUSE_MAX_MS 10000
#define WATCH_SECONDS 300    /* after which the server ends it */
#define WATCH_LONG_MS 5000   /* one that lasted so long was well, though nothing came */
#define WATCH_GRACE_MS 30000 /* within which it should then have ended */

struct kube_client {
	const struct kube_config *config;
	struct world world;
	struct kube_identity *identity;
	struct http_session *session;
	atomic_uint_fast64_t requests;
};

struct kube_client *kube_client_open(const struct kube_config *config, struct world world)
{
	struct kube_client *client = mem_new(sizeof(*client));

	client->config = config;
	client->world = world;
	client->identity = kube_identity_new(config, world);
	client->session = http_session_new();
	return client;
}

void kube_client_close(struct kube_client *client)
{
	if (!client)
		return;
	http_session_free(client->session);
	kube_identity_free(client->identity);
	free(client);
}

uint64_t kube_client_requests(const struct kube_client *client)
{
	return atomic_load(&client->requests);
}

char *kube_path(const char *api_version, const char *plural, const char *space, const char *name)
{
	AUTO_BUF path = buf_new(4096);

	buf_add_format(&path, "/%s/%s", strchr(api_version, '/') ? "apis" : "api", api_version);
	if (space) {
		buf_add_text(&path, "/namespaces/");
		buf_add_url(&path, view_of(space));
	}
	buf_add_format(&path, "/%s", plural);
	if (name) {
		buf_add_char(&path, '/');
		buf_add_url(&path, view_of(name));
	}
	return buf_take(&path);
}

/* ---- one request ---- */

struct headers {
	struct http_header list[HEADERS_MAX];
	size_t count;
	char *bearer;
	char *extra[KUBE_GROUPS_MAX]; /* names */
};

static void header_add(struct headers *headers, const char *name, const char *value)
{
	headers->list[headers->count++] = (struct http_header){name, value};
}

/* "Impersonate-Extra-" and the key, lower case, encoded where it is no token (kubernetes.io "User impersonation"). */
static char *extra_name(const char *name)
{
	AUTO_BUF out = buf_new(1024);

	buf_add_text(&out, "Impersonate-Extra-");
	for (size_t i = 0; name[i]; i++)
		if (isalnum((unsigned char)name[i]) || strchr("-._", name[i]))
			buf_add_char(&out, (char)tolower((unsigned char)name[i]));
		else
			buf_add_format(&out, "%%%02X", (unsigned)(unsigned char)name[i]);
	return buf_take(&out);
}

static void headers_make(const struct kube_client *client, const struct kube_request *request,
			 const struct kube_credential *credential, struct headers *headers)
{
	const struct kube_config *config = client->config;

	*headers = (struct headers){0};
	header_add(headers, "Accept", request->accept ? request->accept : "application/json");
	header_add(headers, "User-Agent", "assay/" ASSAY_VERSION);
	if (request->body)
		header_add(headers, "Content-Type", request->type ? request->type : "application/json");
	if (credential->token) {
		headers->bearer = text_format("Bearer %s", credential->token);
		header_add(headers, "Authorization", headers->bearer);
	}
	if (config->as)
		header_add(headers, "Impersonate-User", config->as);
	if (config->as_uid)
		header_add(headers, "Impersonate-Uid", config->as_uid);
	for (size_t i = 0; i < config->as_group_count; i++)
		header_add(headers, "Impersonate-Group", config->as_groups[i].value);
	for (size_t i = 0; i < config->as_extra_count; i++) {
		headers->extra[i] = extra_name(config->as_extra[i].name);
		header_add(headers, headers->extra[i], config->as_extra[i].value);
	}
}

static void headers_fini(struct headers *headers)
{
	if (headers->bearer)
		explicit_bzero(headers->bearer, strlen(headers->bearer));
	free(headers->bearer);
	for (size_t i = 0; i < KUBE_GROUPS_MAX; i++)
		free(headers->extra[i]);
}

static bool is_repeatable(const struct kube_request *request)
{
	return request->repeatable || strcmp(request->method, "POST") != 0;
}

/* What every call has; `call` may have more. `serial` says with which credential it was sent. */
static int request_send(struct kube_client *client, const struct kube_request *request, struct http_call call,
			struct http_response *response, uint64_t *serial, struct err *err)
{
	const struct kube_config *config = client->config;
	AUTO_FREE char *url = text_format("%s%s", config->server, request->path);
	AUTO_BUF body = buf_new(ANSWER_BYTES_MAX);
	AUTO_CREDENTIAL credential = {0};
	struct headers headers;
	struct http_tls tls;
	int failed;

	*serial = 0;
	if (kube_identity_get(client->identity, &credential, err))
		return -1;
	*serial = credential.serial;
	tls = (struct http_tls){config->authority, credential.certificate, credential.key, config->server_name, config->unverified};
	headers_make(client, request, &credential, &headers);
	if (request->body)
		json_format(&body, request->body);
	call.method = request->method;
	call.url = url;
	call.tls = &tls;
	call.proxy = config->proxy;
	/* libcurl sends again by itself what a kept connection lost: never what must not be done twice. */
	call.session = is_repeatable(request) ? client->session : NULL;
	call.headers = headers.list;
	call.header_count = headers.count;
	call.body = buf_view(&body);
	call.has_body = request->body;
	call.body_bytes_max = ANSWER_BYTES_MAX;
	(void)atomic_fetch_add(&client->requests, 1);
	failed = http_client_call(&call, response, err);
	headers_fini(&headers);
	return failed;
}

/* "299 - \"text\"": the text. */
static void warnings_tell(const struct kube_request *request, const struct http_response *response)
{
	for (size_t i = 0; i < response->header_count; i++) {
		const char *value = response->headers[i].value;
		const char *quote = strchr(value, '"');
		char text[WARNING_BYTES];

		if (strcasecmp(response->headers[i].name, "warning") != 0)
			continue;
		(void)snprintf(text, sizeof(text), "%s", quote ? quote + 1 : value);
		if (quote && strrchr(text, '"'))
			*strrchr(text, '"') = '\0';
		log_warn("kubernetes: %s %s: %s", request->method, request->path, text);
		if (request->warning && !request->warning[0])
			(void)snprintf(request->warning, WARNING_BYTES, "%s", text);
	}
}

static void refusal_tell(const struct kube_request *request, const struct http_response *response, const struct kube_status *status)
{
	const char *audit = http_response_header(response, "audit-id");

	log_info("kubernetes: %s %s: %u %s, audit-id %s", request->method, request->path, status->code, status->reason,
		 audit ? audit : "none");
}

/* ---- patience ---- */

void kube_pause_ms(int64_t ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};

	(void)nanosleep(&left, NULL);
}

/* Twice as long each time, and never two clients at the same moment. */
static int64_t backoff_ms(struct world world, unsigned tried)
{
	int64_t most = PAUSE_FIRST_MS << (tried < 7 ? tried : 7);
	uint32_t random;

	if (most > PAUSE_MAX_MS)
		most = PAUSE_MAX_MS;
	world_random(world, &random, sizeof(random));
	return most / 2 + (int64_t)(random % (uint32_t)(most / 2 + 1));
}

/* Should it be sent again, and when? */
static bool again(const struct kube_client *client, const struct kube_request *request, const struct kube_status *status,
		  unsigned tried, int64_t *wait_ms)
{
	*wait_ms = status->wait_ms ? status->wait_ms : backoff_ms(client->world, tried);
	if (status->meaning == KUBE_BUSY)
		return true;
	return (status->meaning == KUBE_TROUBLE || !status->code) && is_repeatable(request);
}

static int answer_take(const struct kube_request *request, const struct http_response *response, json_t **answer, struct err *err)
{
	struct err why = {0};

	if (!answer || !response->body.length)
		return 0;
	*answer = json_parse(buf_view(&response->body), &why);
	return *answer ? 0 : err_set(err, ERR_BROKEN, "%s %s: the answer is no JSON: %s", request->method, request->path, why.text);
}

/* One try: 0 when an answer came, whatever it says. */
static int try_once(struct kube_client *client, const struct kube_request *request, struct http_response *response,
		    struct kube_status *status, uint64_t *serial, struct err *err)
{
	const struct http_call call = {.timeout_ms = KUBE_CALL_MS};

	*status = (struct kube_status){.meaning = KUBE_TROUBLE};
	if (request_send(client, request, call, response, serial, err))
		return -1;
	warnings_tell(request, response);
	kube_status_judge(response->status, http_response_header(response, "retry-after"), buf_view(&response->body), status);
	if (status->meaning != KUBE_GOOD)
		refusal_tell(request, response, status);
	return 0;
}

int kube_ask(struct kube_client *client, const struct kube_request *request, json_t **answer, struct err *err)
{
	int64_t patience_ms = request->patience_ms ? request->patience_ms : KUBE_PATIENCE_MS;
	int64_t until_ms = world_elapsed_ms(client->world) + patience_ms;
	struct kube_status own = {0};
	struct kube_status *status = request->status ? request->status : &own;
	bool renewed = false;

	if (answer)
		*answer = NULL;
	for (unsigned tried = 0;; tried++) {
		AUTO_RESPONSE response = {0};
		struct err why = {0};
		uint64_t serial;
		int64_t wait_ms;
		int failed = try_once(client, request, &response, status, &serial, &why);

		if (!failed && status->meaning == KUBE_GOOD)
			return answer_take(request, &response, answer, err);
		if (!failed && status->meaning == KUBE_UNKNOWN_TO_SERVER && !renewed &&
		    kube_identity_refused(client->identity, serial)) {
			renewed = true;
			continue;
		}
		if ((!failed || why.kind == ERR_RETRY) && again(client, request, status, tried, &wait_ms) &&
		    world_elapsed_ms(client->world) + wait_ms < until_ms) {
			kube_pause_ms(wait_ms);
			continue;
		}
		if (!failed)
			(void)kube_status_err(status, &why);
		return failed ? err_set(err, why.kind, "%s", why.text)
			      : err_set(err, why.kind, "%s %s: %s", request->method, request->path, why.text);
	}
}

/* ---- the usual requests ---- */

int kube_get(struct kube_client *client, const char *path, json_t **object, struct err *err)
{
	const struct kube_request request = {.method = "GET", .path = path};

	return kube_ask(client, &request, object, err);
}

int kube_apply(struct kube_client *client, const char *path, const json_t *object, json_t **applied, struct err *err)
{
	AUTO_FREE char *full = text_format("%s?fieldManager=" KUBE_MANAGER "&fieldValidation=Strict", path);
	const struct kube_request request = {
		.method = "PATCH", .path = full, .type = "application/apply-patch+yaml", .body = object};

	return kube_ask(client, &request, applied, err);
}

int kube_create(struct kube_client *client, const char *path, const json_t *object, bool repeatable, json_t **created,
		struct err *err)
{
	AUTO_FREE char *full = text_format("%s?fieldManager=" KUBE_MANAGER "&fieldValidation=Strict", path);
	const struct kube_request request = {.method = "POST", .path = full, .body = object, .repeatable = repeatable};

	return kube_ask(client, &request, created, err);
}

int kube_delete(struct kube_client *client, const char *path, const char *uid, struct err *err)
{
	AUTO_JSON options = json_pack("{s:s, s:s, s:s}", "apiVersion", "v1", "kind", "DeleteOptions", "propagationPolicy",
				      "Background");
	const struct kube_request request = {.method = "DELETE", .path = path, .body = options};

	if (uid)
		(void)json_object_set_new(options, "preconditions", json_pack("{s:s}", "uid", uid));
	return kube_ask(client, &request, NULL, err);
}

/* ---- lists ---- */

/* `begin` is the first parameter. */
static char *list_query(const char *path, const char *begin, const char *selector, const char *further)
{
	AUTO_BUF query = buf_new(16384);

	buf_add_format(&query, "%s?%s", path, begin);
	if (selector) {
		buf_add_text(&query, "&labelSelector=");
		buf_add_url(&query, view_of(selector));
	}
	if (further) {
		buf_add_text(&query, "&continue=");
		buf_add_url(&query, view_of(further));
	}
	return buf_take(&query);
}

/* One page, appended; *further is where the next one begins, or NULL. */
static int page_read(struct kube_client *client, const char *query, json_t *items, char *version, char **further,
		     struct kube_status *status, struct err *err)
{
	const struct kube_request request = {.method = "GET", .path = query, .status = status};
	const json_t *meta;
	const char *next;
	AUTO_JSON page = NULL;

	free(TAKE(*further));
	if (kube_ask(client, &request, &page, err))
		return -1;
	if (json_is_array(json_member(page, "items"))) /* an empty one may be null */
		(void)json_array_extend(items, json_member(page, "items"));
	meta = json_member(page, "metadata");
	next = json_text(meta, "continue", "");
	if (version)
		(void)snprintf(version, 64, "%s", json_text(meta, "resourceVersion", ""));
	*further = next[0] ? text_copy(next) : NULL;
	return 0;
}

int kube_list(struct kube_client *client, const char *path, const char *selector, json_t **items, char *version, struct err *err)
{
	AUTO_JSON all = json_array();
	AUTO_FREE char *further = NULL;
	bool over = false;

	*items = NULL;
	for (unsigned page = 0; page < KUBE_PAGES_MAX; page++) {
		AUTO_FREE char *query = list_query(path, "limit=" TEXT(KUBE_PAGE), selector, further);
		bool first = !further;
		struct kube_status status = {0};

		if (page_read(client, query, all, version, &further, &status, err)) {
			if (first || status.meaning != KUBE_EXPIRED || over)
				return -1;
			over = true; /* the list was too old to go on with: once more, from its beginning */
			(void)json_array_clear(all);
			continue;
		}
		if (!further) {
			*items = TAKE(all);
			return 0;
		}
	}
	return err_set(err, ERR_LIMIT, "%s: more than %d pages of %d", path, KUBE_PAGES_MAX, KUBE_PAGE);
}

/* ---- streams ---- */

struct stream {
	bool (*on_bytes)(void *self, struct view bytes);
	void *self;
};

int kube_stream(struct kube_client *client, const char *path, bool (*on_bytes)(void *self, struct view bytes), void *self,
		struct err *err)
{
	const struct kube_request request = {.method = "GET", .path = path, .accept = "*/*"};
	const struct http_call call = {.timeout_ms = -1, .on_bytes = on_bytes, .self = self};
	AUTO_RESPONSE response = {0};
	struct kube_status status;
	struct err why = {0};
	uint64_t serial;

	if (request_send(client, &request, call, &response, &serial, &why))
		return why.kind == ERR_CANCELLED ? 0 : err_set(err, why.kind, "%s", why.text);
	kube_status_judge(response.status, http_response_header(&response, "retry-after"), (struct view){"", 0}, &status);
	if (status.meaning == KUBE_GOOD)
		return 0;
	(void)kube_status_err(&status, &why);
	return err_set(err, why.kind, "GET %s: %s", path, why.text);
}

/* ---- watches ---- */

struct watching {
	struct kube_watch *watch;
	struct kube_client *client;
	char version[64]; /* "": list again */
	struct buf line;  /* that is being read, and where no event came, what came instead */
	bool ended;       /* by a callback */
	bool told;        /* something came: the server is well */
	bool refused;     /* what comes first is no event: all of it says why, and ends by itself */
	struct kube_status status;
};

/* False: no more of this watch. */
static bool event_take(struct watching *watching, struct view line)
{
	struct kube_watch *watch = watching->watch;
	struct kube_event event;
	bool more = true;

	if (kube_event_parse(line, &event, NULL)) {
		/* An error's body, newline or not, which is read to its end: a call that is given up has no status. Or a line that was cut. */
		watching->refused = !watching->told;
		return watching->refused;
	}
	watching->told = true;
	if (event.change == KUBE_ERROR) {
		kube_status_judge_object(event.object, &watching->status);
		more = false;
	} else {
		if (event.version[0])
			memcpy(watching->version, event.version, sizeof(watching->version));
		if (event.change != KUBE_BOOKMARK)
			watching->ended = !watch->changed(watch->self, event.change, event.object);
	}
	json_decref(event.object);
	return more && !watching->ended;
}

static bool on_watch_bytes(void *self, struct view bytes)
{
	struct watching *watching = self;
	const char *newline;

	if (!bytes.length) {
		watching->ended = watching->watch->idle && !watching->watch->idle(watching->watch->self);
		return !watching->ended;
	}
	buf_add_view(&watching->line, bytes);
	if (watching->line.over)
		return false;
	while (!watching->refused && (newline = memchr(buf_view(&watching->line).at, '\n', watching->line.length))) {
		size_t length = (size_t)(newline - watching->line.at);

		if (!event_take(watching, view_make(watching->line.at, length)))
			return false;
		if (!watching->refused)
			buf_drop_front(&watching->line, length + 1);
	}
	return true;
}

/* One watch, to its end, however it ends. `status` says why, where the server did. */
static int watch_once(struct watching *watching, struct err *err)
{
	const struct kube_watch *watch = watching->watch;
	AUTO_FREE char *list = list_query(watch->path, "watch=true&allowWatchBookmarks=true", watch->selector, NULL);
	AUTO_FREE char *path = text_format("%s&timeoutSeconds=%d&resourceVersion=%s", list, WATCH_SECONDS, watching->version);
	const struct kube_request request = {.method = "GET", .path = path};
	const struct http_call call = {
		.timeout_ms = WATCH_SECONDS * 1000 + WATCH_GRACE_MS, .on_bytes = on_watch_bytes, .self = watching};
	AUTO_RESPONSE response = {0};
	uint64_t serial;
	struct err why = {0};
	int failed;

	buf_clear(&watching->line);
	watching->told = watching->refused = false;
	watching->status = (struct kube_status){0};
	watching->watch->watches++;
	failed = request_send(watching->client, &request, call, &response, &serial, &why);
	if (failed && why.kind != ERR_RETRY && why.kind != ERR_CANCELLED)
		return err_set(err, why.kind, "%s", why.text);
	if (failed || response.status == 200)
		return 0; /* an end in the middle is one */
	kube_status_judge(response.status, http_response_header(&response, "retry-after"), buf_view(&watching->line),
			  &watching->status);
	if (watching->status.meaning == KUBE_UNKNOWN_TO_SERVER && kube_identity_refused(watching->client->identity, serial))
		watching->status.meaning = KUBE_TROUBLE; /* once more, with fresh ones; the list then says what there is to say */
	refusal_tell(&request, &response, &watching->status);
	return 0;
}

static int list_once(struct watching *watching, struct err *err)
{
	struct kube_watch *watch = watching->watch;
	AUTO_JSON items = NULL;

	watch->lists++;
	watching->status = (struct kube_status){0};
	if (kube_list(watching->client, watch->path, watch->selector, &items, watching->version, err))
		return -1;
	watching->ended = !watch->listed(watch->self, items);
	return 0;
}

/* Waits a while before it goes on, if a callback lets it. */
static bool rest(struct watching *watching, int64_t ms)
{
	struct kube_watch *watch = watching->watch;

	for (; ms > 0; ms -= 500) {
		if (watch->idle && !watch->idle(watch->self))
			return false;
		kube_pause_ms(ms < 500 ? ms : 500);
	}
	return true;
}

static bool is_over(enum err_kind kind)
{
	return kind == ERR_DENIED || kind == ERR_INVALID || kind == ERR_NOT_FOUND;
}

/* After this one, is the version that it began with still good to go on with? */
static bool goes_on(const struct watching *watching, bool listing, int failed)
{
	return listing ? !failed : watching->status.meaning != KUBE_EXPIRED && watching->status.meaning != KUBE_AHEAD;
}

int kube_watch_run(struct kube_client *client, struct kube_watch *watch, struct err *err)
{
	struct watching watching = {.watch = watch, .client = client, .line = buf_new(KUBE_LINE_BYTES_MAX)};
	unsigned tried = 0;
	int result = 0;

	while (!watching.ended && !result) {
		struct err why = {0};
		bool listing = !watching.version[0];
		int64_t begun_ms = world_elapsed_ms(client->world);
		int failed = listing ? list_once(&watching, &why) : watch_once(&watching, &why);
		bool on = goes_on(&watching, listing, failed);

		if (!failed && !listing && on && watching.status.meaning != KUBE_GOOD)
			failed = kube_status_err(&watching.status, &why);
		if (failed && is_over(why.kind))
			result = err_set(err, why.kind, "%s", why.text);
		if (!on)
			watching.version[0] = '\0';
		if (!failed && (listing || watching.told || world_elapsed_ms(client->world) - begun_ms >= WATCH_LONG_MS))
			tried = 0;
		else if (!result && !watching.ended)
			watching.ended = !rest(&watching, watching.status.wait_ms ? watching.status.wait_ms
										  : backoff_ms(client->world, tried++));
	}
	buf_fini(&watching.line);
	return result;
}
