/* MySQL read along, in any pieces. */
#include "gateway/seams/mysql.h"
#include "seam_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return seam_run(&reader_mysql, data, size);
}
