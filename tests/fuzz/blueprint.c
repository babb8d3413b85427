/* assay.yaml: any bytes give a blueprint whose promises hold, or an error of one line. */
#include <stdlib.h>

#include "blueprint/blueprint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = {0};
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_make(data, size), "assay.yaml", &err);

	if (!blueprint) {
		check(err.kind != ERR_NONE && err.text[0] && !strchr(err.text, '\n'));
		return 0;
	}
	check(blueprint->name && blueprint->service_count);
	for (size_t i = 0; i < blueprint->service_count; i++) {
		const struct service *service = &blueprint->services[i];

		check((service->run.shell != NULL) != (service->run.argv != NULL));
		check(service->dir[0] != '/' && service->replicas >= 1);
		for (size_t j = 0; j < service->needs.count; j++)
			check(blueprint_service_find(blueprint, service->needs.at[j]) ||
			      blueprint_database_find(blueprint, service->needs.at[j]));
	}
	if (blueprint->preview.service)
		check(blueprint_service_find(blueprint, blueprint->preview.service)->port != 0);
	return 0;
}
