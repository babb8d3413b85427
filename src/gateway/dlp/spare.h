/*
 * spare: what a thread has used for scanning and keeps to use again: buffers, so that ordinary text is scanned without allocating. What
 * they hold is overwritten when they are given back.
 */
#ifndef ASSAY_GATEWAY_DLP_SPARE_H
#define ASSAY_GATEWAY_DLP_SPARE_H

#include "base/buf.h"

#define SPARE_BUFS 24
#define SPARE_BUF_BYTES_MAX ((size_t)512 << 10) /* larger ones are not kept */

/* Empty, of at most `length_max` bytes; to be given back by the same thread. */
struct buf spare_buf(size_t length_max);
void spare_buf_put(struct buf *buf);
#define SPARE_BUF __attribute__((cleanup(spare_buf_put))) struct buf

/* `length` bytes, the same each time, not zeroed; who gives them back (NULL is fine) has overwritten what was in them. */
char *spare_block(size_t length);
void spare_block_put(char *block);

#endif
