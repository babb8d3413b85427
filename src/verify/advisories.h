/*
 * advisories: known defects of packages, read from files of the OSV schema (https://ossf.github.io/osv-schema/) that lie on this machine: nothing is
 * asked of anybody. The folder has one folder for each ecosystem (npm, PyPI, crates.io, Go, RubyGems, Packagist), with a file for each
 * advisory, as osv.dev hands them out.
 */
#ifndef ASSAY_VERIFY_ADVISORIES_H
#define ASSAY_VERIFY_ADVISORIES_H

#include "base/json.h"

#define ADVISORY_BYTES_MAX ((size_t)4 << 20)
#define ADVISORIES_FOUND_MAX ((size_t)10000) /* of one search: more are left out */
#define ADVISORIES_MAX ((size_t)2000000)     /* files of one ecosystem */

/* Which of two versions is older: negative, 0 or positive. Semantic versions, and what PyPI and RubyGems make of them: numbers by value, "rc" and the
 * like before the version itself, "post" behind it, missing parts are 0. */
int version_compare(struct view left, struct view right);

/* Is this version among those the advisory is about? */
bool advisory_affects(const json_t *advisory, const char *ecosystem, const char *name, const char *version);

/*
 * Looks packages ([{"ecosystem", "name", "version"}]) up. Appends {"package": its place in the list, "id", "summary", "severity": "critical", "high", "moderate",
 * "low", "malicious" or ""} to `found`, and the names of ecosystems of which there are none here to `missing` (an array, each once). Which
 * file speaks of which package is kept in `cache_dir` (NULL: nowhere) until the folder changes. Blocks: the first time as long as reading all files takes; when
 * *stop (NULL: never) becomes true it ends soon, with ERR_CANCELLED.
 */
MUST_USE int advisories_search(const char *dir, const char *cache_dir, const json_t *packages, json_t *found, json_t *missing,
			       const bool *stop, struct err *err);

#endif
