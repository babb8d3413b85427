/* Answers of API servers and of what stands before them: the first byte chooses the code. */
#include <assert.h>

#include "sandbox/kubernetes/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned codes[] = {200, 401, 403, 404, 409, 410, 422, 429, 500, 504};
	struct view body = size ? view_make(data + 1, size - 1) : view_make("", 0);
	unsigned code = size ? codes[data[0] % (sizeof(codes) / sizeof(codes[0]))] : 0;
	struct kube_status status;
	struct kube_event event;
	struct err err = {.kind = ERR_NONE};

	kube_status_judge(code, NULL, body, &status);
	assert((status.meaning == KUBE_GOOD) == (code == 200));
	assert(status.wait_ms >= 0 && status.wait_ms <= KUBE_WAIT_MAX_MS);
	if (status.meaning != KUBE_GOOD) {
		(void)kube_status_err(&status, &err);
		assert(err.kind != ERR_NONE);
	}
	if (kube_event_parse(body, &event, NULL) == 0) {
		kube_status_judge_object(event.object, &status);
		assert(status.meaning != KUBE_GOOD);
		json_decref(event.object);
	}
	return 0;
}
