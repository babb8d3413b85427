/* Reports of test runners: the first byte chooses the format; whatever follows ends in a list or in a refusal. */
#include "verify/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum report_format formats[] = {REPORT_JUNIT, REPORT_TAP, REPORT_CTRF, REPORT_JSON};
	AUTO_REPORT report = {0};
	struct err err;

	if (!size)
		return 0;
	if (report_parse(formats[data[0] % 4], view_make(data + 1, size - 1), &report, &err) == 0)
		for (size_t i = 0; i < report.count; i++)
			if (!report.cases[i].name || !report.cases[i].suite || !report.cases[i].message)
				__builtin_trap();
	return 0;
}
