/* WebSocket frames, whole and byte by byte, which must agree; what was read is written and read again. The first byte says how. */
#include <assert.h>
#include <stdlib.h>

#include "base/scope.h"
#include "http/websocket.h"

#define MESSAGE_BYTES_MAX (4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct record {
	struct buf bytes;  /* of all messages and control frames */
	struct buf frames; /* the same, written again */
	bool masked;
};

static const unsigned char mask[4] = {1, 2, 3, 4};

static void on_data(void *self, enum websocket_opcode opcode, struct view bytes, bool first, bool last)
{
	struct record *record = self;

	if (first)
		buf_add_char(&record->bytes, (char)('0' + opcode));
	buf_add_view(&record->bytes, bytes);
	if (last)
		buf_add_char(&record->bytes, '.');
	websocket_frame_write(&record->frames, opcode, first, last, record->masked ? mask : NULL, bytes);
}

static void on_control(void *self, enum websocket_opcode opcode, struct view payload)
{
	struct record *record = self;

	buf_add_char(&record->bytes, (char)('0' + opcode));
	buf_add_view(&record->bytes, payload);
	websocket_frame_write(&record->frames, opcode, true, true, record->masked ? mask : NULL, payload);
}

static const struct websocket_events events = {on_data, on_control};

static int record_read(struct record *record, unsigned how, struct view bytes, size_t step)
{
	const struct websocket_spec spec = {.masked = how & 1,
					    .deflate = how & 2,
					    .no_context_takeover = how & 4,
					    .message_bytes_max = MESSAGE_BYTES_MAX,
					    .events = &events,
					    .self = record};
	struct websocket_reader *reader = websocket_reader_new(&spec);
	int failed = 0;

	*record = (struct record){buf_new(BUF_MAX_DEFAULT), buf_new(BUF_MAX_DEFAULT), how & 1};
	while (!failed && bytes.length) {
		size_t used = bytes.length < step ? bytes.length : step;

		failed = websocket_read(reader, view_make(bytes.at, used), NULL);
		bytes = view_make(bytes.at + used, bytes.length - used);
	}
	websocket_reader_free(reader);
	return failed;
}

static void record_fini(struct record *record)
{
	buf_fini(&record->bytes);
	buf_fini(&record->frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record whole, bytewise, again;
	AUTO_BUF offers = buf_new(BUF_MAX_DEFAULT);
	struct websocket_deflate deflate;
	struct view bytes;
	int failed;

	if (!size)
		return 0;
	bytes = view_make(data + 1, size - 1);
	if (data[0] & 8) {
		if (!websocket_offers_filter(bytes, &offers, NULL) && offers.length) {
			AUTO_BUF second = buf_new(BUF_MAX_DEFAULT);

			assert(!websocket_offers_filter(buf_view(&offers), &second, NULL));
			assert(view_equal(buf_view(&offers), buf_view(&second)));
		}
		assert(!websocket_deflate_parse(bytes, &deflate, NULL) || !deflate.agreed);
		return 0;
	}
	failed = record_read(&whole, data[0], bytes, SIZE_MAX);
	assert(record_read(&bytewise, data[0], bytes, 1) == failed);
	if (!failed)
		assert(view_equal(buf_view(&whole.bytes), buf_view(&bytewise.bytes)));
	if (!failed && !whole.frames.over) {
		assert(!record_read(&again, data[0] & 1, buf_view(&whole.frames), SIZE_MAX));
		assert(view_equal(buf_view(&whole.bytes), buf_view(&again.bytes)));
		record_fini(&again);
	}
	record_fini(&whole);
	record_fini(&bytewise);
	return 0;
}
