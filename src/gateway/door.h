/*
 * door: the gateway's hold on one sandbox (net/door.h): the listeners inside it, from which its connections and its DNS questions
 * come, and a stock of unconnected sockets through which the sandbox is reached.
 */
#ifndef ASSAY_GATEWAY_DOOR_H
#define ASSAY_GATEWAY_DOOR_H

#include "gateway/env.h"

struct flow;

#define DOOR_STOCK_LOW 8
#define DOOR_STOCK_MAX 32
#define DOOR_WAIT_MS 5000 /* for a socket, when the stock is empty */

/* Takes the descriptor; replaces the door that the sandbox had. */
MUST_USE int door_open(struct env *env, const char *sandbox, int fd, struct err *err);
void door_free(struct door *door);
struct door *door_find(struct env *env, const char *sandbox);
const char *door_sandbox(const struct door *door);
struct env *door_env(const struct door *door);
/* The address of a name as the door's sandbox is told, and what an address is that it asked for: 0 for none. */
uint32_t door_address(const struct door *door, uint32_t synthetic);
uint32_t door_address_back(const struct door *door, uint32_t address);
/* A host outside was asked for there: a sandbox with a door by flow listens for it from now on, at the ports that rules allow (that of a stub: 80 and
 * 443), until others were asked for that take its places. */
void door_host_asked(struct door *door, const char *host, uint32_t synthetic);
/* The environment has other names, or another preview: who listens for them is told. */
void door_names_changed(struct env *env);

/* Connects the flow's server leg to a port inside one of the sandboxes that answer to `name`, in turn. What fails is told by the
 * protocol's server_lost, now or later; door_dial_again() then tries the next one, false when all were tried. */
void door_dial(struct flow *flow, struct name *name, uint16_t port);
/* The same of another environment, whose `name` is. */
void door_dial_in(struct flow *flow, struct env *env, struct name *name, uint16_t port);
bool door_dial_again(struct flow *flow);
/* After a refusal on 127.0.0.1: the same sandbox, on ::1. False when that is not what was refused. */
bool door_dial_v6(struct flow *flow);
void door_wait_cancel(struct flow *flow);

#endif
