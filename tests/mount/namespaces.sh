# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# namespaces.sh: sourced before lib.sh, it runs the test in a mount and a PID namespace of its own, so
# that it may change the machine's directories, and what it starts ends with it. NAMESPACES names
# more, as options of unshare(1).
if [ -z "${IN_NAMESPACES-}" ]; then
	export IN_NAMESPACES=1
	# shellcheck disable=SC2086 # words on purpose
	set -- unshare --mount --pid --fork --kill-child --mount-proc ${NAMESPACES-}
	if ! reason=$("$@" true 2>&1); then
		echo "1..0 # SKIP no namespaces: $reason"
		exit 0
	fi
	exec "$@" bash "$0"
fi
# Copies of mounts that others have: here they would keep those in use. Without -i the helper would
# wait for their daemons.
umount -a -i -l -t fuse.notepackfs

# What the test has mounted in its directory goes before the directory does.
cleanup_more() {
	findmnt -rno TARGET | grep -F "$WORK/" | tac | while read -r target; do
		umount -i -l "$(printf %b "$target")"
	done
}

# overlay DIRECTORY: a layer of the test's own on a directory of the machine's; the test ends if there is
# none, since what it goes on to write would be the machine's.
overlay() {
	local layer
	layer=$(mktemp -d "$WORK/layer.XXXXXX")
	if ! mount -t tmpfs tmpfs "$layer" || ! mkdir "$layer/upper" "$layer/work" ||
		! mount -t overlay overlay -o "lowerdir=$1,upperdir=$layer/upper,workdir=$layer/work" "$1"; then
		echo "Bail out! no overlay on $1"
		exit 1
	fi
	umount -l "$layer" # the overlay holds it
	rmdir "$layer"
}

# own_sbin FILE…: put these into /sbin, as an installation does; here only
own_sbin() {
	local sbin
	sbin=$(readlink -f /sbin)
	overlay "$sbin"
	install "$@" "$sbin/"
	PATH=$sbin:$PATH
}

# /etc may be changed; here only. fusermount3 reads /etc/mtab, which is made when a machine first boots,
# and so is missing where none has: in a chroot.
own_etc() {
	overlay /etc
	[ -e /etc/mtab ] || ln -s ../proc/self/mounts /etc/mtab
}
