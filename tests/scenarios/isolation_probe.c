/*
 * isolation_probe: runs inside a sandbox and tries to get out, or to hurt what is outside. Each attempt is one line of TAP: `ok` when
 * the system refused it, `not ok` when it went through. An attempt that crashes its child counts as not refused. Static.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/quota.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPT_SECONDS 10
#define REFUSED 0
#define ALLOWED 1

static bool as_root;

static int told(long result)
{
	return result < 0 ? REFUSED : ALLOWED;
}

static int opens(const char *path, int flags)
{
	return told(open(path, flags | O_CLOEXEC, 0644));
}

/* Reads something that is not nothing? A masked file is empty. */
static int reads(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char byte;

	return fd >= 0 && read(fd, &byte, 1) == 1 ? ALLOWED : REFUSED;
}

/* ---- namespaces and mounts ---- */

static int try_mount_tmpfs(void)
{
	return told(mount("none", "/tmp", "tmpfs", 0, NULL));
}
static int try_remount_root(void)
{
	return told(mount("none", "/", NULL, MS_REMOUNT | MS_BIND, NULL));
}
static int try_remount_sys(void)
{
	return told(mount("none", "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
}
static int try_umount_mask(void)
{
	return told(umount2("/proc/kcore", MNT_DETACH));
}
static int try_umount_sys(void)
{
	return told(umount2("/proc/sys", MNT_DETACH));
}
static int try_pivot_root(void)
{
	return told(syscall(SYS_pivot_root, ".", "."));
}
static int try_fsopen(void)
{
	return told(syscall(SYS_fsopen, "tmpfs", 0));
}
static int try_open_tree(void)
{
	return told(syscall(SYS_open_tree, AT_FDCWD, "/", 1));
}
static int try_unshare_user(void)
{
	return told(unshare(CLONE_NEWUSER));
}
static int try_unshare_mount(void)
{
	return told(unshare(CLONE_NEWNS));
}
static int try_clone_user(void)
{
	return told(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}
static int try_clone3_user(void)
{
	struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};

	return told(syscall(SYS_clone3, &args, sizeof(args)));
}
static int try_setns_pid_1(void)
{
	int fd = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? REFUSED : told(setns(fd, 0));
}
static int try_chroot(void)
{
	return told(chroot("/tmp"));
}
static int try_nested_overlay(void)
{
	return told(mount("overlay", "/tmp", "overlay", 0, "lowerdir=/usr:/etc"));
}

/* ---- devices ---- */

static int device(unsigned major, unsigned minor, mode_t type)
{
	int fd;

	(void)unlink("/tmp/device");
	if (mknod("/tmp/device", type | 0666, makedev(major, minor)))
		return REFUSED;
	fd = open("/tmp/device", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return told(fd);
}
static int try_mknod_disk(void)
{
	return device(254, 0, S_IFBLK) || device(8, 0, S_IFBLK) || device(7, 0, S_IFBLK) ? ALLOWED : REFUSED;
}
static int try_mknod_mem(void)
{
	return device(1, 1, S_IFCHR) || device(1, 11, S_IFCHR) ? ALLOWED : REFUSED;
}
static int try_dev_write(void)
{
	return opens("/dev/new", O_CREAT | O_WRONLY);
}
static int try_dev_fuse(void)
{
	return opens("/dev/fuse", O_RDWR);
}
static int try_dev_kvm(void)
{
	return opens("/dev/kvm", O_RDWR);
}
static int try_loop_control(void)
{
	return opens("/dev/loop-control", O_RDWR);
}

/* ---- /proc ---- */

static int try_core_pattern(void)
{
	return opens("/proc/sys/kernel/core_pattern", O_WRONLY);
}
static int try_modprobe(void)
{
	return opens("/proc/sys/kernel/modprobe", O_WRONLY);
}
static int try_vm_sysctl(void)
{
	return opens("/proc/sys/vm/overcommit_memory", O_WRONLY);
}
static int try_net_sysctl(void)
{
	return opens("/proc/sys/net/ipv4/ip_forward", O_WRONLY);
}
static int try_sysrq(void)
{
	return opens("/proc/sysrq-trigger", O_WRONLY);
}
static int try_kcore(void)
{
	return reads("/proc/kcore");
}
static int try_kallsyms(void)
{
	return reads("/proc/kallsyms");
}
static int try_kmsg(void)
{
	return reads("/proc/kmsg") || reads("/dev/kmsg") ? ALLOWED : REFUSED;
}
static int try_keys(void)
{
	return reads("/proc/keys");
}
static int try_timer_list(void)
{
	return reads("/proc/timer_list");
}
static int try_uevent_helper(void)
{
	return opens("/sys/kernel/uevent_helper", O_WRONLY);
}
static int try_binfmt(void)
{
	return opens("/proc/sys/fs/binfmt_misc/register", O_WRONLY);
}
static int try_release_agent(void)
{
	return opens("/sys/fs/cgroup/memory/release_agent", O_WRONLY);
}
static int try_sysfs(void)
{
	return reads("/sys/kernel/mm/transparent_hugepage/enabled");
}
/* Does /proc show, or its root lead to, a process outside? Only pid 1 and what we started should be there. */
static int try_proc_root_of_init(void)
{
	return told(open("/proc/1/root/proc/kcore", O_RDONLY | O_CLOEXEC));
}
static int try_init_memory(void)
{
	return opens("/proc/1/mem", O_RDWR);
}
static int try_init_ptrace(void)
{
	return told(ptrace(PTRACE_ATTACH, 1, 0, 0));
}
static int try_init_exe_write(void)
{
	return opens("/proc/1/exe", O_WRONLY);
}
static int try_init_stop(void)
{
	struct timespec moment = {0, 100000000};
	char text[512] = {0};
	int fd;

	(void)kill(1, SIGSTOP);
	(void)kill(1, SIGKILL);
	(void)nanosleep(&moment, NULL);
	fd = open("/proc/1/stat", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return ALLOWED; /* it is gone */
	return strstr(text, ") T ") ? ALLOWED : REFUSED;
}
static int try_kill_outside(void)
{
	int reached = 0;

	/* Only what is in our pid namespace can be named at all; nothing in it is above some thousands. */
	for (pid_t pid = 20000; pid < 32768; pid++)
		reached += kill(pid, 0) == 0;
	return reached ? ALLOWED : REFUSED;
}

/* ---- system calls ---- */

static int try_io_uring(void)
{
	char parameters[120] = {0};

	return told(syscall(SYS_io_uring_setup, 4, parameters));
}
static int try_bpf(void)
{
	union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

	return told(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)));
}
static int try_perf(void)
{
	struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attributes)};

	return told(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}
static int try_userfaultfd(void)
{
	return told(syscall(SYS_userfaultfd, 0));
}
static int try_keyctl(void)
{
	return told(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
}
static int try_add_key(void)
{
	return told(syscall(SYS_add_key, "user", "x", "y", 1, KEY_SPEC_PROCESS_KEYRING));
}
static int try_open_by_handle(void)
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + 64];
	} place = {.handle = {.handle_bytes = 8, .handle_type = 1}};
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	place.handle.f_handle[0] = 2; /* the root directory of ext4: how "shocker" got out */
	return told(open_by_handle_at(root, &place.handle, O_RDONLY));
}
static int try_pidfd_getfd(void)
{
	int pid_fd = (int)syscall(SYS_pidfd_open, 1, 0);

	return pid_fd < 0 ? REFUSED : told(syscall(SYS_pidfd_getfd, pid_fd, 3, 0));
}
static int try_process_vm(void)
{
	char byte;
	struct iovec local = {&byte, 1}, remote = {(void *)0x400000, 1};

	return told(process_vm_readv(1, &local, 1, &remote, 1, 0));
}
static int try_kexec(void)
{
	return told(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}
static int try_module(void)
{
	return told(syscall(SYS_init_module, "x", 1, ""));
}
static int try_reboot(void)
{
	return told(reboot(RB_DISABLE_CAD));
}
static int try_swapon(void)
{
	return told(syscall(SYS_swapon, "/etc/hosts", 0));
}
static int try_clock(void)
{
	struct timeval now;

	(void)gettimeofday(&now, NULL);
	return told(settimeofday(&now, NULL));
}
static int try_acct(void)
{
	return told(acct("/tmp/acct"));
}
static int try_quota(void)
{
	return told(quotactl(QCMD(Q_SYNC, USRQUOTA), "/dev/vda", 0, NULL));
}
static int try_hostname(void)
{
	return told(sethostname("x", 1));
}
static int try_iopl(void)
{
	return told(syscall(SYS_iopl, 3));
}
static int try_syslog(void)
{
	char text[64];

	return told(syscall(SYS_syslog, 3, text, sizeof(text)));
}
static int try_tiocsti(void)
{
	int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	char byte = 'x';

	return fd < 0 ? REFUSED : told(ioctl(fd, TIOCSTI, &byte));
}
static int try_tiocsti_high_bits(void)
{
	int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	char byte = 'x';

	return fd < 0 ? REFUSED : told(syscall(SYS_ioctl, fd, 0xdeadbeef00000000ul | TIOCSTI, &byte));
}
static int try_nice(void)
{
	return told(setpriority(PRIO_PROCESS, 0, -20));
}
static int try_realtime(void)
{
	struct sched_param parameters = {.sched_priority = 50};

	return told(sched_setscheduler(0, SCHED_FIFO, &parameters));
}
static int try_files_limit(void)
{
	struct rlimit limit = {1 << 20, 1 << 20};

	return told(setrlimit(RLIMIT_NOFILE, &limit));
}
static int try_core_limit(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	return told(setrlimit(RLIMIT_CORE, &limit));
}

/* ---- privileges ---- */

static int try_no_new_privs_off(void)
{
	(void)prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? REFUSED : ALLOWED;
}
static int try_bounding_set(void)
{
	static const int dangerous[] = {
		2 /* DAC_READ_SEARCH */, 12 /* NET_ADMIN */, 13 /* NET_RAW */, 16 /* SYS_MODULE */, 18, 19, 21, 27};

	for (size_t i = 0; i < sizeof(dangerous) / sizeof(dangerous[0]); i++)
		if (prctl(PR_CAPBSET_READ, dangerous[i], 0, 0, 0) == 1)
			return ALLOWED;
	return REFUSED;
}
static int try_setuid_root(void)
{
	return as_root ? REFUSED : told(setuid(0));
}
static int try_setuid_program(void)
{
	pid_t pid;
	int status;

	if (as_root)
		return REFUSED;
	pid = fork();
	if (pid == 0) {
		(void)execl("/usr/bin/su", "su", "-c", "true", NULL);
		_exit(1);
	}
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? ALLOWED : REFUSED;
}
static int try_file_capability(void)
{
	static const unsigned value[5] = {0x02000001, 1u << 21, 0, 0, 0}; /* SYS_ADMIN, effective */
	int fd = open("/tmp/capable", O_CREAT | O_WRONLY | O_CLOEXEC, 0755);

	return told(fsetxattr(fd, "security.capability", value, sizeof(value), 0));
}
static int try_trusted_xattr(void)
{
	return told(setxattr("/tmp", "trusted.overlay.opaque", "y", 1, 0));
}
static int try_chown_outside_range(void)
{
	int fd = open("/tmp/owned", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	return told(fchown(fd, 70000, 70000));
}
static int try_immutable(void)
{
	int fd = open("/tmp/immutable", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	int flags = 0x10;

	return told(ioctl(fd, 0x40086602 /* FS_IOC_SETFLAGS */, &flags));
}

/* ---- what is private to the machine ---- */

static int try_shadow(void)
{
	return reads("/etc/shadow") || reads("/etc/gshadow") || reads("/etc/shadow-") ? ALLOWED : REFUSED;
}
static int try_ssh_keys(void)
{
	return opens("/etc/ssh", O_RDONLY) || opens("/etc/ssl/private", O_RDONLY) ? ALLOWED : REFUSED;
}
static int try_root_home(void)
{
	return reads("/root/.bashrc") || reads("/root/.profile") ? ALLOWED : REFUSED;
}
static int try_machine_id(void)
{
	return reads("/etc/machine-id") || reads("/var/lib/dbus/machine-id") ? ALLOWED : REFUSED;
}
static int try_host_folders(void)
{
	return opens("/boot", O_RDONLY) || opens("/lost+found", O_RDONLY) || opens("/media", O_RDONLY) ||
			       opens("/var/lib/dpkg", O_RDONLY)
		       ? ALLOWED
		       : REFUSED;
}
/* A file that everybody may read, in the home of the user who started all this. */
static int try_user_home(void)
{
	const char *file = getenv("HOST_FILE");

	return opens(file ? file : "/home", file ? O_RDONLY : O_RDONLY | O_CREAT);
}
static int try_usr_write_reaches_host(void)
{
	/* It may be written, into the sandbox's own layer: the story looks at the host. */
	int fd = open("/usr/bin/escaped-from-a-sandbox", O_CREAT | O_WRONLY | O_CLOEXEC, 0755);

	return !as_root && fd >= 0 ? ALLOWED : REFUSED;
}

/* ---- network ---- */

static int family(int number, int type, int protocol)
{
	return told(socket(number, type | SOCK_CLOEXEC, protocol));
}
static int try_vsock(void)
{
	return family(AF_VSOCK, SOCK_STREAM, 0);
}
static int try_packet(void)
{
	return family(AF_PACKET, SOCK_RAW, 0);
}
static int try_alg(void)
{
	return family(AF_ALG, SOCK_SEQPACKET, 0);
}
static int try_raw(void)
{
	return family(AF_INET, SOCK_RAW, IPPROTO_ICMP) || family(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6) ? ALLOWED : REFUSED;
}
static int try_ping(void)
{
	return family(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
}
static int try_nf_tables(void)
{
	return family(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
}
static int try_uevents(void)
{
	return family(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
}
static int try_other_families(void)
{
	for (int number = 3; number < 46; number++)
		if (number != AF_INET6 && number != AF_NETLINK && family(number, SOCK_DGRAM, 0) == ALLOWED)
			return ALLOWED;
	return REFUSED;
}
/* Deletes the default route of table local; the answer is in the acknowledgement. */
static int try_route_delete(void)
{
	struct {
		struct nlmsghdr header;
		struct rtmsg route;
	} request = {{sizeof(request), RTM_DELROUTE, NLM_F_REQUEST | NLM_F_ACK, 1, 0},
		     {.rtm_family = AF_INET, .rtm_table = RT_TABLE_LOCAL, .rtm_type = RTN_LOCAL, .rtm_scope = RT_SCOPE_NOWHERE}};
	union {
		struct nlmsghdr header;
		char bytes[1024];
	} reply;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	const struct nlmsgerr *error = NLMSG_DATA(&reply.header);

	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0 || recv(fd, &reply, sizeof(reply), 0) < 0)
		return REFUSED;
	return reply.header.nlmsg_type == NLMSG_ERROR && error->error ? REFUSED : ALLOWED;
}
static int try_link_down(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return told(ioctl(fd, SIOCSIFFLAGS, &request));
}
static int try_take_door(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(15001), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
	return bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0 ? ALLOWED : REFUSED;
}
static int try_mark(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), mark = 1;

	return told(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
}
static int try_transparent(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	return told(setsockopt(fd, SOL_IP, IP_TRANSPARENT, &yes, sizeof(yes)));
}
/* A server of the story listens on this port of the host's loopback; here it must be nobody's. */
static int try_host_loopback(void)
{
	const char *port = getenv("HOST_PORT");
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_port = htons((uint16_t)(port ? atoi(port) : 1));
	return told(connect(fd, (struct sockaddr *)&address, sizeof(address)));
}
static int try_abstract_socket(void)
{
	const char *name = getenv("HOST_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	name = name ? name : "none";
	(void)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s", name);
	return told(connect(fd, (struct sockaddr *)&address, (socklen_t)(sizeof(address.sun_family) + 1 + strlen(name))));
}
static int try_udp_out(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(443), .sin_addr = {htonl(0x08080808)}};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char byte = 0;

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) || send(fd, &byte, 1, 0) < 0)
		return REFUSED;
	if (poll(&(struct pollfd){fd, POLLIN, 0}, 1, 2000) != 1)
		return ALLOWED; /* silence is no refusal */
	return recv(fd, &byte, 1, 0) < 0 && errno == ECONNREFUSED ? REFUSED : ALLOWED;
}

/* ---- resources ---- */

static int try_shm_hog(void)
{
	int fd = open("/dev/shm/hog", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	int result = fd < 0 || posix_fallocate(fd, 0, (off_t)2 << 30) ? REFUSED : ALLOWED;

	(void)unlink("/dev/shm/hog");
	return result;
}
static int try_dev_hog(void)
{
	return opens("/dev/hog", O_CREAT | O_RDWR);
}

struct attempt {
	const char *what;
	int (*run)(void);
};

static const struct attempt attempts[] = {
	{"mount a tmpfs", try_mount_tmpfs},
	{"remount the root", try_remount_root},
	{"remount /proc/sys writable", try_remount_sys},
	{"unmount a mask", try_umount_mask},
	{"unmount /proc/sys", try_umount_sys},
	{"pivot_root", try_pivot_root},
	{"fsopen", try_fsopen},
	{"open_tree", try_open_tree},
	{"item 68: a nested user namespace by unshare", try_unshare_user},
	{"a nested mount namespace", try_unshare_mount},
	{"item 68: a nested user namespace by clone", try_clone_user},
	{"a nested user namespace by clone3", try_clone3_user},
	{"enter the namespaces of pid 1", try_setns_pid_1},
	{"chroot", try_chroot},
	{"a nested overlay", try_nested_overlay},
	{"make a disk's device", try_mknod_disk},
	{"make the memory's device", try_mknod_mem},
	{"make a file in /dev", try_dev_write},
	{"open /dev/fuse", try_dev_fuse},
	{"open /dev/kvm", try_dev_kvm},
	{"open /dev/loop-control", try_loop_control},
	{"write core_pattern", try_core_pattern},
	{"write modprobe", try_modprobe},
	{"write a sysctl of memory", try_vm_sysctl},
	{"write a sysctl of the network", try_net_sysctl},
	{"write sysrq-trigger", try_sysrq},
	{"read kcore", try_kcore},
	{"read kallsyms", try_kallsyms},
	{"read the kernel's log", try_kmsg},
	{"read /proc/keys", try_keys},
	{"read timer_list", try_timer_list},
	{"write uevent_helper", try_uevent_helper},
	{"register a binary format", try_binfmt},
	{"write a release_agent", try_release_agent},
	{"read sysfs", try_sysfs},
	{"reach outside by /proc/1/root", try_proc_root_of_init},
	{"write the memory of pid 1", try_init_memory},
	{"trace pid 1", try_init_ptrace},
	{"write the program of pid 1", try_init_exe_write},
	{"stop or kill pid 1", try_init_stop},
	{"signal a process outside", try_kill_outside},
	{"io_uring", try_io_uring},
	{"bpf", try_bpf},
	{"perf_event_open", try_perf},
	{"userfaultfd", try_userfaultfd},
	{"keyctl", try_keyctl},
	{"add_key", try_add_key},
	{"open_by_handle_at", try_open_by_handle},
	{"pidfd_getfd of pid 1", try_pidfd_getfd},
	{"process_vm_readv of pid 1", try_process_vm},
	{"kexec", try_kexec},
	{"load a module", try_module},
	{"reboot", try_reboot},
	{"swapon", try_swapon},
	{"set the clock", try_clock},
	{"acct", try_acct},
	{"quotactl", try_quota},
	{"set the host name", try_hostname},
	{"iopl", try_iopl},
	{"read the log by syslog", try_syslog},
	{"type into a terminal", try_tiocsti},
	{"type into a terminal, with bits the kernel drops", try_tiocsti_high_bits},
	{"raise the priority", try_nice},
	{"real-time scheduling", try_realtime},
	{"raise the limit of descriptors", try_files_limit},
	{"raise the limit of core dumps", try_core_limit},
	{"turn no_new_privs off", try_no_new_privs_off},
	{"dangerous capabilities in the bounding set", try_bounding_set},
	{"setuid 0", try_setuid_root},
	{"a set-user-id program", try_setuid_program},
	{"a file capability", try_file_capability},
	{"a trusted attribute", try_trusted_xattr},
	{"give a file to ids outside the range", try_chown_outside_range},
	{"an immutable file", try_immutable},
	{"read shadow", try_shadow},
	{"read host keys", try_ssh_keys},
	{"read root's home", try_root_home},
	{"read the machine's id", try_machine_id},
	{"see folders of the host", try_host_folders},
	{"read the user's home", try_user_home},
	{"write /usr as a user", try_usr_write_reaches_host},
	{"item 67: vsock to the hypervisor", try_vsock},
	{"item 64: packet sockets", try_packet},
	{"item 64: kernel crypto sockets", try_alg},
	{"item 64: raw sockets", try_raw},
	{"item 64: ping sockets", try_ping},
	{"item 68: netfilter's netlink", try_nf_tables},
	{"uevents", try_uevents},
	{"item 64: any other socket family", try_other_families},
	{"item 68: delete the default route", try_route_delete},
	{"item 68: take lo down", try_link_down},
	{"item 68: take the door's port", try_take_door},
	{"item 68: mark packets", try_mark},
	{"item 68: transparent sockets", try_transparent},
	{"item 67: reach the host's loopback", try_host_loopback},
	{"item 67: reach the host's abstract sockets", try_abstract_socket},
	{"item 66: UDP to the outside", try_udp_out},
	{"fill /dev/shm over its size", try_shm_hog},
	{"fill /dev", try_dev_hog},
};

int main(void)
{
	int failed = 0;

	as_root = geteuid() == 0;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		pid_t pid = fork();
		bool refused;
		int status;

		if (pid == 0) {
			(void)alarm(ATTEMPT_SECONDS);
			_exit(attempts[i].run());
		}
		refused = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == REFUSED;
		(void)printf("%s %zu - %s\n", refused ? "ok" : "not ok", i + 1, attempts[i].what);
		failed += !refused;
	}
	(void)printf("1..%zu\n", sizeof(attempts) / sizeof(attempts[0]));
	return failed ? 1 : 0;
}
