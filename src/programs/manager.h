/* manager: what a service manager is told, as sd_notify(3) has it; without one, nothing happens. */
#ifndef ASSAY_PROGRAMS_MANAGER_H
#define ASSAY_PROGRAMS_MANAGER_H

void manager_tell(const char *state); /* "READY=1", "STOPPING=1" */

#endif
