/*
 * call: reading recorded exchanges (net/messages.h): headers, queries, bodies, and what one is called by. Everything that is returned
 * is the caller's unless it says borrowed.
 */
#ifndef ASSAY_VERIFY_CALL_H
#define ASSAY_VERIFY_CALL_H

#include "base/json.h"

/* `message` is a request or a response: {"headers": [[name, value]…], "body": text | "body64": base64}. */
/* Borrowed; the first of that name (any case), or NULL. */
const char *call_header(const json_t *message, const char *name);
/* {lower-case name: value}, several of one name joined by ", "; cookies that are set are left out. */
json_t *call_headers(const json_t *message);
/* {cookie name: {"value": text, "attributes": {"path": "/", "httponly": ""}}} of a response's Set-Cookie headers. */
json_t *call_cookies(const json_t *response);
/* The body as bytes. */
void call_body(struct buf *out, const json_t *message);
/* The body when it is JSON (by its first character and by parsing), else NULL. */
json_t *call_body_json(const json_t *message);
/* Decoded parameters of a URL: {name: value}, several of one name joined by "\n". */
json_t *call_query(const char *url);
/* "GET /api/orders/:id" */
void call_endpoint(struct buf *out, const json_t *exchange);
/* The same of an entry of a run, with what was special about it ("under"): "GET /api/orders/:id while orders > db is reset" */
void call_place(struct buf *out, const json_t *entry);
/* "front > catalog"; replicas ("front-2") are called by their service when `inside` ({name: kind}) has it. */
void call_edge(struct buf *out, const json_t *exchange, const json_t *inside);
/* The seam as gateway/fault.h wants it: "front->catalog". Replicas go by names of their own: a fault of theirs is every caller's. Owned by
 * the caller. */
char *call_seam(const json_t *exchange, const json_t *inside);
bool call_is(const json_t *exchange, const char *protocol);
/* Is it a message of a queue, given to it or by it, or what became of one? Its method is "publish", "deliver", "ack", … */
bool call_is_message(const json_t *exchange);
bool call_is_statement(const json_t *exchange); /* of a database, by any protocol */
/* Is its method one that may change something? */
bool call_changes(const json_t *exchange);
/* 0 when there was no answer; of a gRPC call the status of HTTP that its code stands for. */
int call_status(const json_t *exchange);
/* A statement with its literals replaced by "?", blanks collapsed; a Redis command by its name and the form of its key. */
void call_statement(struct buf *out, const json_t *exchange);

#endif
