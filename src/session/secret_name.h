/* secret_name: is what stands under this name a secret? By the name alone: "password", "X-Api-Key", "refreshToken"; not "token_type". */
#ifndef ASSAY_SESSION_SECRET_NAME_H
#define ASSAY_SESSION_SECRET_NAME_H

#include "base/buf.h"

bool secret_name(struct view name);
/* One whose numbers are secrets, too: a card's, a PIN. */
bool secret_name_of_number(struct view name);
/* A cookie that stands for who is signed in. */
bool secret_name_of_cookie(struct view name);

#endif
