#!/bin/bash
# Runs a command as an ordinary user who is made for it and removed with all of theirs:
# as_user.sh [--one-id] [--delegate] [--mounts] [--bring FILE]… -- COMMAND…
# Each FILE (a program, or a folder) is copied to where that user can read it; a word of COMMAND that names one, and a variable of the environment
# whose value does, become the copy. With --one-id the user has no range in /etc/subuid; with
# --delegate the command is in control groups that are the user's own, as a service manager would do it; with --mounts something is mounted below /usr and /etc,
# in a mount namespace of the command's own. Exit code 77 (skipped) where users cannot be made.
# A caller who is not root already is one: the command is run as it is.
set -u
arguments=("$@")
one_id=""
mounts=""
delegate=""
bring=()
while [ $# -gt 0 ]; do
	case $1 in
	--one-id) one_id=yes ;;
	--delegate) delegate=yes ;;
	--mounts) mounts=yes ;;
	--bring) bring+=("$2"); shift ;;
	--) shift; break ;;
	*) echo "usage: as_user.sh [--one-id] [--delegate] [--mounts] [--bring FILE]… -- COMMAND…" >&2; exit 2 ;;
	esac
	shift
done
[ "$(id -u)" = 0 ] || exec "$@"
PATH=$PATH:/usr/sbin:/sbin
if [ "$mounts" ] && [ -z "${ASSAY_MOUNTED:-}" ]; then
	export ASSAY_MOUNTED=/usr/src/hidden
	exec unshare --mount --propagation private "$0" "${arguments[@]}"
elif [ "$mounts" ]; then
	mount -t tmpfs hidden /usr/src && echo hidden >"$ASSAY_MOUNTED" && echo '192.0.2.1 hidden' >/usr/src/hosts &&
		mount --bind /usr/src/hosts /etc/hosts || exit 2
fi
skip() { echo "$1: skipped"; exit 77; }
for program in useradd userdel usermod runuser; do
	command -v "$program" >/dev/null || skip "no user can be made here (needs $program)"
done

name=assay-t$$
folder=$(mktemp -d "${TMPDIR:-/tmp}/assay-user-XXXXXX") || exit 2
finish() {
	[ -n "$(getent passwd "$name")" ] && userdel "$name" >/dev/null 2>&1
	rm -rf "$folder"
	for place in ${groups[@]+"${groups[@]}"}; do
		find "$place" -depth -type d -exec rmdir {} + 2>/dev/null
	done
}
groups=()
trap finish EXIT
trap 'exit 130' INT TERM
chmod 755 "$folder"
useradd --no-log-init --home-dir "$folder/home" --create-home --shell /bin/bash "$name" >/dev/null 2>&1 || skip 'no user can be made here'
ranges=$(grep -s "^$name:" /etc/subuid)
if [ "$one_id" ]; then
	[ -z "$ranges" ] || IFS=: read -r _ first count <<<"$ranges"
	[ -z "$ranges" ] || usermod --del-subuids "$first-$((first + count - 1))" --del-subgids "$first-$((first + count - 1))" "$name"
else
	command -v newuidmap >/dev/null || skip 'sandboxes with ids of their own (needs the package uidmap)'
	[ "$ranges" ] || skip 'useradd gives no range in /etc/subuid here'
fi

# moved TEXT: the text, or the copy of the file that it names.
moved() {
	local file
	for file in ${bring[@]+"${bring[@]}"}; do
		case $1 in
		"$file" | "$file"/*) echo "$folder/$(basename "$file")${1#"$file"}"; return ;;
		esac
	done
	echo "$1"
}

for file in ${bring[@]+"${bring[@]}"}; do
	cp -rL "$file" "$folder/$(basename "$file")" || exit 2
done
command=()
for word in "$@"; do command+=("$(moved "$word")"); done
environment=("HOME=$folder/home" "USER=$name" "LOGNAME=$name" "TMPDIR=$folder/tmp" "PATH=$PATH" "XDG_RUNTIME_DIR=$folder/run" ASSAY_AS_USER=1)
install -d -o "$name" -m 700 "$folder/tmp" "$folder/run"
for variable in ASSAY SOURCE_ROOT SANDBOX_DRIVER ISOLATION_PROBE ASSAY_LONG ASSAY_LOG ASSAY_MOUNTED; do
	[ -z "${!variable:-}" ] || environment+=("$variable=$(moved "${!variable}")")
done
cd "$folder" || exit 2
if [ "$delegate" ]; then
	while IFS=: read -r _ controllers path; do
		case $controllers in *cpuset* | *devices* | *blkio* | *net_* | *perf* | *hugetlb* | name=*) continue ;; esac
		for place in "/sys/fs/cgroup/${controllers:-unified}" /sys/fs/cgroup; do
			[ -w "$place$path/cgroup.procs" ] || continue
			mkdir "$place$path/$name" || exit 2
			groups+=("$place$path/$name")
			chown "$name" "$place$path/$name" "$place$path/$name"/{cgroup.procs,tasks,cgroup.threads,cgroup.subtree_control} 2>/dev/null
			break
		done
	done </proc/self/cgroup
	(
		for place in ${groups[@]+"${groups[@]}"}; do echo "$BASHPID" >"$place/cgroup.procs" || exit 2; done
		exec runuser -u "$name" -- env -i "${environment[@]}" "${command[@]}"
	)
	exit
fi
runuser -u "$name" -- env -i "${environment[@]}" "${command[@]}"
