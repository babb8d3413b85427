/* pages: what a browser, or a program, sees at a preview when there is no application to show. */
#ifndef ASSAY_GATEWAY_PAGES_H
#define ASSAY_GATEWAY_PAGES_H

#include "base/buf.h"

enum page {
	PAGE_STARTING,
	PAGE_FAILED,
	PAGE_STOPPED,
	PAGE_ASLEEP,
	PAGE_SILENT,
	PAGE_GONE,
	PAGE_UNKNOWN,
	PAGE_NO_PREVIEW,
	PAGE_MISDIRECTED,
	PAGE_KILLED,
	PAGE_ELSEWHERE,
	PAGE_NO_PASS,
	PAGE_PASS_ENDED,
	PAGE_FOREIGN,
};

unsigned page_status(enum page page);
const char *page_headers(enum page page, bool html);                                               /* lines with CRLF */
void page_format(struct buf *out, enum page page, bool html, const char *env, const char *detail); /* detail may be NULL */

#endif
