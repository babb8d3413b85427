/* relay: `assay relay`, the side where visitors come in, or (--to) the side of the machine that they visit (relay/relay.h). */
#ifndef ASSAY_PROGRAMS_RELAY_H
#define ASSAY_PROGRAMS_RELAY_H

int relay_main(int argc, char **argv); /* argv[0] is "relay". Returns the exit code. */

#endif
