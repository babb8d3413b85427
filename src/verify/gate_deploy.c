/* The first rung: both versions deploy, with the base's blueprint, on the same snapshot, and migrate. */
#include <stdlib.h>

#include "verify/ladder.h"
#include "verify/reproduction.h"

static void side_up(struct side *side)
{
	side->result = ladder_env_up(side, &side->err);
}

static void snapshot_set(struct ladder *ladder, const json_t *snapshot)
{
	json_decref(ladder->snapshot);
	free(ladder->pinned);
	ladder->snapshot = json_pack("{s:s, s:I, s:s}", "name", json_text(snapshot, "name", ""), "version",
				     (json_int_t)json_number(snapshot, "version", 0), "digest", json_text(snapshot, "digest", ""));
	ladder->pinned = text_format("%s/%lld", json_text(snapshot, "name", ""), (long long)json_number(snapshot, "version", 0));
}

/* The one of the record that is looked at again, when this machine has the same; owned by the caller. */
static json_t *snapshot_recorded(const struct ladder *ladder)
{
	const json_t *recorded = ladder->request->reproduction ? ladder->request->reproduction->snapshot : NULL;
	AUTO_FREE char *name = text_format("%s/%lld", json_text(recorded, "name", ""),
					   (long long)json_number(recorded, "version", 0));
	AUTO_JSON snapshot = json_is_object(recorded) ? snapshot_show(ladder->request->environments, name, NULL) : NULL;

	if (!snapshot || strcmp(json_text(snapshot, "digest", ""), json_text(recorded, "digest", "-")) != 0)
		return NULL;
	return json_incref(snapshot);
}

/* The version that everything is forked from, when there is one already. */
static void snapshot_pin(struct ladder *ladder)
{
	const struct blueprint *blueprint = ladder->blueprint;
	const char *name = blueprint->name;
	AUTO_JSON snapshot = blueprint->database_count ? snapshot_recorded(ladder) : NULL;

	if (snapshot) {
		snapshot_set(ladder, snapshot);
		return;
	}
	for (size_t i = blueprint->database_count; i > 0; i--)
		name = blueprint->databases[i - 1].snapshot ? blueprint->databases[i - 1].snapshot : name;
	snapshot = blueprint->database_count ? snapshot_show(ladder->request->environments, name, NULL) : NULL;
	if (snapshot)
		snapshot_set(ladder, snapshot);
}

/* The one that the base's seeds have just made. */
static void snapshot_pin_base(struct ladder *ladder)
{
	AUTO_JSON shown = environment_show(ladder->request->environments, ladder->base_env, NULL);
	const char *name = json_text(shown, "snapshot", NULL);
	AUTO_JSON snapshot = name ? snapshot_show(ladder->request->environments, name, NULL) : NULL;

	if (snapshot)
		snapshot_set(ladder, snapshot);
}

/* Both at once; but the base alone first when its seeds are still to be made into a snapshot: nothing of the head may be in it. */
static void sides_up(struct ladder *ladder, struct side *base, struct side *head)
{
	snapshot_pin(ladder);
	if (ladder->pinned || !ladder->blueprint->database_count) {
		sides_run(side_up, (struct side *const[]){base, head}, 2);
		ladder->base_env = base->env;
		return;
	}
	side_up(base);
	ladder->base_env = base->env;
	if (base->result)
		return;
	snapshot_pin_base(ladder);
	side_up(head);
}

int gate_deploy(struct ladder *ladder, struct gate *gate, struct err *err)
{
	struct side base = {.ladder = ladder, .gate = gate->name, .label = "base", .commit = &ladder->request->base};
	struct side head = {.ladder = ladder, .gate = gate->name, .label = "head", .commit = &ladder->request->head};
	AUTO_JSON got = json_object();
	AUTO_JSON expected = json_string("it deploys and every service becomes ready, as the base does");

	sides_up(ladder, &base, &head);
	ladder->head_env = head.env;
	ladder->deployed = !base.result && !head.result;
	if (base.result) {
		*err = base.err;
		return err_prefix(err, "the base does not deploy, so nothing can be compared");
	}
	if (!head.result)
		return 0;
	if (head.err.kind == ERR_CANCELLED || head.err.kind == ERR_RETRY) { /* ours, not the change's */
		*err = head.err;
		return -1;
	}
	json_set_bytes(got, "error", view_of(head.err.text));
	AUTO_FREE char *title = text_format("the change does not deploy: %.300s", head.err.text);
	json_t *made = finding_add(gate->findings,
				   &(struct finding){.gate = gate->name,
						     .kind = "deploy",
						     .place = "deploy",
						     .severity = SEVERITY_BLOCK,
						     .weight = 100,
						     .title = title,
						     .expected = expected,
						     .got = json_member(got, "error"),
						     .detail = "Tried twice, in fresh environments; the base deploys."},
				   NULL);
	if (made)
		(void)json_object_set_new(made, "reproduce", json_string("assay-env deploy"));
	if (made && head.err.kind == ERR_LIMIT) /* not ready in time; what ends or fails by itself is no delay's doing */
		(void)json_object_set_new(made, "timed", json_true());
	return 0;
}
