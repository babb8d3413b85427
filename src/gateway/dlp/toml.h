/*
 * toml: the part of TOML 1.0 that configuration files of scanners use, as JSON: tables, arrays of tables, dotted and quoted keys, all four
 * kinds of strings, whole and decimal numbers, truths, arrays. Dates and inline tables are refused, as is everything else.
 */
#ifndef ASSAY_GATEWAY_DLP_TOML_H
#define ASSAY_GATEWAY_DLP_TOML_H

#include "base/json.h"

#define TOML_BYTES_MAX ((size_t)4 << 20)
#define TOML_DEPTH_MAX 16

/* Owned by the caller. Errors are "line N: …". */
json_t *toml_parse(struct view text, struct err *err);

#endif
