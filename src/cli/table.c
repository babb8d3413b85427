/* Cells are kept until the end, since the widths of the columns follow from all of them. */
#include "cli/table.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/scope.h"
#include "base/world.h"
#include "cli/cli.h"

#define GAP 2

struct cell {
	char *text;
	enum tone tone;
};

struct table {
	size_t columns;
	struct cell *cells; /* the first row are the heads */
	size_t count;
};

void table_cell_tone(struct table *table, const char *text, enum tone tone)
{
	table->cells = mem_grow(table->cells, table->count + 1, sizeof(*table->cells));
	table->cells[table->count++] = (struct cell){terminal_line(text), tone};
}

void table_cell(struct table *table, const char *text)
{
	table_cell_tone(table, text, TONE_PLAIN);
}

void table_cell_number(struct table *table, int64_t number)
{
	AUTO_FREE char *text = text_format("%" PRId64, number);

	table_cell(table, text);
}

void table_cell_ago(struct table *table, int64_t time_ms)
{
	AUTO_BUF text = buf_new(64);
	int64_t ago = world_now_ms(world_real) - time_ms;

	if (time_ms) {
		duration_format(&text, ago > 0 ? ago : 0);
		buf_add_text(&text, " ago");
	}
	table_cell(table, text.at);
}

void table_cell_bytes(struct table *table, int64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;
	double size = (double)bytes;
	AUTO_FREE char *text = NULL;

	for (; size >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
		size /= 1024;
	text = text_format(unit && size < 10 ? "%.1f %s" : "%.0f %s", size, units[unit]);
	table_cell(table, text);
}

struct table *table_new(const char *const *heads)
{
	struct table *table = mem_new(sizeof(*table));

	for (; heads[table->columns] && table->columns < TABLE_COLUMNS_MAX; table->columns++)
		table_cell_tone(table, heads[table->columns], TONE_FAINT);
	return table;
}

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void row_print(const struct table *table, size_t first, const size_t *widths)
{
	for (size_t column = 0; column < table->columns && first + column < table->count; column++) {
		const struct cell *cell = &table->cells[first + column];
		size_t width = width_of(cell->text);
		bool last = column + 1 == table->columns;

		printf("%s%s%s", cell->tone ? terminal_tone(stdout, cell->tone) : "", cell->text,
		       cell->tone ? terminal_end(stdout) : "");
		if (!last)
			printf("%*s", (int)(widths[column] - width + GAP), "");
	}
	putchar('\n');
}

void table_end(struct table *table, const char *nothing)
{
	size_t widths[TABLE_COLUMNS_MAX] = {0};

	for (size_t i = 0; i < table->count; i++) {
		size_t width = width_of(table->cells[i].text);

		if (width > widths[i % table->columns])
			widths[i % table->columns] = width;
	}
	if (table->count == table->columns)
		fprintf(stderr, "%s\n", nothing);
	else
		for (size_t first = 0; first < table->count; first += table->columns)
			row_print(table, first, widths);
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}

void list_print_json(const json_t *items)
{
	AUTO_JSON list = json_pack("{s:O}", "items", items);

	cli_print_json(list);
}
