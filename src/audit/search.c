/* Searching: the index says where, the segment says what. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/audit_priv.h"
#include "base/scope.h"

#define INDEX_ROWS_MAX 1000000 /* brought in before a search */
#define CONDITIONS_MAX 12
#define ROWS_DEFAULT 100
#define ROWS_MAX 1000000

struct conditions {
	struct buf sql;
	struct store_value values[CONDITIONS_MAX];
	size_t count;
	struct buf host; /* the pattern */
	struct buf rule;
};

static void condition_add(struct conditions *conditions, const char *sql, struct store_value value)
{
	buf_add_text(&conditions->sql, conditions->count ? " AND " : " WHERE ");
	buf_add_text(&conditions->sql, sql);
	conditions->values[conditions->count++] = value;
}

/* `%` and `_` of the text stand for themselves. */
static void like_add(struct buf *out, struct view text)
{
	for (size_t i = 0; text.at && i < text.length; i++) {
		if (text.at[i] == '%' || text.at[i] == '_' || text.at[i] == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, text.at[i]);
	}
}

static void conditions_make(const struct audit_query *query, struct conditions *conditions)
{
	struct view host = view_of(query->host);
	struct view rule = view_of(query->rule);

	if (query->env)
		condition_add(conditions, "env = ?", V(query->env));
	if (query->run)
		condition_add(conditions, "run = ?", V(query->run));
	if (query->kind)
		condition_add(conditions, "kind = ?", V(query->kind));
	if (view_starts(host, VIEW("*."))) {
		buf_add_char(&conditions->host, '%');
		like_add(&conditions->host, view_make(host.at + 1, host.length - 1));
		condition_add(conditions, "host LIKE ? ESCAPE '\\'", store_value_view(buf_view(&conditions->host)));
	} else if (query->host) {
		condition_add(conditions, "host = ?", V(query->host));
	}
	if (view_ends(rule, VIEW("*"))) {
		like_add(&conditions->rule, view_make(rule.at, rule.length - 1));
		buf_add_char(&conditions->rule, '%');
		condition_add(conditions, "rule LIKE ? ESCAPE '\\'", store_value_view(buf_view(&conditions->rule)));
	} else if (query->rule) {
		condition_add(conditions, "rule = ?", V(query->rule));
	}
	if (query->request)
		condition_add(conditions, "request = ?", V((int64_t)query->request));
	if (query->since_ms)
		condition_add(conditions, "time_ms >= ?", V(query->since_ms));
	if (query->until_ms)
		condition_add(conditions, "time_ms < ?", V(query->until_ms));
	if (query->before)
		condition_add(conditions, "id < ?", V(query->before));
	if (query->after)
		condition_add(conditions, "id > ?", V(query->after));
}

/* The file that was read last stays open. */
struct open_segment {
	const struct audit *audit;
	char writer[LEDGER_WRITER_MAX];
	int64_t number;
	int fd;
};

static int segment_use(struct open_segment *segment, const char *writer, int64_t number, struct err *err)
{
	char name[SEGMENT_NAME_MAX];
	AUTO_FREE char *folder = NULL;
	AUTO_FREE char *path = NULL;

	if (segment->fd >= 0 && segment->number == number && strcmp(segment->writer, writer) == 0)
		return 0;
	scope_close(&segment->fd);
	segment_name((uint64_t)number, name);
	folder = audit_folder(segment->audit, writer);
	path = text_format("%s/%s", folder, name);
	segment->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (segment->fd < 0)
		return err_errno(err, errno, "cannot read the ledger's %s/%s", writer, name);
	segment->number = number;
	(void)strncpy(segment->writer, writer, sizeof(segment->writer) - 1);
	return 0;
}

struct found {
	int64_t id;
	const char *writer;
	struct ledger_record record;
	struct ledger_row row;
};

/* Calls for each row, the newest first, or with `after` or `forward` the oldest first. */
static int rows_each(struct audit *audit, const struct audit_query *query, bool forward,
		     void (*each)(void *self, const struct found *found), void *self, struct err *err)
{
	struct conditions conditions = {.sql = buf_new(4096), .host = buf_new(1024), .rule = buf_new(1024)};
	struct open_segment segment = {.audit = audit, .fd = -1};
	int64_t limit = query->limit > 0 && query->limit <= ROWS_MAX ? query->limit : query->limit ? ROWS_MAX : ROWS_DEFAULT;
	char *bytes = mem_new(LEDGER_RECORD_BYTES_MAX);
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};
	int failed;

	buf_add_text(&conditions.sql, "SELECT id, writer, segment, place FROM ledger_row");
	conditions_make(query, &conditions);
	buf_add_format(&conditions.sql, " ORDER BY id %s LIMIT %lld", forward || query->after ? "ASC" : "DESC", (long long)limit);
	failed = store_begin(audit->store, &tx, err) ||
		 store_query(&tx, &rows, conditions.sql.at, conditions.values, conditions.count, err);
	while (!failed && store_rows_next(&rows)) {
		struct found found = {.id = store_rows_number(&rows, 0), .writer = store_rows_text(&rows, 1)};
		ssize_t got;

		failed = segment_use(&segment, found.writer, store_rows_number(&rows, 2), err);
		if (failed)
			break;
		got = pread(segment.fd, bytes, LEDGER_RECORD_BYTES_MAX, (off_t)store_rows_number(&rows, 3));
		failed = got < 0 || ledger_row_decode(view_make(bytes, (size_t)got), &found.record, &found.row, err);
		if (!failed)
			each(self, &found);
	}
	failed = failed || store_rows_finish(&rows, err);
	scope_close(&segment.fd);
	free(bytes);
	buf_fini(&conditions.sql);
	buf_fini(&conditions.host);
	buf_fini(&conditions.rule);
	return failed ? -1 : 0;
}

static void json_each(void *self, const struct found *found)
{
	json_t *item = ledger_row_json(found->writer, &found->record, &found->row);

	(void)json_object_set_new(item, "id", json_integer(found->id));
	(void)json_array_append_new(self, item);
}

json_t *audit_search(struct audit *audit, const struct audit_query *query, struct err *err)
{
	AUTO_JSON items = json_array();

	if (audit_index(audit, INDEX_ROWS_MAX, err) || rows_each(audit, query, false, json_each, items, err))
		return NULL;
	return json_incref(items);
}

static void cef_each(void *self, const struct found *found)
{
	ledger_row_cef(self, found->writer, &found->record, &found->row);
	buf_add_char(self, '\n');
}

int audit_export_cef(struct audit *audit, const struct audit_query *query, struct buf *out, struct err *err)
{
	return audit_index(audit, INDEX_ROWS_MAX, err) || rows_each(audit, query, true, cef_each, out, err) ? -1
													    : buf_finish(out, err);
}
