/*
 * packages: what a repository depends on, as its lock files say: npm, yarn, pnpm, pip, poetry, uv, cargo, go, bundler, composer. Text and JSON only; nothing
 * of a package manager runs. Lock files are written by whoever wrote the change: what cannot be read is left out, and sizes are bounded.
 */
#ifndef ASSAY_VERIFY_PACKAGES_H
#define ASSAY_VERIFY_PACKAGES_H

#include "base/json.h"

#define PACKAGES_BYTES_MAX ((size_t)32 << 20) /* of one lock file */
#define PACKAGES_MAX ((size_t)50000)          /* of one lock file; more are left out */

/* Is it a lock file that packages_read() reads? */
bool packages_locked(const char *path);

/* Adds what the file at `path` locks to `packages`, an object: {"npm left-pad 1.3.0": {"ecosystem" (as OSV names it), "name", "version",
 * "licence"?: SPDX, "script"?: true when it runs code as it is installed, "from"?: where it comes from, when that is not its
 * registry}}. False when something of it was left out. */
bool packages_read(const char *path, struct view text, json_t *packages);

#endif
