/*
 * picture: screenshots held against each other. What two pictures of the same version already differ in (clocks, carets, spinners) is masked; what is
 * left is told as regions, not as a percentage. Colours are compared as the eye sees them (YIQ), so that rounding and
 * anti-aliasing count for nothing. PNGs are of Chromium, which showed what the code under test wrote: they are read by libpng, and bounded.
 */
#ifndef ASSAY_VERIFY_PICTURE_H
#define ASSAY_VERIFY_PICTURE_H

#include "base/buf.h"

#define PICTURE_BYTES_MAX ((size_t)16 << 20)
#define PICTURE_SIDE_MAX 4096
#define PICTURE_REGIONS_MAX ((size_t)16)

struct region {
	int x, y, width, height; /* pixels */
};

/* Regions in which `head` differs from `base` and `base` not from `again`, largest first; their number. Pictures of different sizes differ as a whole. -1
 * when one is no PNG, or too large. */
int picture_compare(struct view base, struct view again, struct view head, struct region regions[PICTURE_REGIONS_MAX],
		    struct err *err);

#endif
