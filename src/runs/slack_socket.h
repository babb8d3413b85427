/*
 * slack_socket: Slack's Socket Mode: events come over a WebSocket that we open, so that no address of ours has to be reached from outside.
 *
 * One thread for each connection to Slack with an app-level token. What comes is put into the inbox, as a delivery over HTTP is, and
 * acknowledged when it is on the disk: what was not is sent again by Slack. Where Slack ends a socket for a new one, the new one is open before
 * the old one is left.
 */
#ifndef ASSAY_RUNS_SLACK_SOCKET_H
#define ASSAY_RUNS_SLACK_SOCKET_H

#include "base/err.h"

struct runs;

/* After the inboxes. */
MUST_USE int slack_sockets_open(struct runs *runs, struct err *err);
void slack_sockets_close(struct runs *runs);

#endif
