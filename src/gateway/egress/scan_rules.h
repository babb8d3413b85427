/*
 * scan_rules: what an environment's traffic is scanned by: Assay's own rules, the blueprint's, over them the organisation's; the secrets that it is
 * known to have, the placeholders of its credentials, and the fingerprints of their values, which the vault is asked for. They are compiled on the pool, once for all environments that have the same; until
 * what was told last is in force, requests wait. What cannot be compiled lets nothing leave.
 *
 * A description is {"rules"?: [as `egress: dlp: rules:`], "gitleaks"?: text of a gitleaks.toml, "secrets"?: [{"name", "value"}]}.
 */
#ifndef ASSAY_GATEWAY_EGRESS_SCAN_RULES_H
#define ASSAY_GATEWAY_EGRESS_SCAN_RULES_H

#include "gateway/env.h"

#define SCAN_DESCRIPTION_BYTES_MAX ((size_t)8 << 20)

/* Begins to compile Assay's own; `cache_dir` NULL: compiled rules are kept nowhere. On the loop's thread, with the pool. */
void scan_begin(struct worker *worker, const char *cache_dir);
void scan_end(struct worker *worker); /* after the loop was drained */

/* Reads and checks a description from the file `fd` (-1: there is none), which stays the caller's: *description is NULL, or the caller's.
 * Blocks for some milliseconds. */
MUST_USE int scan_description_read(int fd, json_t **description, struct err *err);
/* Of an environment, or of the organisation: taken; NULL: none. What changes is in force before the next request. */
void scan_env_describe(struct env *env, json_t *description);
void scan_worker_describe(struct worker *worker, json_t *description);
/* A credential's value may be another now (NULL: any of them): its fingerprint is asked for before the next request. `self`: the worker. */
void scan_vault_changed(void *self, const char *credential);

enum scan_ready { SCAN_READY, SCAN_READY_SOON, SCAN_READY_NEVER };
/* Are they in force (env->dlp)? */
enum scan_ready scan_env_ready(struct env *env);
void scan_env_free(struct env *env);

#endif
