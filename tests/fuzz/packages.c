/* Lock files of every form: the first byte says which. */
#include <stddef.h>
#include <stdint.h>

#include "base/scope.h"
#include "verify/advisories.h"
#include "verify/packages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"package-lock.json", "yarn.lock", "pnpm-lock.yaml", "requirements.txt",
					    "Cargo.lock",        "go.sum",    "Gemfile.lock",   "composer.lock"};
	AUTO_JSON packages = json_object();
	const char *key;
	json_t *package;

	if (!size)
		return 0;
	(void)packages_read(paths[data[0] % ARRAY_LEN(paths)], view_make(data + 1, size - 1), packages);
	json_object_foreach(packages, key, package)
		(void)version_compare(view_of(json_text(package, "version", "")), view_of(key));
	return 0;
}
