/*
 * runs_fake: the outside of src/runs, faked at link time: environments that hold one file, an agent that follows a script, a verifier that
 * reads that file, a vault that signs with nothing. It outlives a crash of the engine: `dead` makes every call fail, as the end of the
 * machine would, until it is set to false again.
 */
#ifndef ASSAY_TESTS_RUNS_FAKE_H
#define ASSAY_TESTS_RUNS_FAKE_H

#include "sandbox/environment.h"

#define FAKE_ENVS_MAX 32

struct fake_media { /* what a verification leaves for people (verify.h, "media") */
	const char *title;
	const char *type;
	const char *bytes;
};

struct fake_env {
	struct env_id id;
	char owner[ID_TEXT_MAX];
	char purpose[16];
	char content[256]; /* of /workspace/app.txt, or of shop/app.txt */
	char other[256];   /* of lib/app.txt, where both are there */
	char repository[256];
	char deployed[256]; /* what its services were built from */
	bool alive;
	bool frozen;
	bool pinned;
	int64_t grace_ms;
};

struct fake_world {
	struct fake_env envs[FAKE_ENVS_MAX];
	int env_count;
	bool dead;
	int agent_turns;
	int verifies;
	char prompts[16][16384]; /* of the last turns */
	/* The script: what the agent writes in its nth turn (NULL: nothing; "A|B": in two repositories), what it prints, how it ends. */
	const char *writes[16];
	const char *output;
	int exit_code;
	int hangs;            /* so many turns hang, until cancelled */
	int hangs_from;       /* counted from this turn on */
	const char *said;     /* what those that hang print first */
	char words[16][8192]; /* the last turns' programs and arguments */
	char file[256];       /* the last one of the agent's HOME */
	bool agent_began;     /* atomic */
	int link;             /* of previews: the number of the one that is signed now; 0: they carry none */
	int shown;            /* environment_show(): how often; atomic */
	const struct fake_media *media;
	size_t media_count;
	int unstable;    /* so many verifications cannot tell */
	int destroyed;   /* so many turns lose their workspace */
	bool by_model;   /* each agent writes its ASSAY_AGENT_MODEL */
	int faults;      /* on seams, of the agent's making */
	int up_failures; /* environment_up fails so often */
	int up_retries;  /* … and has no room so often before */
	enum err_kind verify_error;
};

extern struct fake_world fake;

void fake_reset(void);
struct fake_env *fake_env_of(const char *run); /* the living one; NULL */
int fake_alive(void);

#endif
