#!/bin/bash
# Runs a command where cgroup v2 is all there is, with the controllers that no v1 hierarchy of this machine holds: cgroup_v2_alone.sh COMMAND…
# Only its own mount namespace has that view. Exit code 77 (skipped) where there is no v2, or nobody may.
set -u
if [ -z "${ASSAY_V2_ALONE:-}" ]; then
	export ASSAY_V2_ALONE=1
	[ "$(id -u)" = 0 ] || { echo 'needs root: skipped'; exit 77; }
	grep -qw cgroup2 /proc/filesystems || { echo 'no cgroup v2 in this kernel: skipped'; exit 77; }
	exec unshare --mount --propagation private "$0" "$@"
fi
awk '$5 ~ "^/sys/fs/cgroup" { print $5 }' /proc/self/mountinfo | sort --reverse | while read -r place; do umount "$place" || exit 2; done
mount -t cgroup2 none /sys/fs/cgroup || exit 2
exec "$@"
