#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The smallest whole session: write, see it sealed, read it back, append, unmount, read the store.
. "$(dirname "$0")/lib.sh"

start grace=0.2
echo hello >"$MNT/a.txt"
check "a new file is listed under its plain name" listed "$MNT/a.txt"
cp /bin/bash "$MNT/program"
check "a closed file is sealed while mounted" wait_for 10 sealed "$MNT/a.txt"
check "a program is sealed, too" wait_for 10 sealed "$MNT/program"
check "its plain name is no longer listed" plain_gone "$MNT/a.txt"
check "its plain name still reads" [ "$(cat "$MNT/a.txt")" = hello ]
check "its object is gzip" [ "$(zcat "$MNT/a.txt.notepack.gz")" = hello ]
check "the plain name of a program reads at random" cmp /bin/bash "$MNT/program"
echo more >>"$MNT/a.txt"
check "an append goes on in the next part" wait_for 10 listed "$MNT/a.txt.p000000002.notepack.gz"
check "the plain name gives all parts" [ "$(cat "$MNT/a.txt")" = "$(printf 'hello\nmore')" ]
check "sha256sums verifies" sh -c "cd '$MNT' && sha256sum --quiet -c .notepackfs/sha256sums"
stop
check_clean_store
check "the store is readable without notepackfs" sh -c \
	"[ \"\$(cat '$STORE'/a.txt*.gz | zcat)\" = \"\$(printf 'hello\nmore')\" ]"
start
check "after a remount the plain name reads" cmp /bin/bash "$MNT/program"
stop "after a remount"
finish
