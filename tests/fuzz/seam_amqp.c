/* AMQP 0-9-1 read along, in any pieces. */
#include "gateway/seams/amqp.h"
#include "seam_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return seam_run(&reader_amqp, data, size);
}
