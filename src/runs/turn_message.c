/*
 * What people write while an agent works.
 *
 * Theory of operation: a message is a signal of the run, stored before anybody hears of it. Its moment is when the agent has a result and no
 * action is open; after a while it is given whatever the agent does. A program that talks is interrupted and told, in its process: the
 * message first becomes part of the stored prompt, so that a turn which is begun again after a crash knows it. Others are ended,
 * and the next turn resumes their session with the message. One that cannot resume ends its turn first.
 */
#include "base/log.h"
#include "base/scope.h"
#include "runs/remote.h"
#include "runs/turn_priv.h"

/* What waits, as a prompt; empty: nothing for the agent. In `tx`, which may be given up: then it still waits. */
static int waiting_take(struct turn *turn, struct store_tx *tx, struct buf *prompt, struct err *err)
{
	AUTO_JSON signals = NULL;

	if (flow_signals_take(tx, turn->run->id, &signals, err) || remote_given_in(tx, turn->run->id, err))
		return -1;
	prompt_messages(prompt, signals);
	return buf_finish(prompt, err);
}

static bool is_waiting(struct turn *turn)
{
	AUTO_BUF prompt = buf_new((size_t)4 << 20);
	struct err err = {0};
	AUTO_TX tx = {0};

	if (store_begin(turn->runs->store, &tx, &err) || waiting_take(turn, &tx, &prompt, &err)) {
		log_warn("run=%s messages: %s", turn->run->id, err.text);
		return false;
	}
	return prompt.length > 0;
}

/* The message becomes a part of the stored prompt, then it is said. */
static int tell(struct turn *turn, struct err *err)
{
	AUTO_BUF prompt = buf_new((size_t)4 << 20);
	AUTO_FREE char *whole = NULL;
	AUTO_TX tx = {0};

	if (store_begin(turn->runs->store, &tx, err) || flow_visit_held(&tx, turn->visit, err) ||
	    waiting_take(turn, &tx, &prompt, err))
		return -1;
	if (!prompt.length)
		return 0;
	whole = text_format("%s\n\n%s", turn->run->prompt ? turn->run->prompt : "", prompt.at);
	if (run_write(&tx, turn->run->id, "prompt = ?", VALUES(V(whole)), err) || store_commit(&tx, err))
		return -1;
	if (agent_parser_message(turn->parser, prompt.at, turn_sink(turn))) {
		event_note(turn->runs, turn->run->id, "the agent was interrupted and given the message");
		return 0;
	}
	return err_set(err, ERR_BROKEN, "the agent was not told");
}

/* A person did something about the run meanwhile: that need not wait for an opinion. */
static bool is_signalled(struct turn *turn)
{
	AUTO_JSON signals = NULL;
	AUTO_TX tx = {0};

	return !store_begin(turn->runs->store, &tx, NULL) && !flow_signals_take(&tx, turn->run->id, &signals, NULL) &&
	       json_array_size(signals) > 0;
}

void turn_message_deliver(struct turn *turn)
{
	int64_t signals = __atomic_load_n(&turn->runs->signals, __ATOMIC_SEQ_CST);
	int64_t now_ms = turn_now_ms(turn);
	struct err err = {0};

	if (signals != turn->signals) {
		turn->signals = signals;
		if (turn->opinion) {
			if (is_signalled(turn))
				__atomic_store_n(&turn->stop, true, __ATOMIC_SEQ_CST);
			return;
		}
		turn->wait_ms = is_waiting(turn) ? now_ms : 0;
	}
	if (turn->opinion || !turn->wait_ms || !agent_parser_session(turn->parser) || agent_parser_ended(turn->parser) ||
	    turn->interrupted || (!turn->safe && now_ms - turn->wait_ms < TURN_SAFE_WAIT_MS))
		return;
	if (turn->ops->message) {
		turn->wait_ms = 0;
		if (tell(turn, &err))
			log_warn("run=%s message: %s", turn->run->id, err.text);
	} else if (turn->ops->resumes) {
		turn->interrupted = true;
		event_note(turn->runs, turn->run->id, "the agent is interrupted: its session goes on with the message");
		__atomic_store_n(&turn->stop, true, __ATOMIC_SEQ_CST);
	}
}

int turn_message_next(struct turn *turn, bool *again, struct err *err)
{
	AUTO_BUF prompt = buf_new((size_t)4 << 20);
	AUTO_BUF whole = buf_new((size_t)16 << 20);
	AUTO_TX tx = {0};

	*again = false;
	if (store_begin(turn->runs->store, &tx, err) || flow_visit_held(&tx, turn->visit, err) ||
	    waiting_take(turn, &tx, &prompt, err))
		return -1;
	if (!prompt.length && !turn->costly)
		return 0;
	*again = true;
	if (turn->costly)
		prompt_go_on(&whole, turn->run->prompt ? turn->run->prompt : "");
	if (turn->costly && prompt.length)
		buf_add_text(&whole, "\n\n");
	buf_add_view(&whole, buf_view(&prompt));
	if (buf_finish(&whole, err) ||
	    run_write(&tx, turn->run->id,
		      "prompt = ?, reason = CASE WHEN ? THEN 'message' ELSE reason END, pending = ?, turn = turn + 1",
		      VALUES(V(buf_view(&whole)), V(prompt.length > 0), V(TURN_PENDING)), err))
		return -1;
	return store_commit(&tx, err);
}
