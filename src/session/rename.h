/*
 * rename: a session with other names and amounts than were recorded: what the client made up (texts and numbers of JSON bodies that no answer
 * before gave, and no id) is replaced, the same by the same. Two versions that behave alike answer it alike, too; one that knows the recorded
 * answers, or one name among all, does not.
 */
#ifndef ASSAY_SESSION_RENAME_H
#define ASSAY_SESSION_RENAME_H

#include "http/har.h"

#define RENAME_PHASE "renamed" /* of every exchange */

/* Returns how many values were replaced; 0: the session is as it was. Requests with a secret in their body (a login) stay as they are. */
size_t session_rename(struct session *session);

#endif
