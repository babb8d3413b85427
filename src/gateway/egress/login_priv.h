/* login_priv: what the files of login share: the client's side and what is between (login.c), the server's side (login_server.c). */
#ifndef ASSAY_GATEWAY_EGRESS_LOGIN_PRIV_H
#define ASSAY_GATEWAY_EGRESS_LOGIN_PRIV_H

#include "gateway/egress/broker.h"
#include "gateway/egress/login.h"
#include "gateway/egress/postgres_login.h"
#include "gateway/egress/record.h"
#include "gateway/policy/host.h"

#define STATUS_DONE 200

#define CODE_PROTOCOL "08P01" /* SQLSTATEs: appendix A of PostgreSQL's manual */
#define CODE_UNREACHABLE "08001"
#define CODE_DENIED "28000"
#define CODE_PASSWORD "28P01"
#define CODE_NOT_NOW "57P03"

enum login_state { STARTING, MINTING, SECURING, ASKING, WAITING, ASKING_TLS, SECURING_SERVER, PROVING, CANCELLING };

struct login_job {
	struct loop *loop;
	struct login *owner; /* loop only; NULL: nobody waits any more */
	struct postgres_auth *auth;
};

struct login {
	struct flow *flow;
	bool own; /* a database of the environment */
	bool over;
	bool secured; /* the client speaks TLS */
	bool cancels; /* it only wants a statement cancelled */
	enum login_state state;
	char host[HOST_NAME_MAX_BYTES];
	struct buf input;  /* of the client, not read yet */
	struct buf packet; /* its start-up packet */
	struct buf server; /* of the server, not read yet */
	char path[POSTGRES_DATABASE_MAX + 1];
	char user[POSTGRES_DATABASE_MAX];
	struct egress_request request;
	struct egress_verdict verdict;
	uint64_t number;
	struct ledger_wait intent;
	bool intent_waits, intent_kept;
	struct broker *broker; /* a reference */
	struct broker_plan plan;
	struct hold_waiter *hold;
	struct release_ask *ask;
	struct mint_ask *mint;
	struct dial *dial;
	struct postgres_auth *auth;
	struct login_job *job; /* has `auth` meanwhile */
};

/* ---- login.c ---- */

/* What it came to is told: rows and the log. Once. */
void login_told(struct login *login, unsigned status, const char *error);
/* The client hears why, as its protocol says it, and it is over. */
void login_refuse_for(struct login *login, const char *code, unsigned status, const char *rule, const char *why,
		      const char *remedy);

/* ---- login_server.c ---- */

void login_dial(struct login *login);
/* Goes on with what came of the server. */
void login_server_take(struct login *login);
/* Says to the server what the client said; `clear`: it may have the password. */
void login_introduce(struct login *login, bool clear);

#endif
