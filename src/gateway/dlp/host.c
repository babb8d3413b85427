/* A host name as a message: what is asked of a resolver, or sent in a ClientHello, is read by whoever runs the zone. */
#include <ctype.h>

#include "base/scope.h"
#include "gateway/dlp/dlp_priv.h"

#define LABELS_MAX 9
#define LABEL_LONG ((size_t)20)
#define LABEL_ENTROPY 4.0
#define CODED_LEAST ((size_t)24)
#define NAME_MAX_BYTES ((size_t)253)

/* Base 32 or hexadecimal digits and nothing else: identifiers of machines have fewer. */
static bool label_is_coded(struct view label)
{
	size_t digits = 0, base32 = 0, hex = 0;

	for (size_t i = 0; i < label.length; i++) {
		char c = label.at[i];

		digits += isdigit((unsigned char)c) != 0;
		base32 += (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
		hex += isxdigit((unsigned char)c) != 0;
	}
	if (label.length < CODED_LEAST)
		return false;
	return (base32 == label.length && digits >= 3) || (hex == label.length && label.length > 32);
}

static const char *host_form(struct view host)
{
	struct view rest = host;
	size_t labels = 0;

	while (rest.length) {
		struct view label = view_cut(rest, '.', &rest);

		labels++;
		if (label.length >= LABEL_LONG && dlp_entropy(label) > LABEL_ENTROPY)
			return "a part of the name looks like data, not like a name";
		if (label_is_coded(label))
			return "a part of the name looks encoded";
	}
	return labels > LABELS_MAX ? "the name has more than nine parts" : NULL;
}

bool dlp_host_carries(struct dlp *dlp, const char *host)
{
	struct dlp_message *message;
	struct view name = view_of(host);
	AUTO_BUF joined = buf_new(NAME_MAX_BYTES * 2 + 1);
	struct look look = {.where = DLP_HOST, .view = "plain"};
	bool carries;

	if (!dlp || name.length > NAME_MAX_BYTES)
		return host_form(name) != NULL;
	for (size_t i = 0; i < name.length; i++)
		if (name.at[i] != '.')
			buf_add_char(&joined, name.at[i]);
	message = dlp_begin(dlp, DLP_HOST);
	look.text = name;
	look_at(message, &look);
	look.text = buf_view(&joined);
	look.pieced = true;
	look_at(message, &look);
	carries = message->action >= DLP_HOLD;
	dlp_free(message);
	return carries;
}

const char *dlp_host(struct dlp *dlp, const char *host, bool listed)
{
	const char *why;

	if (listed)
		return NULL;
	if (strlen(host) > NAME_MAX_BYTES)
		return "the name is too long";
	why = host_form(view_of(host));
	if (why || !dlp)
		return why;
	return dlp_host_carries(dlp, host) ? "the name carries a secret" : NULL;
}
