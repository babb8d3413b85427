/*
 * login: a connection to a PostgreSQL server for which there is a credential. The sandbox logs in with a placeholder; when rules, a person where
 * they ask for one, and the ledger agree, the vault releases the password for that one login, and the gateway shows it to the server (egress/
 * postgres_login.h). From then on bytes pass, and statements are read along (seams/raw.h). No other password goes to such a server.
 *
 * A server outside is spoken to over TLS, verified for its name, or, below .internal, .test and .localhost, without: then it never gets the
 * password itself, only proofs of it, and neither does a database of the environment.
 *
 * In the ledger a login is a request with the method LOGIN_METHOD and the path "/database".
 */
#ifndef ASSAY_GATEWAY_EGRESS_LOGIN_H
#define ASSAY_GATEWAY_EGRESS_LOGIN_H

#include "gateway/flow.h"

#define LOGIN_CLIENT_MS 30000 /* until it has said who it is */
#define LOGIN_SERVER_MS 30000 /* until it is connected and convinced */

/* Does a credential of the environment log in there? */
bool login_is_due(const struct env *env, const char *host, uint16_t port);
/* To a host outside that the rules let through. `first` is what the client sent before. */
void login_begin(struct flow *flow, const char *host, uint16_t port, struct view first);
/* To a database of the environment. */
void login_begin_own(struct flow *flow, const struct name *name);

#endif
