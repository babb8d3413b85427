/* assay_env: the bytes of the program assay-env, put into the binary at build time; every sandbox finds it in /usr/local/bin. */
#ifndef ASSAY_PROGRAMS_ASSAY_ENV_H
#define ASSAY_PROGRAMS_ASSAY_ENV_H

#include <stddef.h>

extern const unsigned char assay_env_blob[];
extern const size_t assay_env_blob_length;

#endif
