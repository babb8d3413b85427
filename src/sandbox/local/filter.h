/* filter: the system call filter of sandboxes, compiled at build time by filter_make. */
#ifndef ASSAY_SANDBOX_LOCAL_FILTER_H
#define ASSAY_SANDBOX_LOCAL_FILTER_H

#include <linux/filter.h>

extern const struct sock_filter filter_code[];
extern const unsigned short filter_length;

#endif
