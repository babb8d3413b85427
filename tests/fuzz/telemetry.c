/* Requests of OTLP. The first byte says which signal and coding; whatever follows, texts are valid UTF-8 within their maximum. */
#include <assert.h>
#include <stdlib.h>

#include "http/telemetry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void text_check(const char *text)
{
	struct view rest = view_of(text);

	assert(rest.length <= TELEMETRY_TEXT_MAX);
	while (rest.length) {
		size_t length = view_utf8_length(rest);

		if (!length)
			abort();
		rest = view_make(rest.at + length, rest.length - length);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_TELEMETRY telemetry = {0};
	AUTO_BUF plain = buf_new(TELEMETRY_BODY_MAX);
	struct view body;
	struct err err = {0};

	if (!size)
		return 0;
	body = view_make(data + 1, size - 1);
	if (data[0] & 4) {
		if (telemetry_gunzip(&plain, body, &err))
			return 0;
		body = buf_view(&plain);
	}
	if (telemetry_parse(data[0] & 1 ? TELEMETRY_LOGS : TELEMETRY_TRACES, data[0] & 2 ? TELEMETRY_JSON : TELEMETRY_PROTOBUF,
			    body, &telemetry, &err)) {
		if (err.kind != ERR_INVALID && err.kind != ERR_LIMIT)
			abort();
		assert(!telemetry.count);
	}
	for (size_t i = 0; i < telemetry.count; i++) {
		text_check(telemetry.items[i].service);
		text_check(telemetry.items[i].text);
		assert(telemetry.items[i].severity <= 24);
	}
	return 0;
}
