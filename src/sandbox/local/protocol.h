/*
 * protocol: what the control plane asks of the keeper. One SOCK_SEQPACKET socketpair, one fixed struct each way, every text bounded
 * and NUL-terminated (the keeper checks), no JSON. A request names the fields it uses in the comment of its ask.
 *
 * Requests are answered by id, long ones (copies, commits) after later ones.
 */
#ifndef ASSAY_SANDBOX_LOCAL_PROTOCOL_H
#define ASSAY_SANDBOX_LOCAL_PROTOCOL_H

#include "base/err.h"
#include "base/world.h"
#include "net/messages.h"
#include "sandbox/provider.h"

#define KEEPER_LAYER_NAME_BYTES 256
#define KEEPER_IMAGE_BYTES 1024
#define KEEPER_PATH_BYTES 256
#define KEEPER_META_BYTES_MAX (1 << 20)
#define KEEPER_STOPPED_BYTES 256

enum keeper_ask {
	KEEPER_ENV_MAKE = 1,  /* env */
	KEEPER_ENV_REMOVE,    /* env */
	KEEPER_ENV_STOP,      /* env */
	KEEPER_ENV_FREEZE,    /* env, flag: frozen */
	KEEPER_ENV_LIST,      /* reply: a memfd of struct keeper_env_row */
	KEEPER_VOLUME_MAKE,   /* env, name, layers, flag: blocks; reply: copied */
	KEEPER_VOLUME_REMOVE, /* env, name */
	KEEPER_VOLUME_COMMIT, /* env, name, layers[0], + a memfd: the meta text, kept as it is */
	KEEPER_VOLUME_CLONE,  /* env, env_to, name */
	KEEPER_LAYER_LIST,    /* layers[0]: prefix; reply: a memfd of struct keeper_layer_row, each followed by its meta */
	KEEPER_LAYER_REMOVE,  /* layers[0] */
	KEEPER_LAYER_IMPORT,  /* layers[0], image: the folder to copy, + a memfd: the meta text */
	KEEPER_SANDBOX_MAKE, /* env, name, image, mounts, limits; reply: the control socket of its pid 1 (sandbox/init/control.h) */
	KEEPER_SANDBOX_REMOVE, /* env, name */
	KEEPER_SANDBOX_USAGE,  /* env, name; reply: usage */
	KEEPER_ENV_ACTIVITY,   /* env; reply: activity */
	KEEPER_SEVER,          /* env or "": all, flag: the gateway's process id, whose connections are reset */
	KEEPER_ASK_COUNT,
};

struct keeper_mount {
	char volume[SANDBOX_NAME_MAX + 1];
	char path[KEEPER_PATH_BYTES];
	uint32_t read_only;
};

struct keeper_request {
	struct message_header header; /* name: enum keeper_ask */
	struct env_id env;
	struct env_id env_to;
	char name[SANDBOX_NAME_MAX + 1];
	uint32_t flag;
	uint32_t part; /* KEEPER_SEVER: only what comes from the sandboxes, and no listeners */
	uint32_t layer_count;
	char layers[VOLUME_LAYERS_MAX][KEEPER_LAYER_NAME_BYTES];
	char image[KEEPER_IMAGE_BYTES]; /* "": the host's root */
	uint32_t mount_count;
	struct keeper_mount mounts[SANDBOX_MOUNTS_MAX];
	struct limits limits;
	char authority[SANDBOX_AUTHORITY_MAX]; /* PEM; "": none */
	char authority_hash[SANDBOX_AUTHORITY_HASH_MAX];
};

struct keeper_reply {
	struct message_header header; /* name and request as asked */
	uint32_t kind;                /* enum err_kind; ERR_NONE: done */
	char text[ERR_TEXT_MAX];
	uint32_t copied;
	uint32_t activity; /* enum activity */
	struct sandbox_usage usage;
};

struct keeper_env_row {
	struct env_id env;
	char sandbox[SANDBOX_NAME_MAX + 1]; /* "": the row of the environment itself */
	uint32_t frozen;
	char stopped[KEEPER_STOPPED_BYTES]; /* why the keeper itself killed its sandboxes; "": it did not */
};

struct keeper_layer_row {
	char name[KEEPER_LAYER_NAME_BYTES];
	int64_t bytes; /* -1: not counted yet */
	int64_t created_ms;
	uint64_t meta_bytes; /* they follow */
};

#endif
