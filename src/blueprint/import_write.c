/* The draft as YAML that a person likes to read: one key a line, short lists in brackets, quotes only where they are needed. */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/scope.h"
#include "blueprint/import_priv.h"

/* May the text stand without quotes, in a line and in brackets alike? */
static bool is_plain(const char *text)
{
	static const char *const words[] = {"true", "false", "null", "yes", "no", "on", "off", "~"};

	if (!text[0] || !(isalnum((unsigned char)text[0]) || strchr("/._$", text[0])) ||
	    isspace((unsigned char)text[strlen(text) - 1]))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasecmp(text, words[i]) == 0)
			return false;
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e || strchr("[]{},#\"'`|>%@&*!?\\", *at) ||
		    (*at == ':' && (at[1] == ' ' || at[1] == '\0')))
			return false;
	return true;
}

/* Valid UTF-8 that YAML takes only as an escape: C1 controls, the byte order mark, and what is no character. */
static bool is_special(struct view character)
{
	static const char *const rows[] = {"\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (view_is(character, rows[i]))
			return true;
	return character.length == 2 && (unsigned char)character.at[0] == 0xc2 && (unsigned char)character.at[1] < 0xa0;
}

/* The character at the front of a text, for a quoted scalar; returns its bytes. */
static size_t add_character(struct buf *yaml, const char *text)
{
	size_t length = view_utf8_length(view_of(text));
	char c = text[0];

	if (!length || is_special(view_make(text, length)))
		buf_add_text(yaml, "\\ufffd");
	else if (c == '"' || c == '\\')
		buf_add_format(yaml, "\\%c", c);
	else if (c == '\n')
		buf_add_text(yaml, "\\n");
	else if (c == '\t')
		buf_add_text(yaml, "\\t");
	else if ((c >= 0 && c < 0x20) || c == 0x7f)
		buf_add_format(yaml, "\\x%02x", (unsigned)c);
	else
		buf_add(yaml, text, length);
	return length ? length : 1;
}

static void add_scalar(struct buf *yaml, const char *text)
{
	if (is_plain(text)) {
		buf_add_text(yaml, text);
		return;
	}
	buf_add_char(yaml, '"');
	while (*text)
		text += add_character(yaml, text);
	buf_add_char(yaml, '"');
}

/* In a comment: printable ASCII only. */
static void add_comment(struct buf *yaml, const char *text)
{
	for (; *text; text++)
		buf_add_char(yaml, *text < 0x20 || *text > 0x7e ? '?' : *text);
}

static void add_pair(struct buf *yaml, const char *indent, const char *key, const char *value)
{
	if (!value)
		return;
	buf_add_format(yaml, "%s%s: ", indent, key);
	add_scalar(yaml, value);
	buf_add_char(yaml, '\n');
}

static void add_list(struct buf *yaml, const char *indent, const char *key, const struct draft_texts *texts)
{
	if (!texts->count)
		return;
	buf_add_format(yaml, "%s%s: [", indent, key);
	for (size_t i = 0; i < texts->count; i++) {
		buf_add_text(yaml, i ? ", " : "");
		add_scalar(yaml, texts->at[i]);
	}
	buf_add_text(yaml, "]\n");
}

static void add_limits(struct buf *yaml, const struct draft_service *service)
{
	const struct draft_variable rows[] = {{"memory", service->memory}, {"cpus", service->cpus}, {"pids", service->pids}};
	const char *separator = "";

	if (!service->memory && !service->cpus && !service->pids)
		return;
	buf_add_text(yaml, "    limits: {");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!rows[i].value)
			continue;
		buf_add_format(yaml, "%s%s: %s", separator, rows[i].name, rows[i].value);
		separator = ", ";
	}
	buf_add_text(yaml, "}\n");
}

static void add_variables(struct buf *yaml, const struct draft_variables *env)
{
	if (env->count)
		buf_add_text(yaml, "    env:\n");
	for (size_t i = 0; i < env->count; i++) {
		buf_add_format(yaml, "      %s: ", env->at[i].name);
		add_scalar(yaml, env->at[i].value);
		buf_add_char(yaml, '\n');
	}
}

static void add_service(struct buf *yaml, const struct draft_service *service)
{
	buf_add_format(yaml, "  %s: # %s\n", service->name, service->origin);
	if (service->shell)
		add_pair(yaml, "    ", "run", service->shell);
	else
		add_list(yaml, "    ", "run", &service->argv);
	add_pair(yaml, "    ", "dir", service->dir);
	add_pair(yaml, "    ", "build", service->build);
	if (service->port)
		buf_add_format(yaml, "    port: %d\n", service->port);
	add_pair(yaml, "    ", "ready", service->ready);
	add_pair(yaml, "    ", "ready_timeout", service->ready_timeout);
	add_list(yaml, "    ", "needs", &service->needs);
	if (service->preview)
		buf_add_text(yaml, "    preview: true\n");
	if (service->replicas > 1)
		buf_add_format(yaml, "    replicas: %d\n", service->replicas);
	add_pair(yaml, "    ", "restart", service->restart);
	add_limits(yaml, service);
	if (service->image) {
		buf_add_text(yaml, "    # image: ");
		add_comment(yaml, service->image);
		buf_add_text(yaml, "   # without it, the machine's own programs are used\n");
	}
	add_variables(yaml, &service->env);
}

static void add_database(struct buf *yaml, const struct draft_database *database)
{
	buf_add_format(yaml, "  %s: # %s\n    engine: %s\n", database->name, database->origin, engine_word(database->engine));
	if (database->version)
		buf_add_format(yaml, "    # version: %s   # without it, the newest there is\n", database->version);
	add_pair(yaml, "    ", "database", database->database);
	add_pair(yaml, "    ", "user", database->user);
	add_pair(yaml, "    ", "seed", database->seed);
	add_pair(yaml, "    ", "migrate", database->migrate);
	add_variables(yaml, &database->env);
}

static void add_workspace(struct buf *yaml, const struct draft *draft)
{
	if (!draft->setup.count)
		return;
	buf_add_text(yaml, "\nworkspace: # cached by the digest of the lock files\n  setup:\n");
	for (size_t i = 0; i < draft->setup.count; i++) {
		buf_add_text(yaml, "    - ");
		add_scalar(yaml, draft->setup.at[i]);
		buf_add_char(yaml, '\n');
	}
	add_list(yaml, "  ", "lock", &draft->lock);
}

void draft_write(const struct draft *draft, struct buf *yaml)
{
	buf_add_format(yaml,
		       "# A first blueprint, written from %s by `assay init`. Read it, mend it, then `assay check`.\n"
		       "version: 1\nname: %s\n\nservices:\n",
		       draft->source, draft->name);
	for (size_t i = 0; i < draft->service_count; i++)
		add_service(yaml, &draft->services[i]);
	if (draft->database_count)
		buf_add_text(yaml, "\ndatabases:\n");
	for (size_t i = 0; i < draft->database_count; i++)
		add_database(yaml, &draft->databases[i]);
	add_workspace(yaml, draft);
	if (draft->test) {
		buf_add_text(yaml, "\ntests:\n  unit:\n");
		add_pair(yaml, "    ", "run", draft->test);
		buf_add_text(yaml, "    # report: reports/unit.xml   # JUnit XML, TAP or CTRF: then each test is told apart\n");
	}
	if (draft->hosts.count)
		buf_add_text(yaml, "\negress: # what matches nothing is denied\n  rules:\n");
	for (size_t i = 0; i < draft->hosts.count; i++)
		buf_add_format(yaml, "    - {host: %s, action: allow}\n", draft->hosts.at[i]);
}
