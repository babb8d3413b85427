/*
 * doctor_priv: what the doctor looks at, for root (doctor.c) and for an ordinary user (doctor_user.c). Only for this folder.
 */
#ifndef ASSAY_SANDBOX_LOCAL_DOCTOR_PRIV_H
#define ASSAY_SANDBOX_LOCAL_DOCTOR_PRIV_H

#include "sandbox/local/keeper_priv.h"

#define FOUND_BYTES 256

/* Puts what it found into `found`; is that good? */
typedef bool doctor_look(const char *state_dir, char found[FOUND_BYTES]);

struct doctor_check {
	const char *name;
	bool needed; /* else only better to have */
	doctor_look *look;
	const char *mend;
};

doctor_look look_kernel, look_overlay, look_seccomp, look_space, look_files, look_images, look_kill;

/* Is there such a program in the usual folders? */
bool doctor_program_found(const char *name);
/* The folder, or the nearest one above that exists. */
void doctor_existing(const char *path, char at[PATH_BYTES]);

/* What an ordinary user can do here. */
extern const struct doctor_check doctor_user_checks[];
extern const size_t doctor_user_check_count;

#endif
