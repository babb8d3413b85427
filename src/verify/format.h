/*
 * format: what a value looks like, whatever it is just now. Two runs of the same code give other ids, tokens and times; such a field is
 * not ignored: its *format* must still agree. A mask is a text with placeholders for what changes: "order-<number>", "<uuid>",
 * "Bearer <hex:40>"; "<<" is a literal "<".
 */
#ifndef ASSAY_VERIFY_FORMAT_H
#define ASSAY_VERIFY_FORMAT_H

#include "base/json.h"

#define FORMAT_TEXT_MAX ((size_t)4096) /* of longer texts only the beginning is looked at */

/* Appends the mask of a text: <uuid>, <timestamp>, <date>, <jwt>, <token>, <hex:LENGTH>, <number>. */
void format_mask(struct buf *out, struct view text);
/* Has the text the form of the mask? */
bool format_matches(struct view mask, struct view text);
/* Appends one path segment, or ":id" when it is a number, a UUID, a hash or a token. */
void format_segment(struct buf *out, struct view segment);
/* "/orders/17/lines?x=1" becomes "/orders/:id/lines". */
void format_path(struct buf *out, struct view url);

/*
 * The class of a field that differed between runs of the same code: {"class": "format", "mask", "sample"}, {"class": "number",
 * "min", "max", "integer"}, {"class": "boolean"}, {"class": "text"}, {"class": "any"}.
 */
/* Widens a class (NULL: none yet) so that the value is in it. Owned by the caller. */
json_t *class_join(const json_t *class_, const json_t *value);
/* Is the value in the class? A field of class "any" may be anything. */
bool class_has(const json_t *class_, const json_t *value);
/* "uuid", "number 3 to 9", "order-<number>": for people. */
void class_describe(struct buf *out, const json_t *class_);

#endif
