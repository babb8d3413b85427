/*
 * How long the ledger is kept. What leaves was read once more and found whole, its leaving is a row of our own ledger before it happens, and
 * a signature says where what stays begins (ledger/prune.h). A writer whose old segments do not hold loses none: a break is not tidied up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/audit_priv.h"
#include "base/log.h"
#include "base/scope.h"
#include "base/world.h"
#include "ledger/prune.h"
#include "ledger/verify.h"

/* The segment that the index reads of a writer; older ones were read whole. */
static int read_up_to(struct audit *audit, const char *writer, int64_t *segment, struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin(audit->store, &tx, err) ||
			       store_number_get(&tx, segment, 0, "SELECT segment FROM ledger_read WHERE writer = ?",
						VALUES(V(writer)), err)
		       ? -1
		       : 0;
}

static int index_forget(struct audit *audit, const char *writer, uint64_t segment, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(audit->store, &tx, err) ||
	    store_run(&tx, "DELETE FROM ledger_row WHERE writer = ? AND segment <= ?", VALUES(V(writer), V((int64_t)segment)), err))
		return -1;
	return store_commit(&tx, err);
}

/* *whole: the rows up to the head hold against the heads that were kept, and are all under a signature; that may come with the next segment, which is
 * read, too. A break fails. */
static int is_whole(struct audit *audit, const char *folder, const struct ledger_head *head, bool *whole, struct err *err)
{
	struct ledger_head kept[AUDIT_WRITERS_MAX];
	struct ledger_checks checks = {.public_key = audit->options.public_key, .witness = kept, .last_segment = head->segment + 1};
	struct ledger_report report;

	if (audit_witnesses(audit, kept, AUDIT_WRITERS_MAX, &checks.witness_count, err) ||
	    ledger_verify(folder, &checks, &report, err))
		return -1;
	*whole = report.sequence - report.rows_unsigned >= head->sequence;
	return report.breaks ? err_set(err, ERR_BROKEN, "%s: %llu breaks up to segment %llu: nothing of it is removed", folder,
				       (unsigned long long)report.breaks, (unsigned long long)head->segment + 1)
			     : 0;
}

static int pruned_sign(struct audit *audit, struct ledger_head *head, struct err *err)
{
	unsigned char bytes[LEDGER_HEAD_BYTES];

	ledger_pruned_bytes(head, bytes);
	return audit->options.sign(audit->options.self, view_make(bytes, sizeof(bytes)), head->signature, err);
}

static int row_put(struct audit *audit, const struct ledger_head *head, int64_t keep_ms, struct err *err)
{
	AUTO_BUF age = buf_new(64);
	AUTO_FREE char *text = NULL;
	struct ledger_row row;

	duration_format(&age, keep_ms);
	text = text_format("the ledger of %s is older than %s up to row %llu, the end of segment %llu: that much of it is removed",
			   head->writer, age.at, (unsigned long long)head->sequence, (unsigned long long)head->segment);
	row = audit_row(LEDGER_POLICY, NULL, NULL, NULL, "serve", text);
	log_info("%s", text);
	return audit_put(audit, &row, err);
}

static int writer_retain(struct audit *audit, const char *writer, int64_t keep_ms, struct err *err)
{
	AUTO_FREE char *folder = audit_folder(audit, writer);
	AUTO_CLOSE int dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ledger_head head;
	int64_t segment = 0;
	size_t removed;
	bool whole;

	if (dir_fd < 0)
		return err_errno(err, errno, "cannot open %s", folder);
	if (read_up_to(audit, writer, &segment, err) ||
	    ledger_prune_find(dir_fd, world_now_ms(world_real) - keep_ms, (uint64_t)segment, &head, err))
		return -1;
	if (!head.segment)
		return 0;
	if (is_whole(audit, folder, &head, &whole, err))
		return -1;
	if (!whole) /* its head is not signed yet: later */
		return 0;
	if (pruned_sign(audit, &head, err) || row_put(audit, &head, keep_ms, err) || index_forget(audit, writer, head.segment, err))
		return -1;
	return ledger_prune(dir_fd, &head, &removed, err);
}

int audit_retain(struct audit *audit, int64_t keep_ms, struct err *err)
{
	AUTO_FREE char **names = NULL;
	size_t count = 0;
	int failed;

	if (keep_ms <= 0)
		return 0;
	(void)pthread_mutex_lock(&audit->index_lock);
	failed = audit_writers(audit, &names, &count, err);
	for (size_t i = 0; i < count; i++) {
		failed = failed || writer_retain(audit, names[i], keep_ms, err);
		free(names[i]);
	}
	(void)pthread_mutex_unlock(&audit->index_lock);
	return failed ? -1 : 0;
}
