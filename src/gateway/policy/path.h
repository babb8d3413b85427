/*
 * path: the one form of a request's path and query, in which it is judged and sent, and the patterns of rules.
 *
 * A path begins with one "/". Escapes of letters, digits, `-`, `.`, `_` and `~` are resolved, others written in upper case; then dot
 * segments are resolved. It has no such form, and is refused, with a byte that is no visible ASCII (or one of ` " < > \ ^ ` { | } #`
 * unescaped), an escape that is none, an escaped NUL or control byte, "//" at its front, a dot segment with parameters (`..;x`), a way
 * above its root, or more than PATH_BYTES_MAX bytes.
 *
 * Of some paths servers still disagree what they name: with "//" or an empty parameter inside, `;`, an escaped slash or backslash, or an
 * escaped "%" in front of two hexadecimal digits. These are kept as they are, and path_is_ambiguous() tells: who judges by path, refuses
 * them; who judges by host only (npm's `/@scope%2Fname`) need not.
 *
 * In a pattern `*` stays within one segment, but for the end of the pattern, where it stands for all that follows; `**` stands for
 * anything everywhere. Behind a `?` stands what the query must be, with `*` for anything. A pattern without one fits any query.
 */
#ifndef ASSAY_GATEWAY_POLICY_PATH_H
#define ASSAY_GATEWAY_POLICY_PATH_H

#include "base/buf.h"

#define PATH_BYTES_MAX ((size_t)8192)
#define PATH_QUERY_BYTES_MAX ((size_t)32768)
#define PATH_PATTERN_BYTES_MAX ((size_t)1024)
#define PATH_STARS_MAX 16 /* of a pattern: it is matched in time of at most length x length */

/* `target`: "/path?query". Appends the path to `path` and the query (without "?") to `query`, both empty before. *why is a constant for
 * people when there is no such form. */
bool path_canonical(struct view target, struct buf *path, struct buf *query, const char **why);
bool path_is_ambiguous(struct view path);

bool path_pattern_valid(struct view pattern);
/* `path` and `query` in their one form. `nocase`: letters of either case are the same (for rules that deny). */
bool path_matches(struct view pattern, struct view path, struct view query, bool nocase);

#endif
