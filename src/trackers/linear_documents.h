/* linear_documents: the bytes of linear.graphql, put into the binary at build time. */
#ifndef ASSAY_TRACKERS_LINEAR_DOCUMENTS_H
#define ASSAY_TRACKERS_LINEAR_DOCUMENTS_H

#include <stddef.h>

extern const unsigned char linear_documents[];
extern const size_t linear_documents_length;

#endif
