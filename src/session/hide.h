/*
 * hide: secrets of a session taken out before it is kept, a placeholder in the place of each: "hidden-" and 24 hexadecimal digits of a keyed
 * hash (HMAC-SHA256). The same secret has the same placeholder wherever it stands, so what belongs together is still found (verify/replay.h);
 * whoever has not the key cannot tell what stood there, nor try guesses.
 *
 * A secret is: what follows a scheme in Authorization, the password of Basic, its user when there is none; cookies that stand for a person,
 * and long ones; values, and lists of them, under names that say so (session/secret_name.h) in headers, queries, forms and JSON, and in what
 * is JSON but for its end (session/pairs.h); the password in a URL; the signature of what has the form of a JWT, whose claims stay. What is a
 * secret in one place is hidden in every other, encoded by percent or base64, too.
 */
#ifndef ASSAY_SESSION_HIDE_H
#define ASSAY_SESSION_HIDE_H

#include "http/har.h"

#define HIDE_KEY_BYTES 32
#define HIDE_PREFIX "hidden-"
#define HIDE_DIGITS 24
#define HIDE_PLACEHOLDER_BYTES (sizeof(HIDE_PREFIX) - 1 + HIDE_DIGITS)
#define HIDE_SECRETS_MAX ((size_t)20000)

struct hide_key {
	unsigned char bytes[HIDE_KEY_BYTES];
};

/* Names (of headers, parameters, fields) whose values stay as they are: [text]; NULL: none. Returns {placeholder: value} of what was hidden,
 * for who may keep it; owned by the caller. */
json_t *session_hide(struct session *session, const struct hide_key *key, const json_t *keep);
/* {placeholder: value} put back: the text with the values, appended; in base64 runs, too. Returns how many placeholders there were, and, when
 * `unknown` is not NULL, sets it to how many of them have no value. */
size_t hide_undo(struct buf *out, struct view text, const json_t *values, size_t *unknown);

/* The next placeholder of the text, which goes on behind it. False: there is none. */
bool hide_next(struct view *text, struct view *placeholder);

#endif
