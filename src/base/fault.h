/*
 * fault: named places where a test makes the program fail, as if the machine had stopped there. The product never sets the hook,
 * so a place costs one load.
 */
#ifndef ASSAY_BASE_FAULT_H
#define ASSAY_BASE_FAULT_H

#include <stdbool.h>
#include <stddef.h>

/* Set by tests before threads start; true makes the place fail. */
extern bool (*fault_hook)(const char *name);

#define FAULT(name) (fault_hook && fault_hook(name))

#endif
