/*
 * import: a first assay.yaml from what a repository has: a compose file, a Procfile, a package.json. It is a beginning for a person to
 * read and mend: what could not be mapped is said, a line each, and nothing is guessed silently.
 */
#ifndef ASSAY_BLUEPRINT_IMPORT_H
#define ASSAY_BLUEPRINT_IMPORT_H

#include "base/buf.h"

/* Reads `dir` and appends the text of a blueprint that blueprint_parse accepts to `yaml`, and to `notes` one line (with its newline) for
 * each thing that was left out: "compose.yaml:12: services.web.devices: …". ERR_NOT_FOUND: there is nothing to begin with; ERR_INVALID: a
 * file cannot be read as what it is, or has no service with a command (`notes` then says why). Blocks on files; runs nothing. */
MUST_USE int blueprint_import(const char *dir, struct buf *yaml, struct buf *notes, struct err *err);

#endif
