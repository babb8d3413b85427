/* Bytes that are scanned: the first says which coding they are in, and in pieces of which size they come. */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/dlp/dlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const codings[] = {"", "gzip", "deflate", "br", "zstd", "gzip, gzip", "br, zstd", "identity"};
	static const struct dlp_secret secret = {"token", {"Zk8vQ2pLw7rTn5Yc1BxMd3GaHs6Jf0Kp", 32}};
	static struct dlp *dlp;
	struct dlp_message *message;
	uint64_t let_go = 0, fed = 0;
	size_t chunk;

	if (!dlp) {
		/* A few: compiling all of them takes a minute under the sanitizers. */
		AUTO_JSON few = json_pack("[{s:s,s:s,s:s},{s:s,s:s,s:s},{s:s,s:s,s:s,s:s},{s:s,s:s,s:s}]", "id", "a", "pattern",
					  "\\b(shop_[a-z0-9]{16,40})\\b", "entropy", "3", "id", "b", "near", "acme", "value",
					  "[a-f0-9]{32}", "id", "c", "pattern", "(-----BEGIN PRIVATE KEY-----[^-]{64,3800})",
					  "check", "key-block", "action", "hold", "id", "d", "pattern",
					  "\\b(eyJ[\\w\\-]{15,1000}\\.eyJ[\\w\\-]{15,2000})", "check", "jwt");
		struct dlp_rules *rules = dlp_rules_new(few, true, NULL, NULL);

		dlp = rules ? dlp_new(rules) : NULL;
		dlp_rules_unref(rules);
		if (!dlp || dlp_secrets_set(dlp, &secret, 1, NULL))
			abort();
	}
	if (!size)
		return 0;
	chunk = data[0] >> 3 ? (size_t)(data[0] >> 3) * 97 : 1;
	message = dlp_begin(dlp, DLP_BODY);
	dlp_coding(message, view_of(codings[data[0] & 7]));
	for (size_t at = 1; at < size; at += chunk) {
		size_t length = size - at < chunk ? size - at : chunk;
		uint64_t now = dlp_feed(message, view_make(data + at, length));

		fed += length;
		if (now > fed || (now < let_go && dlp_action(message) < DLP_HOLD))
			abort(); /* more than there is, or less than before */
		let_go = now;
	}
	dlp_end(message);
	dlp_free(message);
	return 0;
}
