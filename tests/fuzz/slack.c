/* What comes from Slack: events, interactions as forms, envelopes of Socket Mode, mrkdwn; and Markdown that goes there, in which nothing may act. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/scope.h"
#include "trackers/slack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Only links that were links stand between < and >. */
static void acts_not(const char *text)
{
	for (const char *at = strchr(text, '<'); at; at = strchr(at + 1, '<'))
		if (strncmp(at, "<http://", 8) != 0 && strncmp(at, "<https://", 9) != 0)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view body = view_make(data, size);
	AUTO_TRACKER_EVENT event = {0};
	struct slack_envelope envelope = {0};
	AUTO_FREE char *challenge = slack_challenge(body);
	AUTO_FREE char *mrkdwn = slack_mrkdwn(body);
	AUTO_FREE char *plain = slack_plain(body, "US");
	AUTO_JSON section = slack_section(plain);
	struct err err = {0};

	if (slack_event_parse(body, "T1", "US", &event, &err) && err.kind == ERR_NONE)
		abort();
	if (!slack_envelope_parse(body, &envelope, NULL))
		slack_envelope_fini(&envelope);
	acts_not(mrkdwn);
	return 0;
}
