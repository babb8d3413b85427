/* prices: the bytes of prices.json, put into the binary at build time: dollars a million tokens, the first row whose pattern fits a model. */
#ifndef ASSAY_RUNS_PRICES_H
#define ASSAY_RUNS_PRICES_H

#include <stddef.h>

extern const unsigned char prices_blob[];
extern const size_t prices_blob_length;

#endif
