/*
 * browser: Chromium in the workspace of an environment, and what it shows of the preview's pages.
 *
 * Theory of operation: Chromium runs inside the sandbox, as locked in as the code it shows, and is spoken to over two pipes (the DevTools protocol,
 * --remote-debugging-pipe: JSON messages that end with a zero byte). All that comes back is hostile and bounded. A page is looked at when it
 * has loaded and nothing is under way any more.
 */
#ifndef ASSAY_VERIFY_BROWSER_H
#define ASSAY_VERIFY_BROWSER_H

#include "verify/ladder.h"

#define BROWSER_WIDTH 1280
#define BROWSER_HEIGHT 800
#define BROWSER_PAGES_MAX ((size_t)8)
#define BROWSER_LINES_MAX ((size_t)5000) /* of one page's accessibility tree */
#define BROWSER_PROBLEMS_MAX ((size_t)50)

/*
 * Looks at pages of a service of the environment: `paths` are ["/…"]; with `crawl`, those that they link to as well, up to BROWSER_PAGES_MAX, which
 * are appended to `paths`. Returns [{"path", "status", "html": bool, "lines": [role and name of what a screen reader says, in order], "problems":
 * [text: errors of the console, requests that failed], "png": base64}], owned by the caller. ERR_NOT_FOUND: there is no Chromium in the
 * workspace. Blocks.
 */
json_t *browser_look(struct ladder *ladder, struct env_id env, const char *origin, json_t *paths, bool crawl, struct err *err);

#endif
