/*
 * The relay's side.
 *
 * Theory of operation: three kinds of connections have a `struct guest` each: a visitor, until its ClientHello was read and its machine has joined;
 * a machine's control connection; and what came to the machines' port and has not said which of those it is. A visit that was joined
 * is a pair, which knows only what to count down. All are in one list, since all there is to do with them at the end is to close them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "base/world.h"
#include "net/hello.h"
#include "net/socket.h"
#include "relay/pair.h"
#include "relay/relay.h"
#include "relay/wire.h"

#define TOKENS_BYTES_MAX ((size_t)256 << 10)
#define VISITORS_MAX 4096
#define CONTROL_WAITING_MAX ((size_t)16 << 10)
#define MACHINE_BYTES_MAX (WIRE_HEAD_BYTES + WIRE_BODY_MAX)
#define READ_BYTES 4096
#define ACCEPTS_A_TURN 32
#define ACCEPT_PAUSE_MS 100

enum guest_kind { GUEST_VISITOR, GUEST_STRANGER, GUEST_MACHINE };

/* A machine that is registered. Outlives its connection while visits are under way. */
struct machine {
	char domain[WIRE_DOMAIN_MAX + 1];
	char token[WIRE_TOKEN_MAX + 1];
	struct guest *control; /* NULL: it is gone */
	unsigned visits;       /* joined or not */
	unsigned waiting;      /* not joined */
	unsigned holders;      /* control, visits */
};

struct guest {
	struct loop_watch watch;
	struct loop_timer timer;
	struct relay_server *server;
	struct guest *next, **place;
	enum guest_kind kind;
	int fd;
	struct buf in;
	struct buf out;                                /* of a machine */
	struct machine *machine;                       /* of a machine, and of a visitor that waits for one */
	unsigned char name[WIRE_VISIT_BYTES];          /* of such a visitor */
	unsigned char challenge[WIRE_CHALLENGE_BYTES]; /* of a stranger */
	char domain[WIRE_DOMAIN_MAX + 1];              /* that a stranger claims; "": none yet */
	bool gone;
};

struct door {
	struct loop_watch watch;
	struct loop_timer pause;
	struct relay_server *server;
	enum guest_kind kind; /* of who comes in */
	int fd;
};

struct relay_server {
	struct loop *loop;
	int tokens;
	struct door doors[2];
	struct guest *guests; /* list */
	unsigned counts[GUEST_MACHINE + 1];
};

static void machine_drop(struct machine *machine)
{
	if (--machine->holders)
		return;
	explicit_bzero(machine->token, sizeof(machine->token));
	free(machine);
}

static void guest_free(void *self)
{
	struct guest *guest = self;

	buf_fini(&guest->in);
	buf_fini(&guest->out);
	free(guest);
}

/* Forgets it; its descriptor is closed unless it was taken. */
static void guest_end(struct guest *guest)
{
	struct relay_server *server = guest->server;
	struct machine *machine = guest->machine;

	if (guest->gone)
		return;
	guest->gone = true;
	server->counts[guest->kind]--;
	loop_watch_remove(server->loop, &guest->watch);
	loop_timer_stop(server->loop, &guest->timer);
	scope_close(&guest->fd);
	*guest->place = guest->next;
	if (guest->next)
		guest->next->place = guest->place;
	if (machine && guest->kind == GUEST_MACHINE) {
		machine->control = NULL;
		log_info("domain=%s the machine is gone", machine->domain);
	} else if (machine && guest->kind == GUEST_VISITOR) {
		machine->visits--;
		machine->waiting--;
	}
	if (machine)
		machine_drop(machine);
	loop_defer(server->loop, guest_free, guest);
}

static void guest_late(struct loop_timer *timer)
{
	guest_end((struct guest *)((char *)timer - offsetof(struct guest, timer)));
}

static void guest_ready(struct loop_watch *watch, unsigned events);

static void guest_begin(struct relay_server *server, enum guest_kind kind, int fd)
{
	struct guest *guest = mem_new(sizeof(*guest));

	*guest = (struct guest){.server = server,
				.kind = kind,
				.fd = fd,
				.watch = {.ready = guest_ready},
				.timer = {.expired = guest_late},
				.in = buf_new(kind == GUEST_VISITOR ? HELLO_BYTES_MAX : MACHINE_BYTES_MAX),
				.out = buf_new(CONTROL_WAITING_MAX)};
	guest->next = server->guests;
	guest->place = &server->guests;
	if (guest->next)
		guest->next->place = &guest->next;
	server->guests = guest;
	server->counts[kind]++;
	socket_tune(fd);
	loop_timer_set(server->loop, &guest->timer, RELAY_SAY_MS);
	if (loop_watch_add(server->loop, &guest->watch, fd, LOOP_READ, NULL))
		guest_end(guest);
}

/* ---- machines ---- */

static struct machine *machine_find(const struct relay_server *server, struct view domain)
{
	for (const struct guest *guest = server->guests; guest; guest = guest->next)
		if (guest->kind == GUEST_MACHINE && guest->machine && view_equal_nocase(view_of(guest->machine->domain), domain))
			return guest->machine;
	return NULL;
}

/* What the file says for the domain, so that a line that was taken out of it counts at the next registration. */
static bool token_find(const struct relay_server *server, const char *domain, char token[WIRE_TOKEN_MAX + 1])
{
	AUTO_BUF text = buf_new(TOKENS_BYTES_MAX);
	struct err err = {0};
	bool found = false;
	struct stat facts;
	struct view rest;

	if (fstat(server->tokens, &facts) || !facts.st_nlink) {
		log_error("the file of tokens was replaced by another: nobody registers until the relay is started again");
		return false;
	}
	if (lseek(server->tokens, 0, SEEK_SET) || file_read_fd(server->tokens, &text, &err) || !text.length)
		return false;
	for (rest = buf_view(&text); rest.at && !found;) {
		struct view value;
		struct view name = view_cut(view_trim(view_cut(rest, '\n', &rest)), ' ', &value);

		value = view_trim(value);
		found = view_is(name, domain) && value.length >= WIRE_TOKEN_MIN && value.length <= WIRE_TOKEN_MAX;
		if (found)
			(void)snprintf(token, WIRE_TOKEN_MAX + 1, "%.*s", (int)value.length, value.at);
	}
	explicit_bzero(text.at, text.length);
	return found;
}

/* false: it is over. */
static bool guest_flush(struct guest *guest)
{
	ssize_t sent = send(guest->fd, guest->out.at, guest->out.length, MSG_NOSIGNAL);

	if (sent > 0)
		buf_drop_front(&guest->out, (size_t)sent);
	loop_watch_set(guest->server->loop, &guest->watch, guest->out.length ? LOOP_READ | LOOP_WRITE : LOOP_READ);
	return sent >= 0 || errno == EAGAIN || errno == EINTR;
}

/* A control connection that does not take it is none. */
static void control_say(struct guest *guest, enum wire_kind kind, struct view body)
{
	wire_add(&guest->out, kind, body);
	if (guest->out.over || !guest_flush(guest))
		guest_end(guest);
}

static void machine_claim(struct guest *guest, struct view domain)
{
	(void)snprintf(guest->domain, sizeof(guest->domain), "%.*s", (int)domain.length, domain.at);
	world_random(world_real, guest->challenge, sizeof(guest->challenge));
	control_say(guest, WIRE_CHALLENGE, view_make(guest->challenge, sizeof(guest->challenge)));
}

/* The machine that was registered before is another connection of the same one, which may not know that it is dead. */
static void machine_welcome(struct guest *guest, const char *token)
{
	struct relay_server *server = guest->server;
	struct machine *before = machine_find(server, view_of(guest->domain));

	if (before && before->control)
		guest_end(before->control);
	guest->machine = mem_new(sizeof(*guest->machine));
	guest->machine->control = guest;
	guest->machine->holders = 1;
	memcpy(guest->machine->domain, guest->domain, sizeof(guest->domain));
	(void)snprintf(guest->machine->token, sizeof(guest->machine->token), "%s", token);
	server->counts[guest->kind]--;
	guest->kind = GUEST_MACHINE;
	server->counts[guest->kind]++;
	loop_timer_stop(server->loop, &guest->timer);
	socket_keep(guest->fd);
	control_say(guest, WIRE_WELCOME, VIEW(""));
	log_info("domain=%s a machine is there", guest->domain);
}

static void machine_prove(struct guest *guest, struct view shown)
{
	unsigned char mac[WIRE_MAC_BYTES];
	char token[WIRE_TOKEN_MAX + 1] = {0};
	bool good = guest->domain[0] && token_find(guest->server, guest->domain, token);

	wire_mac(token, WIRE_PROOF, view_make(guest->challenge, sizeof(guest->challenge)), guest->domain, mac);
	good = wire_mac_same(mac, (const unsigned char *)shown.at) && good;
	if (good) {
		machine_welcome(guest, token);
	} else {
		log_warn("domain=%.60s a machine is refused: its token is not this domain's", guest->domain);
		control_say(guest, WIRE_REFUSED, VIEW("the token is not this domain's"));
		guest_end(guest); /* one try a connection */
	}
	explicit_bzero(token, sizeof(token));
}

/* ---- visits ---- */

static void visit_over(void *self)
{
	struct machine *machine = self;

	machine->visits--;
	machine_drop(machine);
}

/* `guest` has joined the visitor of that name; `after` is what it sent behind its frame. */
static void visit_join(struct guest *guest, struct view body, struct view after)
{
	struct relay_server *server = guest->server;
	unsigned char mac[WIRE_MAC_BYTES];
	struct guest *visitor = server->guests;
	struct machine *machine;

	while (visitor &&
	       (visitor->kind != GUEST_VISITOR || !visitor->machine || memcmp(visitor->name, body.at, WIRE_VISIT_BYTES) != 0))
		visitor = visitor->next;
	if (visitor)
		wire_mac(visitor->machine->token, WIRE_JOIN, view_make(visitor->name, WIRE_VISIT_BYTES), visitor->machine->domain,
			 mac);
	if (!visitor || !wire_mac_same(mac, (const unsigned char *)body.at + WIRE_VISIT_BYTES)) {
		guest_end(guest);
		return;
	}
	machine = visitor->machine;
	visitor->machine = NULL; /* the pair's now */
	machine->waiting--;
	loop_watch_remove(server->loop, &visitor->watch);
	loop_watch_remove(server->loop, &guest->watch);
	(void)pair_new(server->loop, (const int[2]){TAKE_FD(visitor->fd), TAKE_FD(guest->fd)},
		       (const struct view[2]){after, buf_view(&visitor->in)}, visit_over, machine, &(struct err){0});
	guest_end(visitor);
	guest_end(guest);
}

/* Says why in TLS: fatal, unrecognized_name (RFC 8446 6.2). */
static void visitor_refuse(struct guest *guest)
{
	static const unsigned char alert[] = {21, 3, 1, 0, 2, 2, 112};

	(void)!send(guest->fd, alert, sizeof(alert), MSG_NOSIGNAL);
	guest_end(guest);
}

/* "<env>.<domain>": one label before a domain that somebody is behind. */
static void visitor_read(struct guest *guest)
{
	AUTO_BUF scratch = buf_new(HELLO_BYTES_MAX * 2);
	struct relay_server *server = guest->server;
	struct machine *machine;
	struct view domain;
	struct view name;
	enum hello_result result = hello_parse(buf_view(&guest->in), &scratch, &name);

	if (result == HELLO_MORE && !guest->in.over)
		return;
	if (result != HELLO_DONE || guest->in.over || !view_cut(name, '.', &domain).length || !domain.at) {
		guest_end(guest);
		return;
	}
	machine = machine_find(server, domain);
	if (!machine || machine->visits >= RELAY_VISITS_MAX || machine->waiting >= RELAY_WAITING_MAX) {
		visitor_refuse(guest);
		return;
	}
	guest->machine = machine;
	machine->holders++;
	machine->visits++;
	machine->waiting++;
	world_random(world_real, guest->name, sizeof(guest->name));
	loop_watch_set(server->loop, &guest->watch, 0); /* what else it says waits in its socket */
	loop_timer_set(server->loop, &guest->timer, RELAY_JOIN_MS);
	control_say(machine->control, WIRE_VISIT, view_make(guest->name, sizeof(guest->name)));
}

/* ---- bytes ---- */

/* What one frame of a connection that is no machine's yet asks for; false: it is over, or another's. */
static bool frame_take(struct guest *guest, const struct wire *wire)
{
	bool claims = guest->domain[0];

	if (wire->kind == WIRE_JOIN && !claims)
		visit_join(guest, wire->body, view_make(guest->in.at + wire->bytes, guest->in.length - wire->bytes));
	else if (wire->kind == WIRE_REGISTER && !claims)
		machine_claim(guest, wire->body);
	else if (wire->kind == WIRE_PROOF && claims)
		machine_prove(guest, wire->body);
	else
		guest_end(guest);
	if (!guest->gone)
		buf_drop_front(&guest->in, wire->bytes);
	return !guest->gone && guest->kind == GUEST_STRANGER;
}

static void stranger_read(struct guest *guest)
{
	struct wire wire;
	enum wire_result result = WIRE_MORE;

	while (guest->in.length && (result = wire_parse(buf_view(&guest->in), &wire)) == WIRE_DONE)
		if (!frame_take(guest, &wire))
			return;
	if (result == WIRE_BAD || guest->in.over)
		guest_end(guest);
}

static void guest_ready(struct loop_watch *watch, unsigned events)
{
	struct guest *guest = (struct guest *)((char *)watch - offsetof(struct guest, watch));
	char bytes[READ_BYTES];
	ssize_t got;

	if ((events & LOOP_WRITE) && guest->out.length && !guest_flush(guest)) {
		guest_end(guest);
		return;
	}
	if (!(events & (LOOP_READ | LOOP_BROKEN)))
		return;
	got = events & LOOP_READ ? recv(guest->fd, bytes, sizeof(bytes), 0) : 0;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0 || guest->kind == GUEST_MACHINE) { /* a machine says nothing more */
		guest_end(guest);
		return;
	}
	buf_add(&guest->in, bytes, (size_t)got);
	if (guest->kind == GUEST_VISITOR)
		visitor_read(guest);
	else
		stranger_read(guest);
}

/* ---- doors ---- */

static void door_resume(struct loop_timer *timer)
{
	struct door *door = (struct door *)((char *)timer - offsetof(struct door, pause));

	loop_watch_set(door->server->loop, &door->watch, LOOP_READ);
}

static void door_ready(struct loop_watch *watch, unsigned events)
{
	struct door *door = (struct door *)((char *)watch - offsetof(struct door, watch));
	unsigned most = door->kind == GUEST_VISITOR ? VISITORS_MAX : RELAY_STRANGERS_MAX;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct err err;
		int fd;

		if (socket_accept(door->fd, &fd, &err)) {
			if (err.kind == ERR_RETRY)
				return;
			log_warn("%s", err.text);
			loop_watch_set(door->server->loop, watch, 0);
			loop_timer_set(door->server->loop, &door->pause, ACCEPT_PAUSE_MS);
			return;
		}
		if (door->server->counts[door->kind] >= most)
			(void)close(fd);
		else
			guest_begin(door->server, door->kind, fd);
	}
}

static int door_open(struct relay_server *server, struct door *door, enum guest_kind kind, const char *address, struct err *err)
{
	*door = (struct door){
		.server = server, .kind = kind, .fd = -1, .watch = {.ready = door_ready}, .pause = {.expired = door_resume}};
	return socket_listen_tcp(address, &door->fd, err) || loop_watch_add(server->loop, &door->watch, door->fd, LOOP_READ, err)
		       ? -1
		       : 0;
}

int relay_server_open(const struct relay_server_options *options, struct relay_server **server, struct err *err)
{
	struct relay_server *made = mem_new(sizeof(*made));

	made->loop = options->loop;
	made->tokens = options->tokens;
	made->doors[0].fd = made->doors[1].fd = -1;
	if (door_open(made, &made->doors[0], GUEST_VISITOR, options->visitors, err) ||
	    door_open(made, &made->doors[1], GUEST_STRANGER, options->machines, err)) {
		relay_server_close(made);
		return -1;
	}
	*server = made;
	return 0;
}

int relay_server_visitors_port(const struct relay_server *server)
{
	return socket_port(server->doors[0].fd);
}

int relay_server_machines_port(const struct relay_server *server)
{
	return socket_port(server->doors[1].fd);
}

void relay_server_close(struct relay_server *server)
{
	if (!server)
		return;
	while (server->guests)
		guest_end(server->guests);
	for (int i = 0; i < 2; i++) {
		loop_watch_remove(server->loop, &server->doors[i].watch);
		loop_timer_stop(server->loop, &server->doors[i].pause);
		scope_close(&server->doors[i].fd);
	}
	free(server);
}
