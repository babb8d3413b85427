/* blob: the bytes of the program assay-init, and of what gives a program another date (clock.c), put into the binary at build time. */
#ifndef ASSAY_SANDBOX_INIT_BLOB_H
#define ASSAY_SANDBOX_INIT_BLOB_H

#include <stddef.h>

extern const unsigned char init_blob[];
extern const size_t init_blob_length;
extern const unsigned char clock_blob[];
extern const size_t clock_blob_length;

#endif
