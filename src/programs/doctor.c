/* The provider's checks in the words of the API. */
#include "programs/doctor.h"

#include "sandbox/local/local.h"

json_t *doctor_items_of(const json_t *checks)
{
	json_t *items = json_array();
	size_t index;
	json_t *check;

	json_array_foreach(checks, index, check) {
		bool needed = strcmp(json_text(check, "level", "needed"), "needed") == 0;
		const char *status = json_flag(check, "ok", false) ? "ok" : needed ? "missing" : "warn";

		(void)json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:s}", "name", json_text(check, "check", ""),
							     "status", status, "what", json_text(check, "found", ""), "how",
							     json_text(check, "mend", "")));
	}
	return items;
}

json_t *doctor_items(const char *state_dir)
{
	AUTO_JSON checks = local_doctor(state_dir);

	return doctor_items_of(checks);
}
