/* The rules of verify/integrity.h on the commits' files. */
#include "http/har.h"
#include "verify/call.h"
#include "verify/integrity.h"
#include "verify/ladder.h"

#define LITERALS_MAX ((size_t)400)
#define LITERAL_MIN ((size_t)12)

struct files {
	struct ladder *ladder;
	struct err unread; /* the first that is there and could not be read */
};

/* What is not there is empty, and of what is too large the rules say so. That another cannot be read is nothing about the change. */
static int file_of_commit(void *self, bool head, const char *path, struct buf *out)
{
	struct files *files = self;
	const struct verify_request *request = files->ladder->request;
	struct err why = {0};
	int result = git_file_read(request->repository, head ? &request->head : &request->base, path, out, &why);

	if (result && why.kind != ERR_NOT_FOUND && !out->over && files->unread.kind == ERR_NONE)
		files->unread = why;
	return result;
}

/* Texts of data in recorded answers: long enough, and with a digit or a capital inside, so that no wording is one. */
static void literals_collect(json_t *literals, const json_t *value)
{
	const char *text = json_string_value(value);
	const char *key;
	json_t *member;
	size_t index;

	if (text && json_string_length(value) >= LITERAL_MIN && json_array_size(literals) < LITERALS_MAX &&
	    strpbrk(text + 1, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
		(void)json_array_append(literals, (json_t *)(uintptr_t)value);
	json_object_foreach((json_t *)(uintptr_t)value, key, member)
		literals_collect(literals, member);
	json_array_foreach(value, index, member)
		literals_collect(literals, member);
}

static json_t *literals_of(const json_t *sessions)
{
	json_t *literals = json_array();

	for (size_t i = 0; i < json_array_size(sessions); i++) {
		AUTO_SESSION session = {0};

		if (har_parse(view_of(json_text(json_array_get(sessions, i), "text", "")), &session, NULL))
			continue;
		for (size_t k = 0; k < session.count; k++) {
			const struct exchange *exchange = &session.at[k];
			AUTO_JSON body = exchange->status / 100 == 2 && exchange->response_body.length
						 ? json_parse(view_make(exchange->response_body.at, exchange->response_body.length),
							      NULL)
						 : NULL;

			literals_collect(literals, body);
		}
	}
	return literals;
}

int gate_integrity(struct ladder *ladder, struct gate *gate, struct err *err)
{
	AUTO_JSON sessions = sessions_read(ladder, err);
	AUTO_JSON literals = sessions ? literals_of(sessions) : NULL;
	struct files files = {.ladder = ladder};

	if (!sessions)
		return -1;
	json_decref(gate->findings);
	gate->findings = integrity_check(ladder->changes, ladder->blueprint, literals,
					 (struct file_reader){file_of_commit, &files});
	gate_count(gate, "files", (int64_t)json_array_size(ladder->changes));
	if (files.unread.kind != ERR_NONE && !findings_block(gate->findings)) {
		*err = files.unread;
		return err_prefix(err, "a file of the change cannot be read");
	}
	return 0;
}
