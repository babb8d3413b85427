/* State and runtime directories, by environment and user. */
#include "base/place.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && value[0] ? value : NULL;
}

/* `text` is absolute already, or below the current directory. */
static char *absolute(const char *text, struct err *err)
{
	AUTO_FREE char *here = NULL;

	if (text[0] == '/')
		return text_copy(text);
	here = getcwd(NULL, 0);
	if (!here) {
		(void)err_errno(err, errno, "ASSAY_STATE=%s is relative, and there is no current directory", text);
		return NULL;
	}
	return text_format("%s/%s", here, text);
}

char *place_state(struct err *err)
{
	const char *given = variable("ASSAY_STATE");
	const char *base = variable("XDG_STATE_HOME");
	const char *home = variable("HOME");

	if (given)
		return absolute(given, err);
	if (geteuid() == 0)
		return text_copy("/var/lib/assay");
	if (base && base[0] == '/')
		return text_format("%s/assay", base);
	if (home && home[0] == '/')
		return text_format("%s/.local/state/assay", home);
	(void)err_set(err, ERR_INVALID, "nowhere to keep state: set ASSAY_STATE or HOME");
	return NULL;
}

char *place_runtime(struct err *err)
{
	const char *runtime = variable("XDG_RUNTIME_DIR");
	AUTO_FREE char *state = NULL;

	if (!variable("ASSAY_STATE") && geteuid() == 0)
		return text_copy("/run/assay");
	if (!variable("ASSAY_STATE") && runtime && runtime[0] == '/')
		return text_format("%s/assay", runtime);
	state = place_state(err);
	return state ? text_format("%s/run", state) : NULL;
}

char *place_serve_socket(struct err *err)
{
	AUTO_FREE char *runtime = place_runtime(err);

	return runtime ? text_format("%s/serve.sock", runtime) : NULL;
}
