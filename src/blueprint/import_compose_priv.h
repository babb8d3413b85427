/* import_compose, inside: a compose file and one of its services, while they are read. */
#ifndef ASSAY_BLUEPRINT_IMPORT_COMPOSE_PRIV_H
#define ASSAY_BLUEPRINT_IMPORT_COMPOSE_PRIV_H

#include "blueprint/import_priv.h"

struct compose {
	struct draft *draft;
	const char *file_name;
	struct draft_variables values; /* of ${…}: the .env file beside it */
	const struct tree_node *services;
};

/* One service while it is read. */
struct member {
	struct compose *compose;
	const char *name;
	int line; /* of the name */
	const struct tree_node *node;
	struct draft_service *service;
	struct draft_texts mounts; /* pairs: path of the checkout, path inside */
	struct draft_texts entrypoint;
	struct draft_texts command;
	const char *entrypoint_shell;
	const char *command_shell;
	const char *working_dir;
};

/* "compose.yaml:12: services.web.KEY: TEXT" */
void member_note(struct member *member, const struct tree_node *node, const char *key, const char *text);
/* The text of a scalar with its ${…} replaced; NULL when it is none. */
const char *compose_text(struct compose *compose, const struct tree_node *node);
const char *compose_text_at(struct compose *compose, const struct tree_node *map, const char *key);
/* env_file, then environment, which wins. */
void member_draft_variables(struct member *member, struct draft_variables *variables);
/* A path of the checkout that is mounted is where the program's own files are; anything else starts empty. */
void member_volume(struct member *member, const struct tree_node *node);
/* Everything of member->service but its needs. */
void member_fill(struct member *member);

#endif
