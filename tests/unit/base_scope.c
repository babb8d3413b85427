/* What only the start needed is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

/* Of files that nobody wrote to: code, mostly. */
static long clean_kb(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	char line[256];
	long kb = 0;
	long one;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Shared_Clean: %ld kB", &one) == 1 || sscanf(line, "Private_Clean: %ld kB", &one) == 1)
			kb += one;
	(void)fclose(file);
	return kb;
}

static int pages_touch(struct dl_phdr_info *object, size_t size, void *sum)
{
	(void)size;
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		const volatile unsigned char *at = (const volatile unsigned char *)(object->dlpi_addr + segment->p_vaddr);

		for (size_t k = 0; segment->p_type == PT_LOAD && *object->dlpi_name == '/' && k < segment->p_memsz; k += 4096)
			*(unsigned *)sum += at[k];
	}
	return 0;
}

static void what_the_start_needed_is_given_back_and_all_goes_on(void **state)
{
	static const char *const constant = "a constant";
	static char written[] = "a variable";
	char *kept = text_copy("kept");
	unsigned sum = 0;
	long before;

	(void)state;
	(void)dl_iterate_phdr(pages_touch, &sum);
	before = clean_kb();
	written[0] = 'A';
	assert_true(before > 1500);
	mem_settle();
	assert_true(clean_kb() < before / 2);
	assert_string_equal(constant, "a constant");
	assert_string_equal(written, "A variable");
	assert_string_equal(kept, "kept");
	free(kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_start_needed_is_given_back_and_all_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
