/* import, inside: the draft that each source fills and the writer prints. Texts live in the arena. */
#ifndef ASSAY_BLUEPRINT_IMPORT_PRIV_H
#define ASSAY_BLUEPRINT_IMPORT_PRIV_H

#include "base/arena.h"
#include "blueprint/blueprint.h"
#include "blueprint/tree.h"

#define DRAFT_MEMBERS_MAX ((size_t)64)
#define DRAFT_FILE_BYTES_MAX ((size_t)256 << 10)

struct draft_texts {
	const char **at; /* NULL-terminated when not empty */
	size_t count;
};

struct draft_variable {
	const char *name;
	const char *value;
};

struct draft_variables {
	struct draft_variable *at;
	size_t count;
};

struct draft_service {
	const char *name;
	const char *came_as; /* its name in the source, when it had to change; for needs */
	const char *origin;  /* "compose.yaml:12", a comment */
	const char *shell;   /* this or argv */
	struct draft_texts argv;
	const char *build;
	const char *dir; /* NULL: the root */
	int port;
	const char *ready;         /* as in the blueprint */
	const char *ready_timeout; /* the same; NULL: what others have */
	struct draft_texts needs;
	struct draft_variables env;
	int replicas;
	const char *restart;
	const char *memory;
	const char *cpus;
	const char *pids;
	const char *image; /* written as a comment */
	bool published;    /* its port is for people */
	bool preview;
};

struct draft_database {
	const char *name;
	const char *came_as;
	const char *origin;
	enum engine_kind engine;
	const char *version; /* written as a comment */
	const char *database;
	const char *user;
	const char *seed;
	const char *migrate;
	struct draft_variables env;
};

struct draft {
	struct arena arena;
	const char *dir;
	const char *name;
	const char *source; /* "compose.yaml" */
	struct draft_service services[DRAFT_MEMBERS_MAX];
	size_t service_count;
	struct draft_database databases[DRAFT_MEMBERS_MAX];
	size_t database_count;
	struct draft_texts setup;
	struct draft_texts lock;
	struct draft_texts hosts; /* what setup must reach */
	const char *test;
	struct buf *notes;
};

void draft_note(struct draft *draft, const char *format, ...) PRINTF_LIKE(2, 3);
void draft_texts_add(struct draft *draft, struct draft_texts *texts, const char *text); /* unless it is there */
void draft_texts_append(struct draft *draft, struct draft_texts *texts, const char *text);
void draft_variables_set(struct draft *draft, struct draft_variables *variables, const char *name, const char *value);
const char *draft_variables_find(const struct draft_variables *variables, const char *name); /* NULL */
/* May a service have it: is its name one that a program can be given, and not ours, and its value within the limits? */
bool draft_variable_is_good(const struct draft_variable *variable);
char *draft_format(struct draft *draft, const char *format, ...) PRINTF_LIKE(2, 3);
/* A label made of any text: lower case, others become dashes; "app" when nothing is left. */
const char *draft_label(struct draft *draft, const char *text);
struct draft_service *draft_service_find(struct draft *draft, const char *came_as);
struct draft_database *draft_database_find(struct draft *draft, const char *came_as);
/* NULL when there are DRAFT_MEMBERS_MAX already. */
struct draft_service *draft_service_add(struct draft *draft, const char *name, const char *origin);
struct draft_database *draft_database_add(struct draft *draft, const char *name, const char *origin, enum engine_kind engine);
/* The text of dir/path in the arena, or NULL when it is absent, too large, or not inside the checkout. */
const char *draft_file(struct draft *draft, const char *path);
/* A path of the checkout put together and cleaned: ("./a/", "b") is "a/b", (".", ".") is ".". NULL when it leaves. */
const char *draft_path(struct draft *draft, const char *base, const char *path);

/* The sources. Each returns 0, or -1 when its file cannot be read as what it is. */
int draft_read_compose(struct draft *draft, const char *file_name, struct err *err);
int draft_read_procfile(struct draft *draft, struct err *err);
/* With `services` its scripts become a service; without, only setup and tests are taken. */
int draft_read_package(struct draft *draft, bool services, struct err *err);
/* Fills what the compose file left open from dir/Dockerfile: command, port, variables. */
void draft_read_dockerfile(struct draft *draft, struct draft_service *service, const char *context, const char *file_name);
/* KEY=VALUE lines, as in .env files; later ones win. */
void draft_read_env_file(struct draft *draft, const char *text, struct draft_variables *variables);
/* $NAME, ${NAME}, ${NAME:-default} and the like; `missing` gets the first name that had no value. */
const char *draft_interpolate(struct draft *draft, const char *text, const struct draft_variables *values, const char **missing);
/* A shell line as Docker means a list: each argument quoted where needed. */
const char *draft_shell_line(struct draft *draft, const struct draft_texts *argv);

void draft_write(const struct draft *draft, struct buf *yaml);

#endif
