/* The lines that a unified diff adds. */
#include "base/diff.h"

/* "@@ -1,2 +10,4 @@": 10 */
static int64_t hunk_begin(struct view line)
{
	ptrdiff_t plus = view_find(line, VIEW("+"));
	uint64_t number = 0;
	size_t end;

	if (plus < 0)
		return 0;
	line = view_make(line.at + plus + 1, line.length - (size_t)plus - 1);
	for (end = 0; end < line.length && line.at[end] >= '0' && line.at[end] <= '9'; end++)
		continue;
	return view_to_u64(view_make(line.at, end), &number) && number < INT32_MAX ? (int64_t)number : 0;
}

/* "+++ b/a name\t": git ends names that have a blank by a tab. */
static struct view path_of(struct view line)
{
	if (!view_starts(line, VIEW("+++ b/")))
		return (struct view){0};
	if (view_ends(line, VIEW("\t")))
		line.length--;
	return view_make(line.at + 6, line.length - 6);
}

bool diff_next(struct diff_reader *reader, struct diff_line *added)
{
	while (reader->rest.length) {
		struct view line = view_cut(reader->rest, '\n', &reader->rest);

		if (view_starts(line, VIEW("diff --git "))) {
			reader->in_hunk = false;
			reader->path = (struct view){0};
		} else if (!reader->in_hunk && view_starts(line, VIEW("+++ "))) {
			reader->path = path_of(line);
		} else if (view_starts(line, VIEW("@@ "))) {
			reader->number = hunk_begin(line);
			reader->in_hunk = true;
		} else if (reader->in_hunk && line.length && line.at[0] == '+') {
			*added = (struct diff_line){reader->path, reader->number++, view_make(line.at + 1, line.length - 1)};
			return true;
		} else if (reader->in_hunk && line.length && line.at[0] == ' ') {
			reader->number++;
		}
	}
	return false;
}
