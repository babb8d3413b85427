/* clock: how a program is told of another date (clock.c, loaded into it). */
#ifndef ASSAY_SANDBOX_INIT_CLOCK_H
#define ASSAY_SANDBOX_INIT_CLOCK_H

#define CLOCK_VARIABLE "ASSAY_CLOCK" /* "+MS", "-MS" or "=MS" */

#endif
