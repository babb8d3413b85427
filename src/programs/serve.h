/*
 * serve: the control plane. It starts the keeper, the gateway and the vault, brings environments and runs to where they stood, and
 * serves the API and the pages. It stays in the foreground; it ends on SIGTERM, SIGINT, SIGHUP and POST /shutdown, and nothing is lost
 * when it is killed instead.
 */
#ifndef ASSAY_PROGRAMS_SERVE_H
#define ASSAY_PROGRAMS_SERVE_H

/* `assay serve [--state DIR] [--runtime DIR] [--listen ADDRESS] [--preview ADDRESS] [--oci RUNTIME] [--exit-when-idle]
 * [--ready-fd N]`; argv[0] is "serve". Returns the exit code. */
int serve_main(int argc, char **argv);

#endif
