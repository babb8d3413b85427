/* The file `pruned`, and what it lets go. */
#include "ledger/prune.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/scope.h"

#define NEW_FILE LEDGER_PRUNED_FILE ".new"

void ledger_pruned_bytes(const struct ledger_head *head, unsigned char bytes[LEDGER_HEAD_BYTES])
{
	ledger_head_bytes(head, bytes);
	memcpy(bytes, LEDGER_PRUNED_MARK, sizeof(LEDGER_PRUNED_MARK) - 1);
}

int ledger_pruned_read(int dir_fd, struct ledger_head *head, struct err *err)
{
	AUTO_CLOSE int fd = openat(dir_fd, LEDGER_PRUNED_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_BUF text = buf_new(LEDGER_HEAD_TEXT_MAX);

	*head = (struct ledger_head){.segment = 0};
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, errno, "cannot open the ledger's file `" LEDGER_PRUNED_FILE "`");
	if (file_read_fd(fd, &text, err) || buf_finish(&text, err) || ledger_head_parse(buf_view(&text), head, err)) {
		if (err)
			err->kind = ERR_BROKEN;
		return err_prefix(err, "the ledger's file `" LEDGER_PRUNED_FILE "`");
	}
	return 0;
}

/* What a segment says of the one before it, in its first row. */
static int genesis_read(int dir_fd, const char *name, int64_t *wall_ms, struct ledger_head *before, struct err *err)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_JSON detail = NULL;
	struct segment_reader reader;
	struct ledger_record record;
	struct ledger_row row;
	struct view bytes;
	const json_t *previous;
	AUTO_FREE char *line = NULL;
	size_t torn;
	int got;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", name);
	if (segment_reader_open(&reader, fd, 0, err))
		return err_prefix(err, "%s", name);
	got = segment_read(&reader, &bytes, &record, &row, &torn, err);
	detail = got == 1 && row.kind == LEDGER_GENESIS ? json_parse(row.texts[LEDGER_DETAIL], NULL) : NULL;
	segment_reader_close(&reader);
	previous = json_member(detail, "previous");
	line = text_format("%s %lld %lld %lld %s %0*d", json_text(detail, "writer", "-"),
			   (long long)json_number(previous, "segment", 0), (long long)json_number(previous, "sequence", 0),
			   got == 1 ? (long long)record.wall_ms : 0, json_text(previous, "chain", "-"), 2 * LEDGER_SIGNATURE_BYTES,
			   0);
	if (ledger_head_parse(view_of(line), before, NULL))
		return err_set(err, ERR_BROKEN, "%s: its first row does not say what it continues", name);
	*wall_ms = before->wall_ms;
	return 0;
}

int ledger_prune_find(int dir_fd, int64_t before_ms, uint64_t last, struct ledger_head *head, struct err *err)
{
	AUTO_FREE char **names = NULL;
	size_t count = 0;
	bool more = true;
	int failed = 0;

	*head = (struct ledger_head){.segment = 0};
	if (ledger_segments(dir_fd, &names, &count, err))
		return -1;
	for (size_t i = 1; i < count && more && !failed; i++) { /* the first of them continues nothing that is here */
		struct ledger_head before;
		uint64_t number = 0;
		int64_t wall_ms = 0;

		more = segment_number(names[i], &number) && number <= last;
		failed = more && genesis_read(dir_fd, names[i], &wall_ms, &before, err);
		more = more && !failed && wall_ms < before_ms;
		if (more)
			*head = before;
	}
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	return failed ? -1 : 0;
}

static int pruned_write(int dir_fd, const struct ledger_head *head, struct err *err)
{
	AUTO_CLOSE int fd = openat(dir_fd, NEW_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char line[LEDGER_HEAD_TEXT_MAX + 1];
	size_t length;

	ledger_head_format(head, line);
	length = strlen(line);
	line[length] = '\n';
	if (fd < 0)
		return err_errno(err, errno, "cannot write the ledger's file `" LEDGER_PRUNED_FILE "`");
	if (file_write_fd(fd, view_make(line, length + 1), err))
		return -1;
	if (fdatasync(fd) || renameat(dir_fd, NEW_FILE, dir_fd, LEDGER_PRUNED_FILE) || fsync(dir_fd))
		return err_errno(err, errno, "cannot keep the ledger's file `" LEDGER_PRUNED_FILE "`");
	return 0;
}

int ledger_prune(int dir_fd, const struct ledger_head *head, size_t *removed, struct err *err)
{
	AUTO_FREE char **names = NULL;
	size_t count = 0;
	int failed = 0;

	*removed = 0;
	if (pruned_write(dir_fd, head, err) || ledger_segments(dir_fd, &names, &count, err))
		return -1;
	for (size_t i = 0; i < count; i++) {
		uint64_t number = 0;

		if (!failed && segment_number(names[i], &number) && number <= head->segment) {
			failed = unlinkat(dir_fd, names[i], 0) && errno != ENOENT;
			if (failed)
				(void)err_errno(err, errno, "cannot remove %s", names[i]);
			else
				++*removed;
		}
		free(names[i]);
	}
	return failed ? -1 : 0;
}
