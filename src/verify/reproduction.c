/* What a gate stands on. */
#include "verify/reproduction.h"

#include "base/scope.h"

bool reproduction_needs(const struct reproduction *reproduction, const char *gate)
{
	static const struct {
		const char *gate;
		const char *needs;
	} rows[] = {
		{"red-green", "tests"}, {"mutation", "tests"}, {"migrations", "replay"}, {"faults", "replay"}, {"race", "replay"}};

	if (strcmp(gate, "deploy") == 0 || strcmp(gate, reproduction->gate) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].gate, reproduction->gate) == 0 && strcmp(rows[i].needs, gate) == 0)
			return true;
	return false;
}
