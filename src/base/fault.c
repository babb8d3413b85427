/* The hook of fault points. */
#include "base/fault.h"

bool (*fault_hook)(const char *name);
