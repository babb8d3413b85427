/*
 * messages: what the control plane and the gateway say to each other. One SOCK_SEQPACKET connection (net/link.h): each message is at
 * most 64 KiB: u32 length, u16 version, u16 name, u64 request id, all little endian, then a JSON object; descriptors by SCM_RIGHTS.
 * A reply has the request's name and id, and {"ok": true, …} or {"ok": false, "kind": …, "error": …}.
 *
 * Control plane -> gateway
 *   ENV_PUT      {"env": id, "names": {"db": {"sandbox": "db", "kind": "database", "protocol": "postgres|redis", "port": 5432},
 *                 "front": {"sandbox": "front", "sandboxes": ["front", "front-2"], "kind": "service", "port": 8080}, …},
 *                 "preview": {"service": "front", "port": 8080} | null,
 *                 "egress": [{"host": "*.npmjs.org", "action": "allow"}], "stubs": {"bank.example": [rows of the stub file]},
 *                 "state": "starting|ready|frozen|failed|stopped", "tools": ["workspace"],
 *                 "run"?, "repository"?, "agent"?: kind of the agent in the workspaces, "killed"?: because,
 *                 "remembered"?: [{"hold", "rule", "host", "port", "method", "path", "until_ms"}], "over_budget"?: text,
 *                 "links"?: what links to its preview are taken back (gateway/front.h)}
 *                             + 1 fd: the exchange log, opened O_APPEND; + 1 fd?: a file: what to scan by (gateway/egress/scan_rules.h), JSON
 *                replaces what was known of the environment; open connections of routes that stay are kept. `tools` lists the
 *                sandboxes that may reach http://assay.internal/.
 *   SANDBOX_PUT  {"env": id, "sandbox": name}                                             + 1 fd: its door (net/door.h)
 *   SANDBOX_GONE {"env": id, "sandbox": name}
 *   ENV_GONE     {"env": id}
 *   ENV_STATE    {"env": id, "state": …}
 *   QUIET        {"env": id} -> {"ok": true, "in_flight": requests and database commands not answered, "ended": exchanges so far,
 *                "unwritten": those of them that are not in the exchange log yet}
 *   KILL         {"env": id | "": all, "because": text} or {"env": …, "undo": true, "except"?: [ids]}: resets every connection at once, denies what waits
 *                for a person and refuses everything that comes, until it is undone.
 *   POLICY_PUT   {"policy": {"rules": [...], "ceiling": bool, "passthrough": bool} | null} + 1 fd?: as ENV_PUT's second: the
 *                organisation's, above all; open connections are judged again. What is wrong with it is the answer, and the one before stays.
 *   HOLD_ANSWER  {"env": id, "hold": id, "digest": as it was asked, "allow": bool, "remember": "once|run|hour", "until_ms", "by", "because"}
 *   BUDGET       {"env": id, "over": text for people | null}: model traffic waits for a person while it is over.
 *   FAULT        {"env": id, "kind": "hang|slow|reset|lost|503|clear|list", "seam"?, "times"?, "ms"?} -> {"ok": true, "items": the faults there are now}
 *                (gateway/fault.h)
 *   PHASE        {"env": id, "phase": text}: put into the exchanges that begin from now on.
 *   VAULT        {}                                                          + 1 fd: the gateway's link to the vault (net/vault.h)
 *   LEDGER       {"key_id", "key": PEM}                            + 1 fd: the folder of its ledger (ledger/ledger.h), which it may write
 *   FRONT        {"domain", "key": PEM, "sign_in": URL | null}  + 1 fd: certificate, those above it and private key, PEM: previews for people
 *                elsewhere, at https://<env>.<domain>; `key` is what passes are checked by, `sign_in` where the pages are (gateway/front.h).
 *                With "plain": true and no fd: TLS ends in front of it.
 *   LINKS        {"env": id, "links": as in ENV_PUT}: what links to its preview are taken back; what they let in is reset. Of two, the one with the
 *                higher serial holds, whichever comes last.
 * Gateway -> control plane
 *   LEDGER_HEAD  {"head": as a line of ledger/segment.h, its signature zeros} -> {"ok": true, "head": the line, signed}
 *   THAW         {"env": id}: a request for a frozen environment waits; answer when it is ready.
 *   TOUCH        {"env": id}: it was used (at most once in 5 s and environment).
 *   HOLD         {"env": id, "hold": id, "sandbox", "agent", "run", "method", "tls", "host", "port", "path", "query", "rule", "why", "body_bytes",
 *                "body_start", "digest", "deadline_ms", "remember": may the answer be remembered?}: a request waits for a person; answered when
 *                the question is kept.
 *   HOLD_GONE    {"env": id, "hold": id, "status": "expired|cancelled|kill|gone"}: nobody waits for it any more.
 *   USAGE        {"env": id, "run", "sandbox", "host", "model", "input", "output", "cache_read", "cache_write": tokens, "estimated": bool}
 *   MODEL        {"env": id, "sandbox", "host", "number": 1…, "status", "retry_after_s"?}: a model's host answered an agent's workspace 401, 402,
 *                403, 429, 503 or 529; or well, for the first time after such an answer.
 *   DENIED       {"env": id, "sandbox": name, "host": …, "port": …, "why": …}: for the timeline (rate-limited).
 *   PROPAGATION  {"env": id, "sandbox": name of the baseline's or its own, "to": name, "why": "lost|ambiguous|http/2"}: who was called for it called
 *                on without the `baggage` that says so (gateway/shared.h; rate-limited).
 *   VAULT_LOST   {}: the link to the vault ended; another VAULT is wanted.
 *
 * The exchange log is JSON lines: {"seq", "from": "preview"|sandbox, "to": name or host, "proto": "http|postgres|mysql|redis|amqp|nats|tcp", "phase",
 * "t0_ms", "dt_us", "request": {"method", "url", "headers": [[name, value]…], "body": text | "body64": base64, "body_bytes", "cut": bool},
 * "response": {"status", "headers", "body…"}, "error": text}. For the other protocols, request is {"command": text,
 * "statement"?: text}; a message of a queue has {"method": "publish|deliver|ack|…", "url": exchange and key, stream or channel, "statement"?: its
 * queue, "headers", "body…"} whatever carried it, and the response "complete": "redelivered" when it was given before.
 */
#ifndef ASSAY_NET_MESSAGES_H
#define ASSAY_NET_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

enum message_name {
	MESSAGE_ENV_PUT = 1,
	MESSAGE_SANDBOX_PUT,
	MESSAGE_SANDBOX_GONE,
	MESSAGE_ENV_GONE,
	MESSAGE_ENV_STATE,
	MESSAGE_QUIET,
	MESSAGE_KILL,
	MESSAGE_PHASE,
	MESSAGE_VAULT,
	MESSAGE_LEDGER,
	MESSAGE_FRONT,
	MESSAGE_LINKS,
	MESSAGE_POLICY_PUT = 32,
	MESSAGE_HOLD_ANSWER,
	MESSAGE_BUDGET,
	MESSAGE_FAULT,
	MESSAGE_THAW = 64,
	MESSAGE_TOUCH,
	MESSAGE_DENIED,
	MESSAGE_VAULT_LOST,
	MESSAGE_LEDGER_HEAD,
	MESSAGE_PROPAGATION,
	MESSAGE_HOLD = 96,
	MESSAGE_HOLD_GONE,
	MESSAGE_USAGE,
	MESSAGE_MODEL,
};

#define MESSAGE_BYTES_MAX ((size_t)64 << 10)
#define MESSAGE_VERSION 1

struct message_header {
	uint32_t length; /* of the whole message, header included */
	uint16_t version;
	uint16_t name;
	uint64_t request;
};

/* What a sandbox reaches the control plane's tool API by: plain HTTP, port 80. */
#define MESSAGE_TOOL_HOST "assay.internal"
#define MESSAGE_TOLD_HOST "telemetry.assay.internal" /* port 4318: OTLP over HTTP */
#define MESSAGE_TOLD_URL "http://" MESSAGE_TOLD_HOST ":4318"
#define MESSAGE_PROTO_TOLD "otlp" /* of exchanges: what a program says of itself, of no phase */
/* The proxy for programs that want one named: CONNECT and absolute form. */
#define MESSAGE_PROXY_HOST "proxy.assay.internal"
#define MESSAGE_PROXY_PORT 3128

#endif
