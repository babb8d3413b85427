/*
 * gateway: the process through which every byte crosses a sandbox's wall: seams between services, databases, the tool API, the outside,
 * and the preview. `assay gateway --link-fd N --preview-listen 127.0.0.1:7421 [--tool-socket PATH] [--user NAME] [--reach NETWORK]…
 * [--authorities FILE]`. `--authorities` names a PEM file of certificate authorities (a company's own) trusted for hosts outside besides the
 * system's.
 *
 * It is told what exists over its link (net/messages.h) and knows nothing else: no file of ours, no store, no key. Started as root it
 * becomes an unprivileged user once its sockets are bound; when its parent ends, it ends.
 */
#ifndef ASSAY_GATEWAY_GATEWAY_H
#define ASSAY_GATEWAY_GATEWAY_H

#define GATEWAY_USER "nobody" /* what root becomes unless --user says otherwise */

/* argv[0] is "gateway". Returns the exit code. */
int gateway_main(int argc, char **argv);

#endif
