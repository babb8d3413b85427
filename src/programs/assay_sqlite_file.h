/*
 * assay_sqlite_file: a SQLite database as assay-sqlite opens it. The file may be anybody's: nothing is loaded from beside it, no other
 * file is attached, and what its schema says is not trusted.
 */
#ifndef ASSAY_PROGRAMS_ASSAY_SQLITE_FILE_H
#define ASSAY_PROGRAMS_ASSAY_SQLITE_FILE_H

#include <sqlite3.h>
#include <stdbool.h>

/* `as_programs`: triggers act, as they do for the application. NULL when it cannot be opened, which has been said on standard error. With
 * md5(text), concat_ws(between, …), assay_text(value), which is NULL of bytes that are no text, and `REGEXP` of POSIX. */
sqlite3 *sqlite_file_open(const char *path, bool as_programs);

#endif
