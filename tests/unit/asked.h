/* asked: requests on their way out, as rows of a test say them. */
#ifndef ASSAY_TESTS_UNIT_ASKED_H
#define ASSAY_TESTS_UNIT_ASKED_H

#include "gateway/egress/request.h"

#define FIELDS_MAX 8

struct asked {
	struct egress_request request;
	struct egress_field fields[FIELDS_MAX];
};

/* Over TLS from e1; `target` is "/path?query", `fields` are "name: value", up to NULL or FIELDS_MAX; NULL: none. A POST has a body. */
static inline void ask_fill(struct asked *asked, const char *method, const char *host, const char *target,
			    const char *const *fields)
{
	struct view query;

	*asked = (struct asked){.request = {.origin = {.env = "e1"}, .host = host, .port = 443, .tls = true, .version = 11}};
	asked->request.method = view_of(method);
	asked->request.path = view_cut(view_of(target), '?', &query);
	asked->request.query = query.at ? query : VIEW("");
	asked->request.fields = asked->fields;
	asked->request.body_bytes = view_is(asked->request.method, "POST") ? -1 : 0;
	for (size_t i = 0; fields && i < FIELDS_MAX && fields[i]; i++) {
		struct view value;
		struct view name = view_cut(view_of(fields[i]), ':', &value);

		asked->fields[asked->request.field_count++] = (struct egress_field){name, view_trim(value)};
	}
}

#endif
