/* What src/web stands on, faked: see web_fakes.c. */
#ifndef ASSAY_TESTS_WEB_FAKES_H
#define ASSAY_TESTS_WEB_FAKES_H

#include <stdatomic.h>
#include <unistd.h>

#define FAKE_RUN "raaaaaaaaaa"
#define FAKE_ENV "ebbbbbbbbbb"
#define FAKE_COMMIT "0123456789012345678901234567890123456789"

extern struct store *fake_store; /* for what web/ keeps itself */
extern char fake_said[512];      /* the last thing that was asked for */
/* The machine's changes are so many issues, each with so many bytes besides; they were read so often. Any thread. */
extern atomic_int fake_changes, fake_change_bytes, fake_change_reads;

#endif
