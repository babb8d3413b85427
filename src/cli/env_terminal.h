/*
 * env_terminal: a program in an environment on the person's terminal, over an upgraded connection of the API (doc/api.md): frames
 * both ways, u8 type, u32 length (little endian), bytes.
 */
#ifndef ASSAY_CLI_ENV_TERMINAL_H
#define ASSAY_CLI_ENV_TERMINAL_H

#include "base/json.h"

enum terminal_frame { TERMINAL_BYTES = 0, TERMINAL_RESIZE = 1, TERMINAL_EXIT = 2 };

/* Blocks until the program ends; returns its exit code, or CLI_FAILED after one line on standard error. */
int env_terminal(const char *program, const char *socket_path, const char *env, const char *sandbox, const json_t *argv);

#endif
