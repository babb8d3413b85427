/*
 * reader: the state of one blueprint_parse, and the setters that fields of the schema are made of. A setter checks one value, stores it
 * at its field's place in the record, and refuses with file, line, column, the path of keys and what was expected.
 */
#ifndef ASSAY_BLUEPRINT_READER_PRIV_H
#define ASSAY_BLUEPRINT_READER_PRIV_H

#include "base/json.h"
#include "blueprint/blueprint.h"
#include "blueprint/schema.h"
#include "blueprint/tree.h"

#define READER_PATH_MAX 256
#define READER_MEMBERS_MAX ((size_t)64) /* services, databases, rules, … of a blueprint */
#define READER_TEXTS_MAX ((size_t)512)  /* entries of a list of texts, variables of an env */
#define READER_TEXT_MAX ((size_t)16384) /* bytes of one text */
#define READER_NAME_MAX ((size_t)40)    /* bytes of a name: short of a DNS label's 63, since replicas get "-N" */

struct reader {
	const char *file_name;
	struct arena *arena;
	char path[READER_PATH_MAX]; /* "services.front": where we are, for messages */
	const struct tree_node *at; /* the key whose value is being read; NULL at the top */
	size_t members_max;         /* 0: READER_MEMBERS_MAX */
	struct err *err;
};

/* "file:line:column: path: text"; returns -1. `node` says where. */
int reader_refuse(struct reader *reader, const struct tree_node *node, const char *format, ...) PRINTF_LIKE(3, 4);
/* "expected …, found …". */
int reader_expect(struct reader *reader, const struct tree_node *node, const char *expected);
/* Steps into a key and back: returns what reader_leave wants. */
size_t reader_enter(struct reader *reader, const char *key);
void reader_leave(struct reader *reader, size_t mark);

/* Reads a mapping by its section's table; absent or null is an empty one. */
MUST_USE int reader_section(struct reader *reader, const struct section *section, const struct tree_node *map, void *record);

bool path_is_inside(const char *path);   /* relative, and never leaves: no "..", no control characters */
bool name_is_label(const char *name);    /* a-z, 0-9 and dashes inside, at most READER_NAME_MAX */
bool name_is_host(const char *name);     /* dotted DNS labels, at least one, not all digits at the end */
bool name_is_sql(const char *name);      /* goes into SQL and URLs: letters, digits, `_` and `-`, at most 63 */
bool name_is_variable(const char *name); /* letters, digits and `_` */
bool host_is_address(const char *text);  /* an IPv4 address */

int set_text(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);  /* not empty */
int set_label(struct reader *reader, const struct field *field, const struct tree_node *value, void *record); /* name_is_label */
int set_path(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_flag(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_int(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_word(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);      /* an enum */
int set_word_text(struct reader *reader, const struct field *field, const struct tree_node *value, void *record); /* a char * */
int set_duration(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_size(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_command(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_commands(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_texts(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_paths(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_variables(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_secrets(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_section(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
/* A mapping of names to records whose first member is `char *name`; the keys are labels. */
int set_members(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
/* As set_members, the keys are host names, made lower case. */
int set_host_members(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
/* A list of records. */
int set_records(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);

extern const char *const blueprint_agent_words[]; /* schema.c: NULL-terminated */
int set_reviewers(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_candidates(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);

/* egress.c: of egress rules. */
int set_host_pattern(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_methods(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_url_patterns(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_names(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_rule_id(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_because(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
MUST_USE int egress_rules_check(struct reader *reader, const struct tree_node *list, const struct egress_rule *rules, size_t count);

/* mask.c: columns and what is put in their values' place. */
int set_subset(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_mask(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
/* What the rules name, once the engine is known: columns, or the keys of a Redis. */
MUST_USE int mask_names_check(struct reader *reader, const struct tree_node *value, const char *database, bool keys);

/* dlp.c */
int set_dlp_id(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
int set_entropy(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
json_t *dlp_section_json(const struct dlp_section *dlp);
MUST_USE int dlp_section_check(struct reader *reader, const struct tree_node *node, const struct dlp_section *dlp);
MUST_USE int blueprint_dlp_check(struct reader *reader, const struct tree_node *root, const struct blueprint *blueprint);

/* The operator's policy file. */
struct policy_file {
	struct dlp_section dlp;
	struct egress_rule *rules;
	size_t rule_count;
	bool ceiling;
	bool passthrough;
};
extern const struct section schema_policy_section;

/* A name that no service, database or host may have. */
bool blueprint_name_is_reserved(const char *name);
/* Fills in defaults and checks what one value alone cannot tell. */
MUST_USE int blueprint_check(struct reader *reader, const struct tree_node *root, struct blueprint *blueprint);

#endif
