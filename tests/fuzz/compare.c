/* Two runs as JSON, with a line between them: the first is compared with itself and with the second, without judging what is none. */
#include "base/scope.h"
#include "verify/compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view second;
	struct view first = view_cut(view_make(data, size), '\n', &second);
	AUTO_JSON base = json_parse(first, NULL);
	AUTO_JSON head = second.at ? json_parse(second, NULL) : NULL;
	AUTO_JSON inside = json_pack("{s:s}", "front", "service");
	struct comparison *comparison;

	if (!base || !head)
		return 0;
	comparison = comparison_new(base, base, &(struct compare_options){.gate = "replay", .inside = inside});
	AUTO_JSON findings = comparison_judge(comparison, head);
	AUTO_JSON noise = comparison_noise(comparison);
	AUTO_JSON none = comparison_judge(comparison, base);

	if (!findings || !noise || json_array_size(none))
		__builtin_trap();
	comparison_free(comparison);
	return 0;
}
