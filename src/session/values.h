/*
 * values: what stood where placeholders are (session/hide.h), kept by whoever replays sessions, and nowhere else: one file below the state
 * folder, 0600, sealed (AES-256-GCM) under the key that the placeholders are made with. Any thread of one process.
 */
#ifndef ASSAY_SESSION_VALUES_H
#define ASSAY_SESSION_VALUES_H

#include "session/hide.h"

#define VALUES_BYTES_MAX ((size_t)16 << 20)
#define VALUES_MAX ((size_t)100000)

/* What the vault signs for the key: its signature of one text is always the same (RFC 8032), and nobody else can make it. */
#define HIDE_KEY_TEXT "assay session secrets 1"
void hide_key_derive(struct hide_key *key, const unsigned char signature[64]);

bool values_exist(const char *state_dir);
/* {placeholder: value}, {} when there are none; owned by the caller. ERR_BROKEN: sealed under another key, or changed. */
json_t *values_read(const char *state_dir, const struct hide_key *key, struct err *err);
/* Adds to what is there. */
MUST_USE int values_add(const char *state_dir, const struct hide_key *key, const json_t *values, struct err *err);

#endif
