/*
 * What the vault gives away before it reads its first message: capabilities, the right to gain any, its memory's visibility to others,
 * and every system call but those that receive, map, sign and answer.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "vault/vault_priv.h"

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#else
#error "the vault's filter of system calls does not know this processor"
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FILTER_POSSIBLE false /* the sanitizers' own threads and signals need more */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define FILTER_POSSIBLE false
#else
#define FILTER_POSSIBLE true
#endif
#else
#define FILTER_POSSIBLE true
#endif

static const unsigned allowed[] = {
	__NR_recvmsg,    __NR_sendto, __NR_mmap,       __NR_munmap,       __NR_mprotect,        __NR_madvise,       __NR_brk,
	__NR_close,      __NR_fstat,  __NR_fcntl,      __NR_futex,        __NR_getrandom,       __NR_clock_gettime, __NR_write,
	__NR_exit,       __NR_getpid, __NR_exit_group, __NR_rt_sigreturn, __NR_restart_syscall,
#ifdef __NR_poll
	__NR_poll,
#endif
	__NR_ppoll,
#ifdef __NR_newfstatat
	__NR_newfstatat, /* glibc's fstat on an empty path */
#endif
};

#define FILTER_HEAD 3
#define FILTER_TAIL 1

static int filter_install(struct err *err)
{
	struct sock_filter rows[FILTER_HEAD + 2 * ARRAY_LEN(allowed) + FILTER_TAIL + 1];
	struct sock_fprog program = {.filter = rows};
	unsigned short at = 0;

	rows[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	rows[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0);
	rows[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	rows[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		rows[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
		rows[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	rows[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	program.len = at;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return err_errno(err, errno, "cannot install the vault's filter of system calls");
	return 0;
}

static int capabilities_drop(struct err *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}, {0}};

	for (unsigned long capability = 0; capability <= CAP_LAST_CAP; capability++)
		(void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); /* without CAP_SETPCAP there is nothing to drop */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, none))
		return err_errno(err, errno, "cannot drop the vault's capabilities");
	return 0;
}

int vault_confine(struct err *err)
{
	/* What it has touched, and what it will: code that it never runs, or never again, is not kept in memory for that. */
	mem_settle();
	if (mlockall(MCL_CURRENT | MCL_ONFAULT))
		log_warn("the vault's memory cannot be kept out of swap: raise the limit on locked memory");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_errno(err, errno, "cannot forbid new privileges");
	if (capabilities_drop(err))
		return -1;
	/* After the credentials changed, which resets both. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		return err_errno(err, errno, "cannot hide the vault's memory");
	return FILTER_POSSIBLE ? filter_install(err) : 0;
}
