/* One call of the API, from the command line's words to what is printed. */
#include "cli/verb.h"

#include <stdio.h>

#include "base/scope.h"
#include "cli/api.h"
#include "cli/table.h"

static json_t *ask(const struct verb *verb, struct api *api, const char *path, const json_t *body, bool as_json, struct err *err)
{
	switch (verb->how) {
	case VERB_GET:
		return api_get(api, path, err);
	case VERB_ITEMS:
		return api_items(api, path, err);
	case VERB_POST:
		return api_post(api, path, body, err);
	case VERB_WORK:
		return api_work(api, path, body, as_json ? (struct api_listener){0} : api_progress_printer(), err);
	case VERB_DELETE:
		return api_delete(api, path, err);
	}
	return NULL;
}

static void answer_print(const struct verb *verb, const json_t *answer, bool as_json)
{
	if (as_json && verb->how == VERB_ITEMS)
		list_print_json(answer);
	else if (as_json)
		cli_print_json(answer);
	else if (verb->print)
		verb->print(answer);
	else if (verb->said)
		printf("%s\n", verb->said);
}

int verb_run(const struct verb *verb, const char *program, int argc, char **argv)
{
	bool as_json = false;
	const struct cli_option options[] = {{.name = "json", .help = "the answer as JSON", .flag = &as_json}};
	const struct cli_usage usage = {.program = program,
					.arguments = verb->arguments,
					.about = verb->about,
					.options = options,
					.option_count = verb->json ? ARRAY_LEN(options) : 0,
					.positional_min = verb->least,
					.positional_max = verb->most};
	AUTO_API struct api *api = NULL;
	AUTO_FREE char *path = NULL;
	AUTO_JSON body = NULL;
	AUTO_JSON answer = NULL;
	struct err err = {0};
	int code = CLI_DONE;
	int count = cli_options(&usage, argc, argv, &code);

	if (count < 0)
		return code;
	path = verb->path_make ? verb->path_make(argv, &err)
			       : api_path(verb->path, count > 0 ? argv[1] : "", count > 1 ? argv[2] : "", count > 2 ? argv[3] : "");
	body = path && verb->body_make ? verb->body_make(count, argv, &err) : json_object();
	if (!path || !body)
		return cli_refuse(program, "%s", err.text);
	api = api_open(program, true, &err);
	answer = api ? ask(verb, api, path, body, as_json, &err) : NULL;
	if (!answer)
		return cli_fail(program, as_json, &err);
	answer_print(verb, answer, as_json);
	return CLI_DONE;
}
