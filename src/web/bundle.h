/* bundle: modules that name each other, as one script that a browser has with one request.
 *
 * Each becomes a function that is called once, behind those it imports, and gives back what it exports; nothing else of it is seen by the
 * others. Understood is what our own pages are written in, each statement from the first column of its line: `import {a, b as c} from`,
 * `import name from` a relative path, and `export` before `const`, `class`, `function` and `async function`, `default` before a function.
 * Anything else that begins so, and modules in a circle, are ERR_INVALID. */
#ifndef ASSAY_WEB_BUNDLE_H
#define ASSAY_WEB_BUNDLE_H

#include "base/buf.h"

struct bundle_module {
	const char *name; /* "/pages/home.js" */
	struct view text;
	int place; /* in the script, from 1; bundle_make() sets it. 0: nobody imports it */
};

/* Adds the script that begins with the module `entry`. Those it took have a place afterwards. */
MUST_USE int bundle_make(struct bundle_module *modules, size_t count, const char *entry, struct buf *out, struct err *err);

#endif
