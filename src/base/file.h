/*
 * file: whole files, directories and atomic replacement. Everything blocks: never call it on a loop. File descriptors are
 * close-on-exec.
 */
#ifndef ASSAY_BASE_FILE_H
#define ASSAY_BASE_FILE_H

#include <sys/types.h>

#include "base/buf.h"

/* Appends the file's bytes to `out`; over out's maximum is ERR_LIMIT. Only regular files; `path` may be a symlink. */
MUST_USE int file_read(const char *path, struct buf *out, struct err *err);
/* All bytes of a descriptor until its end. */
MUST_USE int file_read_fd(int fd, struct buf *out, struct err *err);
MUST_USE int file_write_fd(int fd, struct view bytes, struct err *err); /* all of them; EINTR and short writes handled */
/* Writes beside, fsyncs, renames over: after a crash the old or the new bytes are there, whole. */
/* A file without a name, with these bytes, at its start; the caller's, or -1. */
MUST_USE int file_anonymous(struct view bytes, struct err *err);
MUST_USE int file_replace(const char *path, struct view bytes, mode_t mode, struct err *err);
MUST_USE int file_make_dirs(const char *path, mode_t mode, struct err *err); /* mkdir -p */
/* rm -rf by descriptors, never through a symlink, never across a mount; absence is no error. */
MUST_USE int file_remove_tree(const char *path, struct err *err);
bool file_exists(const char *path);
bool file_is_dir(const char *path);

#endif
