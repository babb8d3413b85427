/* What RabbitMQ and NATS do alike. */
#include "data/broker.h"

int broker_create(const struct engine_target *target, int fd, struct err *err)
{
	(void)target;
	(void)fd;
	(void)err;
	return 0;
}

int broker_loader(const struct engine_target *target, enum engine_form form, struct engine_program *program, bool *offline,
		  struct err *err)
{
	(void)form;
	(void)program;
	*offline = false;
	return err_set(err, ERR_INVALID, "%s loads no files: give a seed of `exec:`, or let services declare their queues",
		       target->ops->name);
}

int broker_dumper(const struct engine_target *target, const char *url, struct engine_program *program, enum engine_form *form,
		  struct err *err)
{
	(void)url;
	(void)program;
	(void)form;
	return err_set(err, ERR_INVALID, "%s cannot be copied from a running server", target->ops->name);
}

int broker_settle(const struct engine_target *target, int fd, struct err *err)
{
	(void)target;
	(void)fd;
	(void)err;
	return 0;
}

json_t *broker_mark(const struct engine_target *target, int fd, const struct engine_marking *marking, struct err *err)
{
	(void)target;
	(void)fd;
	(void)marking;
	(void)err;
	return json_object();
}
