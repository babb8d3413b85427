/* DER, backwards. */
#include "vault/der.h"

#include <stdio.h>
#include <time.h>

#define YEAR_OF_UTC_LAST 2049

void der_bytes(struct der *der, struct view bytes)
{
	if (bytes.length > der->at) {
		der->over = true;
		return;
	}
	der->at -= bytes.length;
	if (bytes.length)
		memcpy(der->bytes + der->at, bytes.at, bytes.length);
}

static void byte_put(struct der *der, size_t byte)
{
	unsigned char c = (unsigned char)byte;

	der_bytes(der, view_make(&c, 1));
}

void der_wrap(struct der *der, unsigned tag, size_t mark)
{
	size_t length = mark - der->at;
	size_t count = 0;

	if (length < 0x80) {
		byte_put(der, length);
	} else {
		for (; length; length >>= 8, count++)
			byte_put(der, length & 0xff);
		byte_put(der, 0x80 | count);
	}
	byte_put(der, tag);
}

void der_element(struct der *der, unsigned tag, struct view content)
{
	size_t mark = der->at;

	der_bytes(der, content);
	der_wrap(der, tag, mark);
}

void der_time(struct der *der, int64_t seconds)
{
	time_t time = (time_t)seconds;
	struct tm parts;
	char text[80];
	bool utc;

	(void)gmtime_r(&time, &parts);
	utc = parts.tm_year + 1900 <= YEAR_OF_UTC_LAST;
	(void)snprintf(text, sizeof(text), "%04d%02d%02d%02d%02d%02dZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
		       parts.tm_hour, parts.tm_min, parts.tm_sec);
	der_element(der, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME, view_of(utc ? text + 2 : text));
}
