/* A segment of the ledger is bytes that somebody may have changed. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ledger/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("segment", MFD_CLOEXEC);
	struct segment_reader reader;
	struct ledger_record record;
	struct ledger_row row;
	struct ledger_head head;
	struct view bytes;
	struct err err;
	size_t torn;

	(void)!ledger_head_parse(view_make(data, size), &head, &err);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	if (segment_reader_open(&reader, fd, 0, &err))
		return 0;
	while (segment_read(&reader, &bytes, &record, &row, &torn, &err) == 1) {
		struct buf cef = buf_new(65536);
		json_t *json = ledger_row_json("fuzz", &record, &row);

		ledger_row_cef(&cef, "fuzz", &record, &row);
		if (cef.at && (memchr(cef.at, '\n', cef.length) || memchr(cef.at, '\033', cef.length)))
			abort(); /* a line of its own making */
		json_decref(json);
		buf_fini(&cef);
	}
	segment_reader_close(&reader);
	return 0;
}
