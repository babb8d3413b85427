/*
 * What this machine lacks for sandboxes, and how to get it: a table of looks that change nothing and need no privilege. What an ordinary
 * user can do here is tried, in a child that has namespaces of its own (doctor_user.c); root is only told.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "sandbox/local/doctor_priv.h"
#include "sandbox/local/local.h"

#define FREE_BYTES_WANTED ((uint64_t)5 << 30)
#define NOFILE_WANTED 4096
#define KERNEL_WANTED 512 /* 5.12, as major * 100 + minor: id-mapped mounts */

static bool look_root(const char *state_dir, char found[FOUND_BYTES])
{
	(void)state_dir;
	(void)snprintf(found, FOUND_BYTES, "root");
	return true;
}

bool look_kernel(const char *state_dir, char found[FOUND_BYTES])
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	(void)state_dir;
	if (uname(&name))
		return false;
	(void)snprintf(found, FOUND_BYTES, "Linux %.64s", name.release);
	return sscanf(name.release, "%u.%u", &major, &minor) == 2 && major * 100 + minor >= KERNEL_WANTED;
}

static bool has_file_system(const char *type)
{
	char list[16384];
	AUTO_FREE char *line = text_format("\t%s\n", type);

	return text_get("/proc/filesystems", list, sizeof(list)) && strstr(list, line);
}

/* Is the module there to be loaded? */
static bool has_module(const char *name)
{
	AUTO_BUF list = buf_new((size_t)4 << 20);
	AUTO_FREE char *word = text_format("/%s.ko", name);
	AUTO_FREE char *path = NULL;
	struct utsname kernel;

	if (uname(&kernel))
		return false;
	path = text_format("/lib/modules/%s/modules.dep", kernel.release);
	return file_read(path, &list, NULL) == 0 && list.length && strstr(list.at, word);
}

bool look_overlay(const char *state_dir, char found[FOUND_BYTES])
{
	bool has = has_file_system("overlay") || has_module("overlay");

	(void)state_dir;
	(void)snprintf(found, FOUND_BYTES, "%s", has ? "overlay" : "no overlay file system");
	return has;
}

static bool look_user_namespaces(const char *state_dir, char found[FOUND_BYTES])
{
	char text[32];

	(void)state_dir;
	if (!text_get("/proc/sys/user/max_user_namespaces", text, sizeof(text)))
		(void)snprintf(text, sizeof(text), "0");
	(void)snprintf(found, FOUND_BYTES, "user.max_user_namespaces is %d", atoi(text));
	return atoi(text) > 0;
}

static bool look_root_file_system(const char *state_dir, char found[FOUND_BYTES])
{
	static const struct {
		const char *name;
		unsigned long magic;
	} known[] = {{"ext4", 0xef53},      {"XFS", 0x58465342},  {"btrfs", 0x9123683e},
		     {"tmpfs", 0x01021994}, {"f2fs", 0xf2f52010}, {"erofs", 0xe0f5e1e2}};
	struct statfs info;

	(void)state_dir;
	if (statfs("/", &info))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if ((unsigned long)info.f_type == known[i].magic) {
			(void)snprintf(found, FOUND_BYTES, "%s", known[i].name);
			return true;
		}
	(void)snprintf(found, FOUND_BYTES, "type 0x%lx, whose ids cannot be mapped", (unsigned long)info.f_type);
	return false;
}

static bool look_network_filter(const char *state_dir, char found[FOUND_BYTES])
{
	struct {
		struct nlmsghdr header;
		struct nfgenmsg message;
	} request = {{.nlmsg_len = sizeof(request),
		      .nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		      .nlmsg_seq = 1},
		     {0}};
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	union {
		struct nlmsghdr header;
		char bytes[1024];
	} reply;
	bool good;

	(void)state_dir;
	good = fd >= 0 && send(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request) &&
	       recv(fd, &reply, sizeof(reply), 0) >= (ssize_t)sizeof(reply.header);
	if (good && reply.header.nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *error = NLMSG_DATA(&reply.header);

		/* Without privilege the kernel says only that it knows the question. */
		good = !error->error || error->error == -EPERM;
	}
	(void)snprintf(found, FOUND_BYTES, "%s", good ? "nf_tables" : "no nf_tables");
	return good;
}

bool look_seccomp(const char *state_dir, char found[FOUND_BYTES])
{
	bool good = file_exists("/proc/sys/kernel/seccomp/actions_avail");

	(void)state_dir;
	(void)snprintf(found, FOUND_BYTES, "%s", good ? "seccomp filters" : "no seccomp filters");
	return good;
}

/* Is `word` one of a list separated by commas or blanks? */
static bool has_word(const char *list, const char *word)
{
	while (*list) {
		size_t length = strcspn(list, ", \n");

		if (length == strlen(word) && strncmp(list, word, length) == 0)
			return true;
		list += length + (list[length] != '\0');
	}
	return false;
}

/* Names of the controllers mounted as v1, and of those v2 offers. */
static unsigned controllers_look(bool *v2, char found[FOUND_BYTES])
{
	static const char *const names[] = {"memory", "pids", "cpu", "freezer"};
	AUTO_BUF mounts = buf_new((size_t)4 << 20);
	size_t used = 0;
	unsigned bits = 0;
	char offered[1024] = "";

	*v2 = false;
	{
		AUTO_CLOSE int fd = open("/proc/self/mounts", O_RDONLY | O_CLOEXEC);

		if (fd < 0 || file_read_fd(fd, &mounts, NULL) || !mounts.length)
			return 0;
	}
	for (struct view rest = buf_view(&mounts), line; rest.length;) {
		AUTO_FREE char *text = NULL;
		char place[PATH_BYTES], type[64], options[PATH_BYTES];

		line = view_cut(rest, '\n', &rest);
		text = view_copy(line);
		if (sscanf(text, "%*s %1023s %63s %1023s", place, type, options) != 3)
			continue;
		if (strcmp(type, "cgroup2") == 0) {
			AUTO_FREE char *path = text_format("%s/cgroup.controllers", place);

			*v2 = true;
			(void)!text_get(path, offered, sizeof(offered));
		}
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if ((strcmp(type, "cgroup") == 0 && has_word(options, names[i])) ||
			    (strcmp(type, "cgroup2") == 0 && has_word(offered, names[i])))
				bits |= 1u << i;
	}
	used += (size_t)snprintf(found, FOUND_BYTES, "%s", *v2 ? "v2" : "v1 only");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (bits & (1u << i))
			used += (size_t)snprintf(found + used, FOUND_BYTES - used, ", %s", names[i]);
	return bits;
}

static bool look_limits(const char *state_dir, char found[FOUND_BYTES])
{
	bool v2;

	(void)state_dir;
	return (controllers_look(&v2, found) & 7) == 7;
}

static bool look_freezing(const char *state_dir, char found[FOUND_BYTES])
{
	bool v2;

	(void)state_dir;
	return (controllers_look(&v2, found) & 8) || v2;
}

void doctor_existing(const char *path, char at[PATH_BYTES])
{
	(void)snprintf(at, PATH_BYTES, "%s", path);
	while (*at && !file_is_dir(at))
		*(strrchr(at, '/') ? strrchr(at, '/') : at) = '\0';
	if (!*at)
		(void)snprintf(at, PATH_BYTES, "/");
}

bool doctor_program_found(const char *name)
{
	static const char *const folders[] = {"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/bin"};

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		AUTO_FREE char *path = text_format("%s/%s", folders[i], name);

		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static bool look_pool(const char *state_dir, char found[FOUND_BYTES])
{
	char dir[PATH_BYTES];
	bool loop = file_exists("/dev/loop-control") || has_module("loop");
	bool xfs = has_file_system("xfs") || has_module("xfs");
	bool tool = doctor_program_found("mkfs.xfs");

	doctor_existing(state_dir, dir);
	if (access(dir, W_OK) == 0 && tree_can_reflink(dir)) {
		(void)snprintf(found, FOUND_BYTES, "%.200s shares blocks between files", dir);
		return true;
	}
	if (loop && xfs && tool)
		(void)snprintf(found, FOUND_BYTES, "an XFS image will be made");
	else
		(void)snprintf(found, FOUND_BYTES, "databases are copied, not cloned:%s%s%s", loop ? "" : " no loop devices",
			       xfs ? "" : " no XFS in the kernel", tool ? "" : " no mkfs.xfs");
	return loop && xfs && tool;
}

bool look_space(const char *state_dir, char found[FOUND_BYTES])
{
	char dir[PATH_BYTES];
	struct statfs info;
	uint64_t bytes;

	doctor_existing(state_dir, dir);
	if (statfs(dir, &info))
		return false;
	bytes = (uint64_t)info.f_bavail * (uint64_t)info.f_bsize;
	(void)snprintf(found, FOUND_BYTES, "%llu GiB free at %.200s", (unsigned long long)(bytes >> 30), dir);
	return bytes >= FREE_BYTES_WANTED;
}

bool look_files(const char *state_dir, char found[FOUND_BYTES])
{
	struct rlimit limit = {0, 0};

	(void)state_dir;
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	(void)snprintf(found, FOUND_BYTES, "%llu open files", (unsigned long long)limit.rlim_max);
	return limit.rlim_max >= NOFILE_WANTED;
}

bool look_images(const char *state_dir, char found[FOUND_BYTES])
{
	bool fetch = doctor_program_found("skopeo"), unpack = doctor_program_found("umoci");

	(void)state_dir;
	(void)snprintf(found, FOUND_BYTES, "%s skopeo, %s umoci", fetch ? "has" : "no", unpack ? "has" : "no");
	return fetch && unpack;
}

static bool look_runtimes(const char *state_dir, char found[FOUND_BYTES])
{
	AUTO_BUF list = buf_new(FOUND_BYTES - 1);
	char controllers[FOUND_BYTES];
	bool usable, v2;

	(void)state_dir;
	runtimes_list(&list, &usable);
	(void)controllers_look(&v2, controllers);
	(void)snprintf(found, FOUND_BYTES, "%.*s%s", (int)list.length, list.at,
		       v2 ? "" : "; none can be used: there is no cgroup v2");
	return usable && v2;
}

bool look_kill(const char *state_dir, char found[FOUND_BYTES])
{
	bool possible = sever_is_possible();

	(void)state_dir;
	(void)snprintf(found, FOUND_BYTES, "%s",
		       possible ? "resets connections when the gateway hangs" : "ends the gateway when it hangs, and no more");
	return possible;
}

static const struct doctor_check checks[] = {
	{"privileges", true, look_root, ""},
	{"kernel", true, look_kernel, "install a kernel of 5.12 or later"},
	{"overlay", true, look_overlay, "load the module: modprobe overlay"},
	{"network filter", true, look_network_filter, "load the modules: modprobe nf_tables nft_chain_nat nft_redir"},
	{"system call filter", true, look_seccomp, "use a kernel with CONFIG_SECCOMP_FILTER"},
	{"user namespaces", false, look_user_namespaces,
	 "sysctl user.max_user_namespaces=10000; without, root in a sandbox has root's ids (but none of its privileges)"},
	{"root file system", false, look_root_file_system,
	 "put the root on ext4, XFS or btrfs; on others sandboxes have no user namespace of their own"},
	{"limits", false, look_limits,
	 "mount cgroup v2 with memory, pids and cpu (Debian's default); without, sandboxes have no limits"},
	{"freezing", false, look_freezing, "mount cgroup v2; without, idle environments keep running"},
	{"cloning of data", false, look_pool, "put the state folder on XFS or btrfs, or: apt install xfsprogs, modprobe loop xfs"},
	{"disk", false, look_space, "free some, or use another state folder (ASSAY_STATE)"},
	{"open files", false, look_files, "raise the limit: ulimit -Hn 65536, or LimitNOFILE= of the service"},
	{"images", false, look_images,
	 "apt install skopeo umoci; only services with an `image` from a registry or archive need them"},
	{"kill switch", false, look_kill,
	 "use a kernel with CONFIG_INET_DIAG_DESTROY; what was on its way may be sent yet without"},
	{"OCI runtimes", false, look_runtimes,
	 "apt install runc; only `assay serve --oci` needs one, our own code makes sandboxes faster"},
};

json_t *local_doctor(const char *state_dir)
{
	const struct doctor_check *table = geteuid() == 0 ? checks : doctor_user_checks;
	size_t count = geteuid() == 0 ? ARRAY_LEN(checks) : doctor_user_check_count;
	json_t *rows = json_array();

	for (size_t i = 0; i < count; i++) {
		char found[FOUND_BYTES] = "";
		bool good = table[i].look(state_dir, found);

		(void)json_array_append_new(rows, json_pack("{s:s, s:b, s:s, s:s, s:s}", "check", table[i].name, "ok", (int)good,
							    "level", table[i].needed ? "needed" : "better", "found", found, "mend",
							    good ? "" : table[i].mend));
	}
	return rows;
}
