/*
 * The preview.
 *
 * Theory of operation: a browser's connection is a flow that moves to the environment which each of its requests names. The server's leg
 * is kept between requests to the same environment; when it turns out dead before a response began, a request without effects is sent
 * once more on a new one.
 */
#include "gateway/preview.h"

#include <stdlib.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "gateway/door.h"
#include "gateway/flow.h"
#include "gateway/front.h"
#include "gateway/pages.h"
#include "gateway/shared.h"
#include "gateway/seams/http.h"
#include "net/socket.h"

#define IDLE_MS 120000
#define CONNECTIONS_MAX ((size_t)8192)
#define CONNECTIONS_SHARE \
	4 /* of the descriptors that there may be, a part is for visits: each takes two, and the rest is the environments' */
#define ACCEPTS_A_TURN 64
#define ACCEPT_PAUSE_MS 100
#define DOMAIN ".localhost"
#define PATH_PREFIX "/env/"

struct preview {
	struct worker *worker;
	struct front *front; /* NULL: this machine's own */
	struct loop_watch watch;
	struct loop_timer pause;
	int fd;
	size_t connections, connections_max;
};

#define NO_PAGE (-1)

/* One connection. */
struct visit {
	struct preview *preview;
	struct flow *flow;
	char *peer;
	/* Of the request that is under way: */
	char id[64];
	char prefix[80]; /* "/env/<id>", or "" when the Host named it */
	char *host;
	int page; /* enum page to be shown, or NO_PAGE */
	struct front_answer refused;
	struct front_shown shown;
	bool html;
	bool thaws;
	bool reused;
	bool harmless;      /* may be sent twice */
	bool server_closes; /* after this response */
	/* Of the server's leg: */
	char upstream[64];
};

static bool id_take(struct view text, char id[64])
{
	if (!text.length || text.length >= 64)
		return false;
	for (size_t i = 0; i < text.length; i++)
		id[i] = (char)(text.at[i] >= 'A' && text.at[i] <= 'Z' ? text.at[i] | 0x20 : text.at[i]);
	id[text.length] = '\0';
	return true;
}

static struct view host_name(struct view host)
{
	struct view port;

	if (host.length && host.at[0] == '[')
		return host;
	return view_cut(host, ':', &port);
}

/* Which environment is meant, and by what; the page to show when none is. */
static int target_find(struct visit *visit, const struct http_head *head)
{
	struct view name = host_name(head->host);
	struct view target = head->target;
	struct view id;
	size_t end = 0;

	visit->id[0] = visit->prefix[0] = '\0';
	if (target.at[0] != '/')
		return PAGE_MISDIRECTED;
	if (name.length > sizeof(DOMAIN) - 1 &&
	    view_equal_nocase(view_make(name.at + name.length - (sizeof(DOMAIN) - 1), sizeof(DOMAIN) - 1), VIEW(DOMAIN)))
		return id_take(view_make(name.at, name.length - (sizeof(DOMAIN) - 1)), visit->id) ? NO_PAGE : PAGE_UNKNOWN;
	/* By path only under this machine's own names: a page of somebody else's name that leads here must not get in. */
	if (!view_equal_nocase(name, VIEW("localhost")) && !view_is(name, "127.0.0.1") && !view_starts(name, VIEW("[::1]")))
		return PAGE_MISDIRECTED;
	if (!view_starts(target, VIEW(PATH_PREFIX)))
		return PAGE_UNKNOWN;
	id = view_make(target.at + sizeof(PATH_PREFIX) - 1, target.length - (sizeof(PATH_PREFIX) - 1));
	while (end < id.length && id.at[end] != '/' && id.at[end] != '?')
		end++;
	if (!id_take(view_make(id.at, end), visit->id))
		return PAGE_UNKNOWN;
	(void)snprintf(visit->prefix, sizeof(visit->prefix), PATH_PREFIX "%s", visit->id);
	return NO_PAGE;
}

/* The same for people elsewhere. */
static int front_find(struct visit *visit, const struct http_head *head)
{
	struct tls *tls = visit->flow->legs[SIDE_CLIENT].tls;

	visit->id[0] = visit->prefix[0] = '\0';
	free(visit->refused.location);
	free(visit->refused.cookie);
	visit->refused = (struct front_answer){0};
	if (front_judge(visit->preview->front, head, tls ? tls_asked_name(tls) : NULL, &visit->shown, visit->id, &visit->refused))
		return NO_PAGE;
	visit->id[0] = '\0'; /* of which there may be none */
	return (int)visit->refused.page;
}

static int env_page(const struct env *env)
{
	if (env->killed)
		return PAGE_KILLED;
	if (!env->preview_service)
		return env->state == ENV_STARTING ? PAGE_STARTING : PAGE_NO_PREVIEW;
	if (env->state == ENV_STARTING)
		return PAGE_STARTING;
	if (env->state == ENV_STOPPED)
		return PAGE_STOPPED;
	return env->state == ENV_FAILED ? PAGE_FAILED : NO_PAGE;
}

static void visit_enter(struct http_seam *seam, const struct http_head *head)
{
	struct visit *visit = seam->self;
	struct env *env;

	visit->page = visit->preview->front ? front_find(visit, head) : target_find(visit, head);
	env = visit->page == NO_PAGE ? env_find(visit->preview->worker, visit->id) : NULL;
	if (visit->page == NO_PAGE && !env)
		visit->page = env_was(visit->preview->worker, visit->id) ? PAGE_GONE : PAGE_UNKNOWN;
	if (env)
		visit->page = env_page(env);
	if (visit->page != NO_PAGE)
		env = NULL; /* nothing of it is an exchange of the application */
	if (seam->flow->legs[SIDE_SERVER].fd >= 0 && (!env || strcmp(visit->upstream, visit->id) != 0))
		flow_server_drop(seam->flow);
	flow_env_set(seam->flow, env);
	free(visit->host);
	visit->host = head->host.length ? view_copy(head->host) : text_copy("localhost");
	visit->html = view_find(http_head_field(head, "accept"), VIEW("text/html")) >= 0;
	visit->harmless = head->framing == HTTP_BODY_NONE && (view_is(head->method, "GET") || view_is(head->method, "HEAD"));
	visit->reused = visit->server_closes = visit->thaws = false;
}

static enum http_verdict page_answer(struct http_seam *seam, enum page page, const char *detail, const char *error)
{
	const struct visit *visit = seam->self;
	AUTO_BUF body = buf_new(65536);
	AUTO_FREE char *headers = text_format("%s%s", page_headers(page, visit->html), visit->preview->front ? FRONT_HEADERS : "");

	page_format(&body, page, visit->html, visit->id[0] ? visit->id : "preview", detail);
	http_seam_answer(seam, page_status(page), headers, buf_view(&body), error);
	return HTTP_ANSWER;
}

static enum http_verdict refused_answer(struct http_seam *seam)
{
	const struct visit *visit = seam->self;
	const struct front_answer *refused = &visit->refused;
	AUTO_FREE char *headers = NULL;

	if (!refused->location)
		return page_answer(seam, refused->page, NULL, NULL);
	headers = text_format("Location: %s\r\n%s%s%sReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n" FRONT_HEADERS,
			      refused->location, refused->cookie ? "Set-Cookie: " : "", refused->cookie ? refused->cookie : "",
			      refused->cookie ? "\r\n" : "");
	http_seam_answer(seam, 303, headers, VIEW(""), NULL);
	return HTTP_ANSWER;
}

/* Takes our own headers out of what is logged, and the label with them; and from people elsewhere what lets them in. */
static void label_take(struct exchange *exchange, bool elsewhere)
{
	struct exchange_headers *headers = &exchange->request_headers;
	size_t kept = 0;

	for (size_t i = 0; i < headers->count; i++) {
		if (strcasecmp(headers->at[i].name, PREVIEW_LABEL) == 0 && !elsewhere && !exchange->replay &&
		    strlen(headers->at[i].value) <= 64)
			exchange->replay = text_copy(headers->at[i].value);
		if (elsewhere && strcasecmp(headers->at[i].name, "cookie") == 0) {
			AUTO_BUF field = buf_new(2 * HTTP_HEAD_BYTES_MAX); /* "a;b" becomes "a; b" */

			buf_add(&field, "cookie", sizeof("cookie"));
			front_cookies_write(&field, view_of(headers->at[i].value));
			buf_add_char(&field, '\0');
			if (!field.over) {
				free(headers->at[i].name);
				headers->at[i].name = buf_take(&field);
				headers->at[i].value = headers->at[i].name + sizeof("cookie");
			}
		}
		if (strncasecmp(headers->at[i].name, "x-assay-", 8) == 0) {
			free(headers->at[i].name);
			continue;
		}
		headers->at[kept++] = headers->at[i];
	}
	headers->count = kept;
}

static struct view target_stripped(const struct visit *visit, const struct http_head *head)
{
	size_t length = strlen(visit->prefix);
	struct view rest = view_make(head->target.at + length, head->target.length - length);

	return rest.length && rest.at[0] == '/' ? rest : (struct view){NULL, rest.length};
}

/* One field of those that are the application's. */
static void cookies_write(const struct http_head *head, struct buf *out)
{
	AUTO_BUF cookies = buf_new(HTTP_HEAD_BYTES_MAX);

	for (size_t i = 0; i < head->field_count; i++) {
		AUTO_BUF some = buf_new(HTTP_HEAD_BYTES_MAX);

		if (!view_equal_nocase(head->fields[i].name, VIEW("cookie")))
			continue;
		front_cookies_write(&some, head->fields[i].value);
		if (cookies.length && some.length)
			buf_add_text(&cookies, "; ");
		buf_add_view(&cookies, buf_view(&some));
	}
	if (cookies.length)
		buf_add_format(out, "Cookie: %s\r\n", cookies.at);
}

static void request_write(const struct http_seam *seam, const struct http_head *head, struct view target, struct buf *out)
{
	static const char *const dropped[] = {"baggage",      "connection", "keep-alive", "proxy-connection",
					      "x-forwarded-", "forwarded",  "x-assay-",   NULL};
	static const char *const dropped_elsewhere[] = {
		"baggage", "connection", "keep-alive", "proxy-connection", "x-forwarded-", "forwarded", "x-assay-", "cookie", NULL};
	const struct visit *visit = seam->self;
	const struct env *env = seam->flow->env;
	bool shares = env->below[0] || shared_is_baseline(env);
	bool elsewhere = visit->preview->front;

	buf_add_view(out, head->method);
	buf_add_char(out, ' ');
	buf_add_view(out, target);
	buf_add_format(out, " HTTP/1.%u\r\n", head->minor);
	http_fields_write(out, head, (elsewhere ? dropped_elsewhere : dropped) + !shares);
	if (shares)
		shared_baggage_write(head, env->below[0] ? env->id : NULL, out);
	if (elsewhere)
		cookies_write(head, out);
	buf_add_format(out, "X-Forwarded-For: %s\r\nX-Forwarded-Host: %s\r\nX-Forwarded-Proto: http%s\r\n", visit->peer,
		       visit->host, elsewhere ? "s" : "");
	if (visit->prefix[0])
		buf_add_format(out, "X-Forwarded-Prefix: %s\r\n", visit->prefix);
	if (head->upgrade)
		buf_add_text(out, "Connection: Upgrade\r\n");
	else if (head->minor == 0 && head->keep_alive)
		buf_add_text(out, "Connection: keep-alive\r\n");
	buf_add_text(out, "\r\n");
}

/* The server's leg, new or kept. */
static void visit_dial(struct visit *visit)
{
	struct flow *flow = visit->flow;
	struct leg *server = &flow->legs[SIDE_SERVER];
	struct name *name = env_name(flow->env, flow->env->preview_service);

	visit->reused = server->fd >= 0 && !server->ended;
	if (visit->reused)
		return;
	flow_server_drop(flow);
	flow->bytes[SIDE_SERVER] = 0;
	memcpy(visit->upstream, visit->id, sizeof(visit->upstream));
	if (name)
		door_dial(flow, name, flow->env->preview_port);
	else if (!flow->protocol->server_lost(flow, "the service is not there"))
		flow_close(flow, "the service is not there");
}

struct thaw {
	struct worker *worker;
	char id[64];
};

static void thaw_answered(void *self, json_t *answer, const struct err *err)
{
	struct thaw *thaw = self;
	struct env *env = env_find(thaw->worker, thaw->id);

	if (!answer)
		log_warn("env=%s cannot be thawed: %s", thaw->id, err->text);
	if (env)
		env->thaw_asked = false;
	if (env && answer) {
		env->state = ENV_READY;
		preview_env_changed(env);
	}
	json_decref(answer);
	free(thaw);
}

static void thaw_timed_out(struct flow *flow)
{
	struct http_seam *seam = http_seam_of(flow);

	if (seam && seam->waiting) {
		((struct visit *)seam->self)->thaws = false;
		(void)page_answer(seam, PAGE_ASLEEP, NULL, "frozen, and not thawed in time");
	}
}

static enum http_verdict visit_thaw(struct visit *visit)
{
	struct env *env = visit->flow->env;

	visit->thaws = true;
	flow_timer(visit->flow, PREVIEW_THAW_MS, thaw_timed_out);
	if (!env->thaw_asked) {
		struct thaw *thaw = mem_new(sizeof(*thaw));
		AUTO_JSON body = json_pack("{s:s}", "env", env->id);
		struct err err;

		*thaw = (struct thaw){.worker = env->worker};
		memcpy(thaw->id, env->id, sizeof(thaw->id));
		env->thaw_asked = true;
		if (link_ask(env->worker->link, MESSAGE_THAW, body, thaw_answered, thaw, &err)) {
			env->thaw_asked = false;
			log_warn("env=%s cannot be thawed: %s", env->id, err.text);
			free(thaw);
		}
	}
	return HTTP_WAIT;
}

static enum http_verdict visit_request(struct http_seam *seam, const struct http_head *head, struct buf *out)
{
	struct visit *visit = seam->self;
	struct flow *flow = seam->flow;
	struct view target;

	if (visit->page != NO_PAGE)
		return visit->preview->front && !visit->id[0] ? refused_answer(seam)
							      : page_answer(seam, (enum page)visit->page, NULL, NULL);
	flow_timer(flow, -1, NULL);
	target = target_stripped(visit, head);
	if (!target.at) { /* /env/<id> and /env/<id>?… : as if a slash had followed */
		AUTO_FREE char *location = text_format("Location: %s/%.*s\r\n", visit->prefix, (int)target.length,
						       head->target.at + strlen(visit->prefix));

		http_seam_answer(seam, 308, location, VIEW(""), NULL);
		return HTTP_ANSWER;
	}
	label_take(&seam->exchange, visit->preview->front);
	free(seam->exchange.to);
	seam->exchange.to = text_copy(flow->env->preview_service);
	free(seam->exchange.url);
	seam->exchange.url = text_format("http%s://%s%.*s", visit->preview->front ? "s" : "", visit->host, (int)target.length,
					 target.at);
	request_write(seam, head, target, out);
	env_touch(flow->env);
	if (flow->env->state == ENV_FROZEN)
		return visit_thaw(visit);
	visit_dial(visit);
	return HTTP_PASS;
}

/* What a link let in ends when the link is taken back: a stream of events, a WebSocket. */
static void taken_back_close(struct env *env)
{
	struct flow *next;

	for (struct flow *flow = env->flows; flow; flow = next) {
		struct http_seam *seam = http_seam_of(flow);
		const struct visit *visit = seam && seam->hooks->enter == visit_enter ? seam->self : NULL;

		next = flow->next;
		if (visit && visit->preview->front && front_is_taken_back(visit->preview->front, &visit->shown))
			flow_close(flow, "the link that let it in was taken back");
	}
}

void preview_links_put(struct env *env, const json_t *links)
{
	struct front *front = env->worker->front;

	if (!front)
		return;
	front_links_put(front, env->id, links);
	taken_back_close(env);
}

void preview_env_changed(struct env *env)
{
	struct flow *next;

	/* One that comes back from its volumes is `starting` on the way. */
	if (env->state == ENV_FROZEN || env->state == ENV_STARTING)
		return;
	for (struct flow *flow = env->flows; flow; flow = next) {
		struct http_seam *seam = http_seam_of(flow);
		struct visit *visit = seam ? seam->self : NULL;

		next = flow->next;
		if (!seam || seam->hooks->enter != visit_enter || !seam->waiting || !visit->thaws)
			continue;
		visit->thaws = false;
		flow_timer(flow, -1, NULL);
		visit_dial(visit);
		if (!flow->closed && seam->waiting)
			http_seam_go(seam);
		flow_update(flow);
	}
}

/* "/x" and "http://host/x" of the application are below the prefix for the browser. */
static void location_write(const struct visit *visit, struct view value, struct buf *out)
{
	AUTO_FREE char *own = text_format("http://%s/", visit->host);

	if (view_starts(value, VIEW("/")) && !view_starts(value, VIEW("//"))) {
		buf_add_text(out, visit->prefix);
	} else if (view_starts(value, view_of(own))) {
		buf_add_format(out, "http://%s%s", visit->host, visit->prefix);
		value = view_make(value.at + strlen(own) - 1, value.length - strlen(own) + 1);
	}
	buf_add_view(out, value);
}

static void cookie_write(const struct visit *visit, struct view value, struct buf *out)
{
	bool first = true;

	while (value.at) {
		struct view part = view_cut(value, ';', &value);
		struct view trimmed = view_trim(part);

		if (!first)
			buf_add_text(out, "; ");
		if (!first && trimmed.length > 5 && view_equal_nocase(view_make(trimmed.at, 5), VIEW("path=")) &&
		    trimmed.at[5] == '/') {
			buf_add_format(out, "Path=%s", visit->prefix);
			trimmed = view_make(trimmed.at + 5, trimmed.length - 5);
		}
		buf_add_view(out, trimmed);
		first = false;
	}
}

/* What was let in by a pass ends with it, however long it goes on: a stream of events, a WebSocket. */
static void pass_timed_out(struct flow *flow)
{
	flow_close(flow, "the pass that let it in has ended");
}

static void visit_response(struct http_seam *seam, const struct http_head *head, struct buf *out)
{
	struct visit *visit = seam->self;
	bool elsewhere = visit->preview->front;

	visit->server_closes = !head->keep_alive;
	if (elsewhere)
		flow_timer(seam->flow, front_shown_ms(&visit->shown), pass_timed_out);
	buf_add_format(out, "HTTP/1.1 %u ", head->status);
	buf_add_view(out, head->reason);
	buf_add_text(out, "\r\n");
	for (size_t i = 0; i < head->field_count; i++) {
		struct view name = head->fields[i].name;
		struct view value = head->fields[i].value;

		if (view_equal_nocase(name, VIEW("connection")) || view_equal_nocase(name, VIEW("keep-alive")) ||
		    view_equal_nocase(name, VIEW("proxy-connection")))
			continue;
		if (elsewhere && (view_equal_nocase(name, VIEW("x-robots-tag")) ||
				  view_equal_nocase(name, VIEW("clear-site-data")) || /* it would be the whole domain's */
				  (view_equal_nocase(name, VIEW("set-cookie")) && front_cookie_is_own(value))))
			continue;
		buf_add_view(out, name);
		buf_add_text(out, ": ");
		if (elsewhere && view_equal_nocase(name, VIEW("set-cookie")))
			front_set_cookie_write(out, value);
		else if (visit->prefix[0] && view_equal_nocase(name, VIEW("location")))
			location_write(visit, value, out);
		else if (visit->prefix[0] && view_equal_nocase(name, VIEW("set-cookie")))
			cookie_write(visit, value, out);
		else
			buf_add_view(out, value);
		buf_add_text(out, "\r\n");
	}
	if (elsewhere)
		buf_add_format(out, FRONT_HEADERS "%s", front_framing(visit->preview->front));
	if (head->status == 101)
		buf_add_text(out, "Connection: Upgrade\r\n");
	else if (!seam->keep_alive || seam->until_close)
		buf_add_text(out, "Connection: close\r\n");
	buf_add_text(out, "\r\n");
}

static void idle_timed_out(struct flow *flow)
{
	flow_close(flow, NULL);
}

static void visit_done(struct http_seam *seam)
{
	struct visit *visit = seam->self;

	if (visit->server_closes)
		flow_server_drop(seam->flow);
	flow_timer(seam->flow, IDLE_MS, idle_timed_out);
}

static bool visit_lost(struct http_seam *seam, const char *why)
{
	struct visit *visit = seam->self;
	bool again = visit->reused && visit->harmless;

	flow_server_drop(seam->flow);
	if (again) {
		uint64_t seq = seam->exchange.seq;

		visit_dial(visit);
		if (!seam->flow->closed && seam->open && seam->exchange.seq == seq && !seam->answer.length)
			flow_write(seam->flow, SIDE_SERVER, buf_view(&seam->head));
		return true;
	}
	(void)page_answer(seam, PAGE_SILENT, why, why);
	return true;
}

static void visit_release(void *self)
{
	struct visit *visit = self;

	visit->preview->connections--;
	free(visit->refused.location);
	free(visit->refused.cookie);
	free(visit->peer);
	free(visit->host);
	free(visit);
}

static const struct http_seam_hooks visit_hooks = {
	.logged = true,
	.owns_server = true,
	.interim_bare = true,
	.enter = visit_enter,
	.request = visit_request,
	.response = visit_response,
	.done = visit_done,
	.lost = visit_lost,
	.release = visit_release,
};

static char *peer_address(int fd)
{
	AUTO_BUF text = buf_new(128);
	char *colon;

	socket_peer_format(&text, fd);
	colon = strrchr(text.at, ':');
	if (colon)
		*colon = '\0';
	return text_copy(text.at);
}

/* `peer` is taken. */
static void visit_begin(struct preview *preview, int fd, char *peer)
{
	struct tls *tls = NULL;
	bool ready = !preview->front || front_accept(preview->front, fd, &tls);
	struct visit *visit;

	if (preview->connections >= preview->connections_max || !ready) {
		tls_free(tls);
		free(peer);
		(void)close(fd);
		return;
	}
	visit = mem_new(sizeof(*visit));
	visit->preview = preview;
	visit->peer = peer;
	visit->flow = flow_new(preview->worker, NULL, fd, "preview");
	preview->connections++;
	http_seam_begin(visit->flow, &visit_hooks, visit);
	if (tls)
		flow_tls_set(visit->flow, SIDE_CLIENT, tls);
	flow_timer(visit->flow, tls ? FRONT_FIRST_MS : IDLE_MS, idle_timed_out);
	flow_update(visit->flow);
}

void preview_enter(struct preview *preview, int fd, const char *peer)
{
	visit_begin(preview, fd, text_copy(peer));
}

static void accept_resume(struct loop_timer *timer)
{
	struct preview *preview = (struct preview *)((char *)timer - offsetof(struct preview, pause));

	loop_watch_set(preview->worker->loop, &preview->watch, LOOP_READ);
}

static void preview_ready(struct loop_watch *watch, unsigned events)
{
	struct preview *preview = (struct preview *)((char *)watch - offsetof(struct preview, watch));

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct err err;
		int fd;

		if (socket_accept(preview->fd, &fd, &err)) {
			if (err.kind == ERR_RETRY)
				return;
			log_warn("preview: %s", err.text);
			loop_watch_set(preview->worker->loop, watch, 0);
			loop_timer_set(preview->worker->loop, &preview->pause, ACCEPT_PAUSE_MS);
			return;
		}
		visit_begin(preview, fd, peer_address(fd));
	}
}

static size_t connections_max(void)
{
	struct rlimit limit;
	size_t share;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return CONNECTIONS_MAX;
	share = (size_t)limit.rlim_cur / CONNECTIONS_SHARE;
	return share < CONNECTIONS_MAX ? share : CONNECTIONS_MAX;
}

struct preview *preview_new(struct worker *worker, int listener, struct front *front, struct err *err)
{
	struct preview *preview = mem_new(sizeof(*preview));

	preview->worker = worker;
	preview->front = front;
	preview->connections_max = connections_max();
	preview->fd = listener;
	preview->watch.ready = preview_ready;
	preview->pause.expired = accept_resume;
	if (listener >= 0 && loop_watch_add(worker->loop, &preview->watch, listener, LOOP_READ, err)) {
		preview_free(preview);
		return NULL;
	}
	return preview;
}

void preview_free(struct preview *preview)
{
	if (!preview)
		return;
	loop_watch_remove(preview->worker->loop, &preview->watch);
	loop_timer_stop(preview->worker->loop, &preview->pause);
	scope_close(&preview->fd);
	free(preview);
}
