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

# own_sbin FILE…: put these into /sbin, as an installation does; here only
own_sbin() {
	local sbin
	sbin=$(readlink -f /sbin)
	mkdir "$WORK/sbin"
	mount -t tmpfs tmpfs "$WORK/sbin"
	mkdir "$WORK/sbin/upper" "$WORK/sbin/work"
	mount -t overlay overlay -o "lowerdir=$sbin,upperdir=$WORK/sbin/upper,workdir=$WORK/sbin/work" "$sbin"
	cp "$@" "$sbin/"
	PATH=$sbin:$PATH
}
