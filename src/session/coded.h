/* coded: texts inside of texts, encoded by base64 (both alphabets) or as the claims of a JWT. */
#ifndef ASSAY_SESSION_CODED_H
#define ASSAY_SESSION_CODED_H

#include "base/buf.h"

#define CODED_MIN ((size_t)12) /* shorter runs are words */
#define CODED_TEXT_MAX ((size_t)32 << 20)

/* The length of a JWT that begins at `at`, and where its signature does; 0: there is none. */
size_t coded_jwt_at(struct view text, size_t at, size_t *signature);
/* The claims of a JWT, or what a whole text of base64 stands for when that is text; appended. False: it is neither. */
bool coded_plain(struct buf *out, struct view text);
/* Appends the text; each run of base64 that stands for text is given to `change`, and, when that returns true, encoded again as it then is.
 * Without `tokens` the parts of a JWT are left alone: nobody could sign it again. Returns whether something was changed. */
bool coded_each(struct buf *out, struct view text, bool tokens, bool (*change)(void *self, struct buf *plain), void *self);

#endif
