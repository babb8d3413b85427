/* assay_sqlite: the bytes of the program assay-sqlite, put into the binary at build time; every sandbox finds it in /usr/local/bin. */
#ifndef ASSAY_PROGRAMS_ASSAY_SQLITE_H
#define ASSAY_PROGRAMS_ASSAY_SQLITE_H

#include <stddef.h>

extern const unsigned char assay_sqlite_blob[];
extern const size_t assay_sqlite_blob_length;

#endif
