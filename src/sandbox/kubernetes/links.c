/* The links of pods: who connects, whose token it is, and what is said on the loop's thread. */
#include "sandbox/kubernetes/cluster_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "net/socket.h"

#define ARRIVALS_MAX 512
#define ARRIVALS_EACH_MAX 32 /* from one address: any program of a pod may connect here */
#define REVIEWS_MAX 16       /* at once: the others' hellos wait */
#define HELLO_MS 20000
#define HELLO_HEAD 16
#define HELLO_BYTES_MAX ((size_t)16 << 10)
#define ACCEPT_PAUSE_MS 200
#define SIZES_MS 300
#define PEER_MAX 64
#define REVIEW_PATH "/apis/authentication.k8s.io/v1/tokenreviews"

/* Who has connected and is not known yet. */
struct arrival {
	struct arrival *next;
	struct cluster *cluster;
	struct strand *strand; /* NULL: it left */
	struct loop_timer timer;
	uint64_t received, session;
	char peer[PEER_MAX]; /* its address */
	char *token;
	bool reviewing; /* a thread has it */
	/* what the review found */
	char space[KUBE_NAME_MAX], pod[SANDBOX_NAME_MAX + 1], uid[UID_MAX];
	char why[200]; /* it is refused */
};

/* ---- arrivals ---- */

static void arrival_free(void *self)
{
	struct arrival *arrival = self;

	if (arrival->token)
		explicit_bzero(arrival->token, strlen(arrival->token));
	free(arrival->token);
	free(arrival);
}

static void arrival_end(struct arrival *arrival)
{
	struct cluster *cluster = arrival->cluster;
	struct arrival **place = &cluster->arrivals;

	loop_timer_stop(cluster->loop, &arrival->timer);
	strand_free(arrival->strand);
	arrival->strand = NULL;
	if (arrival->reviewing)
		return; /* the review's end frees it */
	while (*place != arrival)
		place = &(*place)->next;
	*place = arrival->next;
	cluster->arrival_count--;
	loop_defer(cluster->loop, arrival_free, arrival);
}

/* "system:serviceaccount:NAMESPACE:assay": the namespace. */
static bool account_space(const char *user, char space[KUBE_NAME_MAX])
{
	static const char begin[] = "system:serviceaccount:";
	const char *at = strncmp(user, begin, sizeof(begin) - 1) == 0 ? user + sizeof(begin) - 1 : NULL;
	const char *end = at ? strchr(at, ':') : NULL;

	if (!end || strcmp(end + 1, KUBE_ACCOUNT) != 0 || end - at >= KUBE_NAME_MAX)
		return false;
	(void)snprintf(space, KUBE_NAME_MAX, "%.*s", (int)(end - at), at);
	return true;
}

static const char *first_text(const json_t *object, const char *key)
{
	const json_t *text = json_array_get(json_member(object, key), 0);

	return json_is_string(text) ? json_string_value(text) : "";
}

static bool has_audience(const json_t *status)
{
	size_t index;
	json_t *audience;

	json_array_foreach(json_member(status, "audiences"), index, audience)
		if (json_is_string(audience) && strcmp(json_string_value(audience), KUBE_AUDIENCE) == 0)
			return true;
	return false;
}

/* Whose token it is, by the cluster (contracts: a token for us as its audience, which the API server itself refuses). */
static void review(struct arrival *arrival)
{
	struct cluster *cluster = arrival->cluster;
	AUTO_JSON body = json_pack("{s:s, s:s, s:{s:s, s:[s]}}", "apiVersion", "authentication.k8s.io/v1", "kind", "TokenReview",
				   "spec", "token", arrival->token, "audiences", KUBE_AUDIENCE);
	AUTO_JSON answer = NULL;
	const json_t *status, *user, *extra;
	struct err err = {0};

	if (kube_create(cluster->site.client, REVIEW_PATH, body, true, &answer, &err)) {
		(void)snprintf(arrival->why, sizeof(arrival->why), "its token cannot be reviewed: %.150s", err.text);
		return;
	}
	status = json_member(answer, "status");
	user = json_member(status, "user");
	extra = json_member(user, "extra");
	if (!json_flag(status, "authenticated", false) || !has_audience(status))
		(void)snprintf(arrival->why, sizeof(arrival->why), "its token is not good: %.150s",
			       json_text(status, "error", "refused"));
	else if (!account_space(json_text(user, "username", ""), arrival->space))
		(void)snprintf(arrival->why, sizeof(arrival->why), "it is %.100s, and no pod of an environment",
			       json_text(user, "username", "?"));
	(void)snprintf(arrival->pod, sizeof(arrival->pod), "%s", first_text(extra, "authentication.kubernetes.io/pod-name"));
	(void)snprintf(arrival->uid, sizeof(arrival->uid), "%s", first_text(extra, "authentication.kubernetes.io/pod-uid"));
}

static void reviews_begin(struct cluster *cluster);

static void on_reviewed(void *self)
{
	struct arrival *arrival = self;
	struct cluster *cluster = arrival->cluster;
	struct strand *strand = arrival->strand;
	struct room *room = NULL;

	arrival->reviewing = false;
	if (strand && !arrival->why[0]) {
		(void)pthread_mutex_lock(&cluster->mutex);
		room = pod_room_by_pod(cluster, arrival->space, arrival->pod);
		if (!room || room->gone || !room->uid[0] || strcmp(room->uid, arrival->uid) != 0)
			(void)snprintf(arrival->why, sizeof(arrival->why), "there is no room for pod %s of %s", arrival->pod,
				       arrival->space);
		(void)pthread_mutex_unlock(&cluster->mutex);
	}
	if (strand && arrival->why[0]) {
		log_info("kubernetes: a link is refused: %s", arrival->why);
		strand_send(strand, LINK_REFUSED, 0, view_of(arrival->why));
	} else if (strand && room) {
		arrival->strand = NULL;
		pod_room_accept(room, strand, arrival->received, arrival->session);
	}
	arrival_end(arrival);
	reviews_begin(cluster);
}

static void *review_thread(void *self)
{
	struct arrival *arrival = self;
	struct cluster *cluster = arrival->cluster;

	review(arrival);
	loop_post(cluster->loop, on_reviewed, arrival);
	(void)pthread_mutex_lock(&cluster->mutex);
	cluster->reviews--;
	(void)pthread_cond_broadcast(&cluster->changed);
	(void)pthread_mutex_unlock(&cluster->mutex);
	return NULL;
}

/* None begins once we are closing: that waits for all of them. */
static void review_begin(struct arrival *arrival)
{
	struct cluster *cluster = arrival->cluster;
	pthread_t thread;

	(void)pthread_mutex_lock(&cluster->mutex);
	arrival->reviewing = !cluster->closing && pthread_create(&thread, NULL, review_thread, arrival) == 0;
	cluster->reviews += arrival->reviewing;
	(void)pthread_mutex_unlock(&cluster->mutex);
	if (arrival->reviewing)
		(void)pthread_detach(thread);
	else
		arrival_end(arrival);
}

/* Those who came first, as many as may be. */
static void reviews_begin(struct cluster *cluster)
{
	size_t busy = 0;
	struct arrival *first;

	for (struct arrival *arrival = cluster->arrivals; arrival; arrival = arrival->next)
		busy += arrival->reviewing;
	do {
		first = NULL;
		for (struct arrival *arrival = cluster->arrivals; arrival; arrival = arrival->next)
			if (arrival->token && arrival->strand && !arrival->reviewing)
				first = arrival;
		if (first && busy++ < REVIEWS_MAX)
			review_begin(first);
		else
			first = NULL;
	} while (first);
}

static void on_hello(void *self, struct strand *strand, unsigned kind, uint32_t id, struct view body)
{
	struct arrival *arrival = self;

	(void)id;
	(void)strand;
	if (kind != LINK_HELLO || arrival->token || body.length <= HELLO_HEAD ||
	    memchr(body.at + HELLO_HEAD, 0, body.length - HELLO_HEAD)) {
		if (!arrival->token)
			arrival_end(arrival);
		return;
	}
	arrival->received = strand_u64(body, 0);
	arrival->session = strand_u64(body, 8);
	arrival->token = text_format("%.*s", (int)(body.length - HELLO_HEAD), body.at + HELLO_HEAD);
	reviews_begin(arrival->cluster);
}

static void on_arrival_lost(void *self, struct strand *strand, const char *why)
{
	(void)strand;
	log_debug("kubernetes: who connected left: %s", why);
	arrival_end(self);
}

static void on_arrival_late(struct loop_timer *timer)
{
	arrival_end((struct arrival *)(void *)((char *)timer - offsetof(struct arrival, timer)));
}

static const struct strand_use arrival_use = {.frame = on_hello, .lost = on_arrival_lost, .body_max = HELLO_BYTES_MAX};

/* Out of descriptors: the listener is level-triggered, and would ask again and again. */
static void on_pause_over(struct loop_timer *timer)
{
	struct cluster *cluster = (struct cluster *)(void *)((char *)timer - offsetof(struct cluster, listen_pause));

	loop_watch_set(cluster->loop, &cluster->listen_watch, LOOP_READ);
}

static void listener_rest(struct cluster *cluster, const struct err *err)
{
	log_warn("kubernetes: %s", err->text);
	loop_watch_set(cluster->loop, &cluster->listen_watch, 0);
	cluster->listen_pause.expired = on_pause_over;
	loop_timer_set(cluster->loop, &cluster->listen_pause, ACCEPT_PAUSE_MS);
}

/* "10.0.0.7:5001": without the port. */
static void peer_name(char peer[PEER_MAX], int fd)
{
	AUTO_BUF text = buf_new(256);
	const char *port;

	socket_peer_format(&text, fd);
	port = text.at ? strrchr(text.at, ':') : NULL;
	(void)snprintf(peer, PEER_MAX, "%.*s", port ? (int)(port - text.at) : (int)text.length, text.at ? text.at : "");
}

/* Is there room for one more from there? */
static bool has_room(const struct cluster *cluster, const char *peer)
{
	size_t count = 0;

	for (const struct arrival *arrival = cluster->arrivals; arrival; arrival = arrival->next)
		count += strcmp(arrival->peer, peer) == 0;
	return cluster->arrival_count < ARRIVALS_MAX && count < ARRIVALS_EACH_MAX;
}

static void on_listener(struct loop_watch *watch, unsigned events)
{
	struct cluster *cluster = (struct cluster *)(void *)((char *)watch - offsetof(struct cluster, listen_watch));
	struct arrival *arrival;
	char peer[PEER_MAX];
	struct err err;
	int fd;

	(void)events;
	if (socket_accept(cluster->listen_fd, &fd, &err)) {
		if (err.kind != ERR_RETRY)
			listener_rest(cluster, &err);
		return;
	}
	peer_name(peer, fd);
	if (!has_room(cluster, peer)) {
		(void)close(fd);
		return;
	}
	socket_tune(fd);
	socket_keep(fd);
	arrival = mem_new(sizeof(*arrival));
	*arrival = (struct arrival){.next = cluster->arrivals, .cluster = cluster};
	memcpy(arrival->peer, peer, sizeof(peer));
	cluster->arrivals = arrival;
	cluster->arrival_count++;
	arrival->timer.expired = on_arrival_late;
	loop_timer_set(cluster->loop, &arrival->timer, HELLO_MS);
	arrival->strand = strand_new(cluster->loop, tls_accept(cluster->side, fd, NULL, NULL, VIEW(""), 0), fd, &arrival_use,
				     arrival);
}

/* ---- a room's link ---- */

static struct call *call_find(struct room *room, uint32_t id)
{
	struct call *call = room->calls;

	while (call && (call->id != id || call->done || call->posted))
		call = call->next;
	return call;
}

static struct program *program_find(const struct room *room, uint32_t id)
{
	struct program *program = room->programs;

	while (program && program->id != id)
		program = program->next;
	return program;
}

/* Is everything that it wrote with whom it was for? */
static bool is_delivered(const struct room *room, uint32_t id)
{
	return !mux_stream_waiting(room->mux, LINK_STREAM(id, 1)) && !mux_stream_waiting(room->mux, LINK_STREAM(id, 2));
}

/* Holding the mutex. */
static void end_tell(struct room *room, struct program *program)
{
	if (!program->ending || program->ended || !is_delivered(room, program->id))
		return;
	program->ended = true;
	(void)pthread_cond_broadcast(&room->cluster->changed);
}

static void on_moved(void *self, uint32_t stream)
{
	struct room *room = self;
	struct program *program;

	(void)pthread_mutex_lock(&room->cluster->mutex);
	program = program_find(room, stream / 4);
	if (program)
		end_tell(room, program);
	else
		room_door_moved(room, stream / 4);
	(void)pthread_mutex_unlock(&room->cluster->mutex);
}

/* The answer to a question for a name comes after where the pod is to listen for it. */
static void on_reading(void *self, uint32_t stream)
{
	if (link_is_open(stream / 4))
		room_door_serve(self);
}

static void on_unwritten(void *self, uint32_t stream, int errno_value)
{
	struct room *room = self;
	struct program *program;

	(void)pthread_mutex_lock(&room->cluster->mutex);
	program = program_find(room, stream / 4);
	if (program)
		program->unwritten = errno_value;
	(void)pthread_mutex_unlock(&room->cluster->mutex);
}

static void exit_take(struct room *room, uint32_t id, struct view body)
{
	struct program *program = program_find(room, id);

	if (!program) /* a number of the pod's choice is no stream of ours */
		return;
	mux_stream_drop(room->mux, LINK_STREAM(id, 0));
	program->status = (int)strand_u32(body, 0);
	program->ending = true;
	end_tell(room, program);
}

/* The streams of what was asked for: a program's begin with the request, a port's with the answer. */
static void streams_open(struct call *call)
{
	for (uint32_t which = 0; which < 3 && call->kind == LINK_START; which++)
		if (call->fds[which] >= 0)
			mux_stream(call->room->mux, LINK_STREAM(call->id, which), which ? -1 : TAKE_FD(call->fds[which]),
				   which ? TAKE_FD(call->fds[which]) : -1);
}

static void reply_take(struct room *room, uint32_t id, struct view body)
{
	struct call *call = call_find(room, id);

	if (!call && room_door_dialled(room, id, (int)strand_u32(body, 0)))
		return;
	if (!call) { /* nobody waits any more: a connection that was made for it there is closed */
		mux_send(room->mux, LINK_STOP, LINK_STREAM(id, 0), VIEW(""));
		mux_send(room->mux, LINK_END, LINK_STREAM(id, 0), VIEW(""));
		return;
	}
	call->errno_value = (int)strand_u32(body, 0);
	for (size_t i = 0; i < LINK_USAGE_FIELDS; i++)
		call->answer[i] = strand_u64(body, 4 + 8 * i);
	if (call->kind == LINK_START && call->errno_value)
		for (uint32_t which = 0; which < 3; which++)
			mux_stream_drop(room->mux, LINK_STREAM(id, which));
	if (call->kind == LINK_DIAL && !call->errno_value) {
		call->fds[0] = room_door_socket(room, id);
		call->errno_value = call->fds[0] < 0 ? errno : 0;
	}
	call->done = true;
	(void)pthread_cond_broadcast(&room->cluster->changed);
}

static void on_message(void *self, unsigned kind, uint32_t id, struct view body)
{
	struct room *room = self;

	(void)pthread_mutex_lock(&room->cluster->mutex);
	if (kind == LINK_REPLY)
		reply_take(room, id, body);
	else if (kind == LINK_EXIT)
		exit_take(room, id, body);
	else if (kind == LINK_OPEN)
		room_door_opened(room, id, body);
	else if (kind == LINK_BYE)
		pod_room_lose(room, "it ended by itself");
	(void)pthread_mutex_unlock(&room->cluster->mutex);
}

static void on_lost(void *self, const char *why)
{
	struct room *room = self;

	if (!mux_over(room->mux)) {
		log_info("kubernetes: the link of %s/%s: %s: it will connect again", room->space, room->name, why);
		return;
	}
	(void)pthread_mutex_lock(&room->cluster->mutex);
	pod_room_lose(room, why);
	(void)pthread_mutex_unlock(&room->cluster->mutex);
}

/* A terminal's size has no event: it is looked at. */
static void on_sizes(struct loop_timer *timer)
{
	struct room *room = (struct room *)(void *)((char *)timer - offsetof(struct room, sizes));
	bool any = false;

	(void)pthread_mutex_lock(&room->cluster->mutex);
	for (struct program *program = room->programs; program; program = program->next) {
		struct winsize size;
		AUTO_BUF body = buf_new(8);

		if (program->terminal < 0 || program->ended)
			continue;
		any = true;
		if (ioctl(program->terminal, TIOCGWINSZ, &size) ||
		    (size.ws_row == program->size.ws_row && size.ws_col == program->size.ws_col))
			continue;
		program->size = size;
		strand_put_u32(&body, size.ws_row);
		strand_put_u32(&body, size.ws_col);
		mux_send(room->mux, LINK_RESIZE, program->id, buf_view(&body));
	}
	(void)pthread_mutex_unlock(&room->cluster->mutex);
	if (any)
		loop_timer_set(room->cluster->loop, &room->sizes, SIZES_MS);
}

void pod_room_accept(struct room *room, struct strand *strand, uint64_t received, uint64_t session)
{
	struct cluster *cluster = room->cluster;
	const struct mux_use use = {.message = on_message,
				    .lost = on_lost,
				    .moved = on_moved,
				    .reading = on_reading,
				    .unwritten = on_unwritten,
				    .self = room};
	bool anew = !room->mux || room->session != session;
	AUTO_BUF welcome = buf_new(16);
	struct err err = {0};

	if (anew && room->mux) { /* the link's process is another: what ran is gone with the first */
		(void)pthread_mutex_lock(&cluster->mutex);
		pod_room_lose(room, "its link ended");
		(void)pthread_mutex_unlock(&cluster->mutex);
		strand_free(strand);
		return;
	}
	if (anew) {
		room->mux = mux_new(cluster->loop, &use);
		room->session = session;
		room->sizes.expired = on_sizes;
	}
	strand_put_u64(&welcome, mux_received(room->mux));
	strand_put_u32(&welcome, anew);
	strand_send(strand, LINK_WELCOME, 0, buf_view(&welcome));
	if (mux_attach(room->mux, strand, anew ? 0 : received, &err)) {
		log_warn("kubernetes: the link of %s/%s: %s", room->space, room->name, err.text);
		strand_free(strand);
		return;
	}
	(void)pthread_mutex_lock(&cluster->mutex);
	room->linked = true;
	(void)pthread_cond_broadcast(&cluster->changed);
	(void)pthread_mutex_unlock(&cluster->mutex);
}

/* ---- what callers ask of the loop ---- */

static void on_call(void *self)
{
	struct call *call = self;
	struct room *room = call->room;

	(void)pthread_mutex_lock(&room->cluster->mutex);
	call->posted = false;
	if (room->gone || !room->mux) {
		call->errno_value = ENOTCONN;
		call->done = true;
	} else {
		room_door_serve(room); /* where it is to listen comes before a program that connects there */
		mux_send(room->mux, call->kind, call->id, buf_view(&call->body));
		streams_open(call);
	}
	(void)pthread_cond_broadcast(&room->cluster->changed);
	(void)pthread_mutex_unlock(&room->cluster->mutex);
}

struct abandoned {
	struct room *room;
	uint32_t id;
};

/* What is said comes in order: the program is killed once it has been started, however late. */
static void on_abandoned(void *self)
{
	AUTO_FREE struct abandoned *abandoned = self;
	struct room *room = abandoned->room;
	struct cluster *cluster = room->cluster;
	AUTO_BUF body = buf_new(8);

	if (room->mux) {
		for (uint32_t which = 0; which < 3; which++)
			mux_stream_drop(room->mux, LINK_STREAM(abandoned->id, which));
		strand_put_u32(&body, abandoned->id);
		strand_put_u32(&body, SIGKILL);
		mux_send(room->mux, LINK_SIGNAL, 0, buf_view(&body));
	}
	(void)pthread_mutex_lock(&cluster->mutex);
	pod_room_unuse(room);
	(void)pthread_mutex_unlock(&cluster->mutex);
}

void call_abandon(const struct call *call)
{
	struct abandoned *abandoned;

	if (call->kind != LINK_START)
		return;
	abandoned = mem_new(sizeof(*abandoned));
	*abandoned = (struct abandoned){call->room, call->id};
	call->room->users++;
	loop_post(call->room->cluster->loop, on_abandoned, abandoned);
}

static void on_terminal(void *self)
{
	struct room *room = self;
	struct cluster *cluster = room->cluster;

	if (room->mux) /* it may have been closed meanwhile */
		loop_timer_set(cluster->loop, &room->sizes, SIZES_MS);
	(void)pthread_mutex_lock(&cluster->mutex);
	pod_room_unuse(room);
	(void)pthread_mutex_unlock(&cluster->mutex);
}

void pod_room_sizes_post(struct room *room)
{
	room->users++;
	loop_post(room->cluster->loop, on_terminal, room);
}

static void on_cut(void *self)
{
	struct cluster *cluster = self;

	(void)pthread_mutex_lock(&cluster->mutex);
	for (struct room *room = cluster->rooms; room; room = room->next)
		if (room->mux)
			mux_cut(room->mux);
	(void)pthread_mutex_unlock(&cluster->mutex);
}

void kube_cluster_cut(struct provider provider)
{
	struct cluster *cluster = provider.self;

	loop_post(cluster->loop, on_cut, cluster);
}

void call_post(struct call *call)
{
	loop_post(call->room->cluster->loop, on_call, call);
}

static void on_room_close(void *self)
{
	struct room *room = self;
	struct cluster *cluster = room->cluster;

	loop_timer_stop(cluster->loop, &room->sizes);
	room_door_end(room);
	if (!cluster->closing && room->mux && mux_attached(room->mux)) /* when we end, what is on the cluster stays */
		mux_send(room->mux, LINK_BYE, 0, VIEW(""));
	mux_free(room->mux);
	room->mux = NULL;
	(void)pthread_mutex_lock(&cluster->mutex);
	pod_room_unuse(room);
	(void)pthread_mutex_unlock(&cluster->mutex);
}

void pod_room_close_post(struct room *room)
{
	loop_post(room->cluster->loop, on_room_close, room);
}

/* ---- life ---- */

static void *loop_thread(void *self)
{
	struct cluster *cluster = self;

	tls_memory_keep();
	loop_run(cluster->loop);
	tls_memory_drop();
	return NULL;
}

int links_open(struct cluster *cluster, struct err *err)
{
	cluster->loop = loop_new(err);
	if (!cluster->loop || tls_server_new(&cluster->side, err) ||
	    tls_server_identity(cluster->side, cluster->options.identity, cluster->rooms_site.name, err) ||
	    socket_listen_tcp(cluster->options.listen, &cluster->listen_fd, err))
		return -1;
	cluster->listen_watch.ready = on_listener;
	if (loop_watch_add(cluster->loop, &cluster->listen_watch, cluster->listen_fd, LOOP_READ, err))
		return -1;
	if (pthread_create(&cluster->loop_thread, NULL, loop_thread, cluster))
		return err_set(err, ERR_RETRY, "cannot start the thread of the cluster's links");
	return 0;
}

void links_close(struct cluster *cluster)
{
	(void)pthread_mutex_lock(&cluster->mutex);
	cluster->closing = true;
	while (cluster->reviews)
		(void)pthread_cond_wait(&cluster->changed, &cluster->mutex);
	(void)pthread_mutex_unlock(&cluster->mutex);
	loop_stop(cluster->loop);
	(void)pthread_join(cluster->loop_thread, NULL);
	loop_drain(cluster->loop); /* rooms that were closed, reviews that ended */
	loop_watch_remove(cluster->loop, &cluster->listen_watch);
	loop_timer_stop(cluster->loop, &cluster->listen_pause);
	while (cluster->arrivals)
		arrival_end(cluster->arrivals);
	loop_free(cluster->loop);
	tls_side_free(cluster->side);
	scope_close(&cluster->listen_fd);
}
