/*
 * adf: Atlassian's document format, which texts of Jira are in: made from the Markdown that is written here, and read as Markdown.
 * developer.atlassian.com/cloud/jira/platform/apis/document/structure; the schema is that of @atlaskit/adf-schema.
 *
 * What is made holds text, links to http and https, lists, code and tables: nothing of it can act. What is read is a stranger's: of any nesting
 * and any type, known or not; text is kept from what is not known.
 */
#ifndef ASSAY_TRACKERS_ADF_H
#define ASSAY_TRACKERS_ADF_H

#include "base/json.h"

#define ADF_MARKDOWN_BYTES_MAX \
	((size_t)30000) /* a comment of Jira has at most 32,767 characters; what is longer is cut, and says so */

/* Owned by the caller. */
json_t *adf_of_markdown(struct view markdown);
/* Puts a mention before everything else. */
void adf_mention_first(json_t *document, const char *id, const char *name);
/* Appends a picture that is somewhere else: its name, which is a link to `url`, and what is shown of it there. `name` is shown as it is. What
 * Markdown calls a picture is none: it would tell its host who reads it. */
void adf_picture_add(json_t *document, const char *name, const char *url);
/* `without` (may be NULL) is somebody whose mentions are left out. A text that is no document is taken as it is: webhooks may send one, with
 * mentions as [~accountid:ID]. */
void adf_text(const json_t *document, const char *without, struct buf *out);
/* Is this person mentioned in it? */
bool adf_mentions(const json_t *document, const char *id);

#endif
