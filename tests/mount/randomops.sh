#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Random operations compared with a model (randomops.c says how), and the scripts of the failures that
# were found with it, one for each bug, in randomops.d.
#
#	RANDOMOPS=N	how many operations (40,000; some 15 s), with seeds of which half are new
. "$(dirname "$0")/lib.sh"

TOOL=$BUILD/tests/mount/randomops
HERE=$(cd "$(dirname "$0")" && pwd)
OPS=${RANDOMOPS:-40000}

cleanup_more() {
	umount -l "$WORK/random/mnt" 2>/dev/null
}

random() {
	mkdir -p "$WORK/random"
	"$TOOL" "$BUILD" "$WORK/random" "$@"
}

for script in "$HERE"/randomops.d/*.ops; do
	check "$(basename "$script" .ops): $(sed -n 's/^# bug: //p' "$script")" \
		random --replay "$script" --times 2
done
check "the same operations as always agree with the model" random --length 2000 --seed 1 --ops $((OPS / 2))
seed=$((0x$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')))
check "new ones (seed $seed) agree with the model" random --length 2000 --seed "$seed" --ops $((OPS / 2))
# shellcheck disable=SC2034 # finish looks at it
LOG=$WORK/random/daemon.log
finish
