/* What holds for every tracker. */
#include "trackers/tracker.h"

json_t *tracker_list(struct tracker tracker, const struct list_ask *ask, struct err *err)
{
	return tracker.ops->list(tracker.self, ask, err);
}

json_t *tracker_fetch(struct tracker tracker, const char *item, struct err *err)
{
	return tracker.ops->fetch(tracker.self, item, err);
}

static int text_check(const char *what, const char *text, size_t bytes_max, struct err *err)
{
	if (!view_trim(view_of(text)).length)
		return err_set(err, ERR_INVALID, "%s is empty", what);
	if (strlen(text) > bytes_max)
		return err_set(err, ERR_LIMIT, "%s is longer than %zu bytes", what, bytes_max);
	return 0;
}

json_t *tracker_make(struct tracker tracker, const char *repository, const char *title, const char *body, struct err *err)
{
	if (text_check("the issue's title", title, TRACKER_TITLE_BYTES_MAX, err))
		return NULL;
	if (strlen(body) > TRACKER_TEXT_BYTES_MAX) {
		(void)err_set(err, ERR_LIMIT, "the issue's text is longer than %zu bytes", TRACKER_TEXT_BYTES_MAX);
		return NULL;
	}
	return tracker.ops->make(tracker.self, repository, title, body, err);
}

int tracker_claim(struct tracker tracker, const char *item, const char *run, struct err *err)
{
	return tracker.ops->claim(tracker.self, item, run, err);
}

int tracker_post(struct tracker tracker, const char *item, const char *author, const char *text, const char *operation,
		 struct err *err)
{
	if (text_check("the comment", text, TRACKER_TEXT_BYTES_MAX, err))
		return -1;
	return tracker.ops->post(tracker.self, item, author, text, operation, err);
}

int tracker_link_pull(struct tracker tracker, const char *item, int64_t pull, struct err *err)
{
	return tracker.ops->link_pull(tracker.self, item, pull, err);
}

int tracker_set_state(struct tracker tracker, const char *item, const char *state, struct err *err)
{
	return tracker.ops->set_state(tracker.self, item, state, err);
}
