#!/bin/bash
# container.sh ROOT FROM:TO:rw|ro… -- PROGRAM…: a container as a node would make one, for tests: a root of its own with the host's programs, those folders in it,
# and the program as pid 1, as user 1000 without privileges. It is started by `unshare --mount --pid --fork --kill-child`.
set -e
root=$1
shift
mount -t tmpfs root "$root"
cd "$root"
mkdir usr etc proc tmp dev dev/pts dev/shm home home/assay workspace
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
for name in usr etc; do
	mount --rbind "/$name" "$name"
	mount -o remount,bind,ro "$name"
done
# What a container has mounted below /usr/local/bin finds its place there, as in an image's own root.
mkdir -p dev/.upper dev/.work
mount -t overlay overlay -o "lowerdir=usr/local/bin,upperdir=dev/.upper,workdir=dev/.work" usr/local/bin
mount -t proc proc proc
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777,size=64m shm dev/shm
ln -s pts/ptmx dev/ptmx
for name in null zero full random urandom tty; do
	: >"dev/$name"
	mount --bind "/dev/$name" "dev/$name"
done
chmod 1777 tmp
chown 1000:1000 home/assay
while [ "$1" != -- ]; do
	IFS=: read -r from to mode <<<"$1"
	if [ -d "$from" ]; then mkdir -p ".$to"; elif [ ! -e ".$to" ]; then mkdir -p ".${to%/*}" && : >".$to"; fi
	mount --bind "$from" ".$to"
	[ "$mode" = rw ] || mount -o remount,bind,ro ".$to"
	shift
done
shift
exec /usr/sbin/chroot . setpriv --pdeathsig KILL --reuid 1000 --regid 1000 --clear-groups --no-new-privs --bounding-set=-all -- "$@"
