/* What is outside: it fails in every way that such things do, and remembers what really happened. */
#include <stdio.h>

#include "sim.h"

/* ---- rooms ---- */

int room_count(const char *run)
{
	int count = 0;

	for (int i = 0; i < sim.room_count; i++)
		count += sim.rooms[i].alive && strcmp(sim.rooms[i].owner, run) == 0;
	return count;
}

int room_make(const char *run, struct err *err)
{
	if (chance(12))
		return err_set(err, ERR_RETRY, "no room free");
	if (chance(150))
		return err_set(err, ERR_INVALID, "the blueprint is wrong");
	if (sim.room_count == ROOMS_MAX)
		broken("too many rooms");
	(void)snprintf(sim.rooms[sim.room_count].owner, sizeof(sim.rooms[0].owner), "%s", run);
	sim.rooms[sim.room_count++].alive = true;
	if (chance(12))
		return err_set(err, ERR_RETRY, "the room was made, its answer lost");
	if (chance(25))
		crash_here();
	return 0;
}

int room_remove(const char *run, struct err *err)
{
	for (int i = 0; i < sim.room_count; i++)
		if (strcmp(sim.rooms[i].owner, run) == 0) {
			if (sim.rooms[i].alive && chance(10))
				return err_set(err, ERR_RETRY, "busy");
			sim.rooms[i].alive = false;
			if (chance(25))
				crash_here();
		}
	return 0;
}

/* ---- the forge ---- */

static struct effect *effect_find(const char *operation)
{
	for (int i = 0; i < sim.effect_count; i++)
		if (strcmp(sim.effects[i].operation, operation) == 0)
			return &sim.effects[i];
	return NULL;
}

static struct effect *effect_add(const struct outbox_effect *effect)
{
	struct effect *made = &sim.effects[sim.effect_count++];

	if (sim.effect_count == EFFECTS_MAX)
		broken("too many effects");
	(void)snprintf(made->operation, sizeof(made->operation), "%s", effect->operation);
	(void)snprintf(made->target, sizeof(made->target), "%s", effect->target);
	made->chatter = effect->chatter;
	return made;
}

static bool is_blocked(void)
{
	return stored("SELECT count(*) FROM outbox_tenant WHERE blocked_until_ms > ?", VALUES(V(sim.clock_ms)));
}

/* Calls of kind "plain" go to a service that does not know operations: whoever sends twice does it twice. */
int forge_send(void *self, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	struct effect *known = effect_find(effect->operation);
	bool plain = strcmp(effect->kind, "plain") == 0;

	(void)self;
	if (is_blocked())
		broken("%s was sent while the forge's limit was known", effect->operation);
	if (stored("SELECT count(*) FROM outbox WHERE target = ? AND status = 'queued' AND seq <"
		   " (SELECT seq FROM outbox WHERE operation = ?)",
		   VALUES(V(effect->target), V(effect->operation))))
		broken("%s was sent before what was put before it", effect->operation);
	if (chance(15))
		return err_set(err, ERR_RETRY, "502");
	if (chance(40)) {
		answer->blocked_until_ms = sim.clock_ms + 30000;
		return err_set(err, ERR_LIMIT, "429");
	}
	if (chance(30))
		crash_here();
	if (sim.current->dead)
		return err_set(err, ERR_CANCELLED, "dead");
	if (!known)
		known = effect_add(effect);
	else
		sim.resent++;
	if (!known->applied || plain)
		known->applied++;
	if (chance(15))
		return err_set(err, ERR_RETRY, "it happened, its answer was lost");
	if (chance(30))
		crash_here();
	(void)snprintf(answer->text, sizeof(answer->text), "%s", effect->operation);
	return sim.current->dead ? err_set(err, ERR_CANCELLED, "dead") : 0;
}

/* Only of those that do not know operations is it asked; the others are sent again. */
int forge_happened(void *self, const struct outbox_effect *effect, bool *did, struct outbox_answer *answer, struct err *err)
{
	const struct effect *known = effect_find(effect->operation);

	(void)self;
	if (is_blocked())
		broken("%s was asked for while the forge's limit was known", effect->operation);
	if (chance(20))
		return err_set(err, ERR_RETRY, "502");
	*did = known && known->applied && strcmp(effect->kind, "plain") == 0;
	(void)snprintf(answer->text, sizeof(answer->text), "%s", effect->operation);
	return 0;
}

/* ---- the network to us ---- */

void mail_send(const char *run, const char *kind, int nth)
{
	struct mail *mail = &sim.mails[sim.mail_count++];

	if (sim.mail_count == MAILS_MAX)
		broken("too many mails");
	(void)snprintf(mail->delivery, sizeof(mail->delivery), "d%d", sim.mail_count);
	(void)snprintf(mail->content, sizeof(mail->content), "%s/%s/%d", run, kind, nth);
	(void)snprintf(mail->run, sizeof(mail->run), "%s", run);
	mail->kind = kind;
	mail->due_ms = sim.clock_ms + (int64_t)pick(4000);
}

static void mail_accept(struct plane_sim *plane, struct mail *mail)
{
	char redelivered[40];
	struct inbox_message message = {.source = "forge",
					.delivery = mail->delivery,
					.content = mail->content,
					.stream = mail->run,
					.kind = mail->kind,
					.data = view_of(mail->run)};
	bool seen = false;

	if (chance(10)) { /* somebody pressed "redeliver": another name, the same content */
		(void)snprintf(redelivered, sizeof(redelivered), "%s-again", mail->delivery);
		message.delivery = redelivered;
	}
	sim.current = plane;
	if (inbox_accept(sim.store, sim_world(), &message, &seen, NULL))
		return; /* no answer: it comes again */
	sim.doubled += seen;
	mail->answered = !chance(6); /* else the answer is lost, or the network doubles it */
}

/* Some message that is due arrives, in any order. */
void mail_deliver(struct plane_sim *plane)
{
	int first = (int)pick((uint64_t)sim.mail_count + 1);

	if (plane->dead)
		return;
	for (int i = 0; i < sim.mail_count; i++) {
		struct mail *mail = &sim.mails[(first + i) % sim.mail_count];

		if (mail->answered || mail->due_ms > sim.clock_ms)
			continue;
		mail->due_ms = sim.clock_ms + 1000;
		if (!chance(5)) /* else it is lost on the way */
			mail_accept(plane, mail);
		return;
	}
}
