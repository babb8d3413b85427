/* broker: what engines without rows of their own have in common: nothing is loaded into them, dumped from them or settled in them. */
#ifndef ASSAY_DATA_BROKER_H
#define ASSAY_DATA_BROKER_H

#include "data/engine.h"

int broker_create(const struct engine_target *target, int fd, struct err *err);
int broker_loader(const struct engine_target *target, enum engine_form form, struct engine_program *program, bool *offline,
		  struct err *err);
int broker_dumper(const struct engine_target *target, const char *url, struct engine_program *program, enum engine_form *form,
		  struct err *err);
int broker_settle(const struct engine_target *target, int fd, struct err *err);
json_t *broker_mark(const struct engine_target *target, int fd, const struct engine_marking *marking,
		    struct err *err); /* all is looked at later */

#endif
