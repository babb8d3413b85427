/*
 * exchange_log: the file with an environment's exchanges, written by one thread for all of them, so that a slow disk never stops the
 * loop. What was added counts as in flight until it is written. When 64 MiB wait, adding blocks: evidence is not dropped.
 */
#ifndef ASSAY_GATEWAY_EXCHANGE_LOG_H
#define ASSAY_GATEWAY_EXCHANGE_LOG_H

#include "http/exchange.h"

struct log_writer;
struct exchange_log;

#define LOG_WAITING_BYTES_MAX ((size_t)64 << 20)

struct log_writer *log_writer_new(struct err *err);
void log_writer_free(struct log_writer *writer); /* writes what waits */

/* Only counts until it has a file. */
struct exchange_log *exchange_log_new(struct log_writer *writer);
/* What is written from now on goes there; the descriptor is the log's own. */
void exchange_log_file_set(struct exchange_log *log, int fd);
void exchange_log_release(struct exchange_log *log); /* closed when the last line is written */
void exchange_log_add(struct exchange_log *log, const struct exchange *exchange);
/* Lines added and not yet written; lines written. */
void exchange_log_counts(struct exchange_log *log, uint64_t *waiting, uint64_t *written);
/* Writes what was added so far now: lines wait for others, which are not to be expected. */
void exchange_log_hurry(struct exchange_log *log);

#endif
