/* Envelopes: nothing that was not signed with the key is a record. */
#include "base/scope.h"
#include "verify/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A public key whose private half was thrown away. */
	static const char key[] =
		"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
	AUTO_JSON statement = NULL;
	AUTO_JSON last = NULL;
	struct err err;

	if (record_verify(view_make(data, size), VIEW(key), &statement, &err) == 0 ||
	    record_bundle_verify(view_make(data, size), VIEW(key), &last, &err) == 0)
		__builtin_trap();
	return 0;
}
