/* Sessions: any HAR file is learned from, and each of its requests can be made and told, with its own answers as the live ones. */
#include "base/scope.h"
#include "verify/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_SESSION session = {0};
	AUTO_JSON live = json_array();
	struct replay *replay;
	struct err err;

	if (har_parse(view_make(data, size), &session, &err))
		return 0;
	replay = replay_new(&session, "fuzz.har");
	for (size_t i = 0; i < replay_count(replay) && i < 20; i++) {
		AUTO_JSON request = replay_request(replay, i, live);
		AUTO_BUF script = buf_new((size_t)64 << 10);

		if (!request)
			__builtin_trap();
		replay_script(replay, i, "front", false, &script);
		(void)json_array_append_new(live, json_pack("{s:{s:i, s:[], s:s}}", "response", "status", 200, "headers", "body",
							    "{\"token\": \"a-live-token-0001\", \"id\": 2}"));
	}
	replay_free(replay);
	return 0;
}
