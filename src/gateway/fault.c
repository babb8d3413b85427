/* The faults of an environment, few, in a table. */
#include "gateway/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "gateway/door.h"

#define SLOW_DEFAULT_MS 1000
#define FOR_EVER (-1)

static const char *const kind_names[] = {"hang", "slow", "reset", "lost", "503"};

struct fault {
	char *from; /* "": every caller */
	char *to;
	enum fault_kind kind;
	int64_t ms;
	int64_t left; /* FOR_EVER, or how often it is still to be met */
	int64_t met;
};

struct faults {
	struct fault at[FAULTS_MAX];
	size_t count;
};

static void fault_fini(struct fault *fault)
{
	free(fault->from);
	free(fault->to);
}

void faults_free(struct faults *faults)
{
	for (size_t i = 0; faults && i < faults->count; i++)
		fault_fini(&faults->at[i]);
	free(faults);
}

json_t *faults_list(const struct env *env)
{
	json_t *items = json_array();

	for (size_t i = 0; env->faults && i < env->faults->count; i++) {
		const struct fault *fault = &env->faults->at[i];
		json_t *item = json_pack("{s:s, s:s, s:I}", "to", fault->to, "kind", kind_names[fault->kind], "met",
					 (json_int_t)fault->met);

		if (*fault->from)
			json_set_bytes(item, "from", view_of(fault->from));
		if (fault->kind == FAULT_SLOW)
			(void)json_object_set_new(item, "ms", json_integer(fault->ms));
		if (fault->left != FOR_EVER)
			(void)json_object_set_new(item, "left", json_integer(fault->left));
		(void)json_array_append_new(items, item);
	}
	return items;
}

/* ---- what is held ---- */

static void flow_resume(struct flow *flow)
{
	void (*resume)(struct flow * flow) = flow->held;

	flow->held = NULL;
	flow_timer(flow, -1, NULL);
	if (resume)
		resume(flow);
}

static void flow_hold(struct flow *flow, void (*resume)(struct flow *flow), int64_t after_ms)
{
	flow->held = resume;
	if (after_ms >= 0)
		flow_timer(flow, after_ms, flow_resume);
}

static bool same_seam(const struct fault *fault, const char *from, const char *to)
{
	return strcmp(fault->to, to) == 0 && strcmp(fault->from, from) == 0;
}

/* All faults of the seam end (`to` NULL: all of the environment), and what they held goes on. */
static void faults_clear(struct env *env, const char *from, const char *to)
{
	struct faults *faults = env->faults;
	size_t kept = 0;
	struct flow *next;

	for (size_t i = 0; faults && i < faults->count; i++) {
		if (!to || same_seam(&faults->at[i], from, to))
			fault_fini(&faults->at[i]);
		else
			faults->at[kept++] = faults->at[i];
	}
	if (faults)
		faults->count = kept;
	for (struct flow *flow = env->flows; flow; flow = next) {
		next = flow->next;
		if (!flow->held || (to && (strcmp(flow->to, to) != 0 || (*from && strcmp(flow->from, from) != 0))))
			continue;
		flow_resume(flow);
		flow_update_later(flow);
	}
}

/* ---- what is met ---- */

/* Which kinds can be met here, as bits. */
#define KIND_BIT(kind) (1U << (kind))
#define KINDS_ALL (KIND_BIT(FAULT_NONE) - 1)

static struct fault *fault_meet(struct flow *flow, unsigned kinds)
{
	struct faults *faults = flow->env ? flow->env->faults : NULL;

	for (size_t i = 0; faults && flow->to && i < faults->count; i++) {
		struct fault *fault = &faults->at[i];

		if (!fault->left || !(kinds & KIND_BIT(fault->kind)) || strcmp(fault->to, flow->to) != 0 ||
		    (*fault->from && strcmp(fault->from, flow->from) != 0))
			continue;
		fault->met++;
		fault->left -= fault->left > 0;
		return fault;
	}
	return NULL;
}

enum fault_kind fault_take(struct flow *flow, int64_t *ms)
{
	const struct fault *fault = fault_meet(flow, KINDS_ALL);

	*ms = fault ? fault->ms : 0;
	return fault ? fault->kind : FAULT_NONE;
}

static void http_resume(struct flow *flow)
{
	struct http_seam *seam = http_seam_of(flow);

	if (!seam)
		return;
	if (env_stub(flow->env, flow->to))
		http_seam_answer(seam, 503, "", VIEW("assay: this hung by a fault that was cleared\n"), "fault: hang");
	else
		http_seam_go(seam);
}

static bool client_left(const struct flow *flow)
{
	const struct leg *leg = &flow->legs[SIDE_CLIENT];
	char byte;

	return leg->ended || (!leg->tls && recv(leg->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0);
}

/* What hung goes on for who still waits for it; for who has left it was never answered. */
static void http_hung(struct flow *flow)
{
	if (client_left(flow))
		flow_close(flow, "fault: hang");
	else
		http_resume(flow);
}

enum http_verdict fault_request(struct http_seam *seam)
{
	const struct fault *fault = fault_meet(seam->flow, KINDS_ALL);

	if (!fault)
		return HTTP_PASS;
	switch (fault->kind) {
	case FAULT_HANG:
		flow_hold(seam->flow, http_hung, -1);
		return HTTP_WAIT;
	case FAULT_SLOW:
		flow_hold(seam->flow, http_resume, fault->ms);
		return HTTP_WAIT;
	case FAULT_RESET:
		flow_close(seam->flow, "fault: reset");
		return HTTP_WAIT;
	case FAULT_LOST:
		seam->lose = true;
		return HTTP_PASS;
	case FAULT_503:
	case FAULT_NONE:
		break;
	}
	http_seam_answer(seam, 503, "Retry-After: 1\r\n", VIEW("assay: a fault of this environment answers 503\n"), "fault: 503");
	return HTTP_ANSWER;
}

bool fault_holds(struct flow *flow, void (*resume)(struct flow *flow))
{
	const struct fault *fault = flow->held ? NULL : fault_meet(flow, KINDS_ALL & ~KIND_BIT(FAULT_LOST));

	if (flow->held)
		return true;
	if (!fault)
		return false;
	if (fault->kind == FAULT_RESET)
		flow_close(flow, "fault: reset");
	else
		flow_hold(flow, resume, fault->kind == FAULT_SLOW ? fault->ms : -1);
	return true;
}

bool fault_loses(struct flow *flow)
{
	if (!fault_meet(flow, KIND_BIT(FAULT_LOST)))
		return false;
	flow_close(flow, "fault: the acknowledgement was lost");
	return true;
}

/* ---- changes ---- */

static int seam_parse(struct env *env, const char *seam, char **from, char **to, struct err *err)
{
	const char *arrow = strstr(seam, "->");
	struct name *name;

	*from = arrow ? view_copy(view_trim(view_make(seam, (size_t)(arrow - seam)))) : text_copy("");
	*to = view_copy(view_trim(view_of(arrow ? arrow + 2 : seam)));
	name = env_name(env, *to);
	if (**from && strcmp(*from, "workspace") != 0 && !env_name(env, *from) && !door_find(env, *from))
		return err_set(err, ERR_NOT_FOUND, "no service `%.60s` in this environment", *from);
	if (!name && !env_stub(env, *to))
		return err_set(err, ERR_NOT_FOUND, "no service, database or stub `%.60s` in this environment", *to);
	return 0;
}

/* Does it give a message again whose acknowledgement did not come? */
static bool redelivers(const struct name *name)
{
	return name && (name->protocol == PROTOCOL_AMQP || name->protocol == PROTOCOL_NATS || name->protocol == PROTOCOL_REDIS);
}

static int fault_put(struct env *env, enum fault_kind kind, const char *from, const char *to, const json_t *body, struct err *err)
{
	const struct name *name = env_name(env, to);
	bool once = kind == FAULT_503 || kind == FAULT_RESET || kind == FAULT_LOST;
	int64_t times = json_number(body, "times", once ? 1 : 0);
	int64_t ms = json_number(body, "ms", SLOW_DEFAULT_MS);

	if (ms < 0 || ms > FAULT_MS_MAX || times < 0)
		return err_set(err, ERR_INVALID, "`ms` is at most %d, and `times` not negative", FAULT_MS_MAX);
	if ((kind == FAULT_503 || (kind == FAULT_LOST && !redelivers(name))) && name && name->protocol != PROTOCOL_GUESS)
		return err_set(
			err, ERR_INVALID,
			"a database's seam has no such fault: hang, slow or reset; lost, where it is RabbitMQ, NATS or Redis");
	if (kind == FAULT_SLOW && !name)
		return err_set(err, ERR_INVALID, "a stub is not slow: hang, reset, lost or 503");
	faults_clear(env, from, to);
	if (!env->faults)
		env->faults = mem_new(sizeof(*env->faults));
	if (env->faults->count == FAULTS_MAX)
		return err_set(err, ERR_LIMIT, "an environment has at most %d faults: clear some", FAULTS_MAX);
	env->faults->at[env->faults->count++] = (struct fault){
		.from = text_copy(from), .to = text_copy(to), .kind = kind, .ms = ms, .left = times ? times : FOR_EVER};
	return 0;
}

int faults_change(struct env *env, const json_t *body, struct err *err)
{
	const char *kind = json_text(body, "kind", "");
	const char *seam = json_text(body, "seam", "");
	AUTO_FREE char *from = NULL;
	AUTO_FREE char *to = NULL;

	if (strcmp(kind, "list") == 0)
		return 0;
	if (strcmp(kind, "clear") == 0 && !*seam) {
		faults_clear(env, NULL, NULL);
		return 0;
	}
	if (seam_parse(env, seam, &from, &to, err))
		return -1;
	if (strcmp(kind, "clear") == 0) {
		faults_clear(env, from, to);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(kind_names); i++)
		if (strcmp(kind_names[i], kind) == 0)
			return fault_put(env, (enum fault_kind)i, from, to, body, err);
	return err_set(err, ERR_INVALID, "no fault `%.40s`: hang, slow, reset, lost or 503", kind);
}
