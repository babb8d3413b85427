/*
 * table: rows of text in aligned columns on standard output, the last column as wide as it likes. Cells are made harmless
 * (cli/terminal.h). With `--json` the list is printed instead, so a table is never parsed.
 */
#ifndef ASSAY_CLI_TABLE_H
#define ASSAY_CLI_TABLE_H

#include "base/json.h"
#include "cli/terminal.h"

#define TABLE_COLUMNS_MAX 10

struct table;

/* `heads`: one a column, NULL-terminated; upper case by custom. */
struct table *table_new(const char *const *heads);
void table_cell(struct table *table, const char *text); /* the next one, row by row; NULL is "" */
void table_cell_tone(struct table *table, const char *text, enum tone tone);
void table_cell_number(struct table *table, int64_t number);
void table_cell_ago(struct table *table, int64_t time_ms); /* "4 min 10 s ago"; 0 is "" */
void table_cell_bytes(struct table *table, int64_t bytes); /* "41 MiB" */
/* Prints, or says `nothing` on standard error when there is no row; frees. */
void table_end(struct table *table, const char *nothing);

/* What --json prints of a list: {"items": […]}, as the API. */
void list_print_json(const json_t *items);

#endif
