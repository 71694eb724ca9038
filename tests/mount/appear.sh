#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Objects appear while mounted: not before grace has ended, and soon after (the promise is one second
# on an idle machine; what is asserted is a deadline for busy ones, and the time is printed).
. "$(dirname "$0")/lib.sh"

DEADLINE=10

# Microseconds.
now() {
	echo "${EPOCHREALTIME/./}"
}

# appears NAME GRACE_US FILE BEGIN
appears() {
	local took
	check "$1: the object appears" wait_for $(($2 / 1000000 + DEADLINE)) sealed "$3"
	took=$(($(now) - $4))
	echo "# $1: $((took / 1000)) ms after the first byte, $(((took - $2) / 1000)) ms after grace"
	check "$1: not before grace has ended" [ $took -ge "$2" ]
}

for grace in 0 0.1 1 2.5; do
	grace_us=$(awk "BEGIN { print $grace * 1000000 }")
	start "grace=$grace"
	begin=$(now)
	echo hello >"$MNT/small"
	appears "grace=$grace, a small file" "$grace_us" "$MNT/small" "$begin"
	begin=$(now)
	echo more >>"$MNT/small"
	check "grace=$grace: an append appears as the next part" wait_for 20 \
		listed "$MNT/small.p000000002.notepack.gz"
	check "grace=$grace: not before grace has ended" [ $(($(now) - begin)) -ge "$grace_us" ]
	begin=$(now)
	for i in $(seq 100); do
		echo "$i" >"$MNT/many.$i"
	done
	check "grace=$grace: a hundred files appear" wait_for 20 \
		sh -c "[ \$(ls '$MNT' | grep -c '^many.*[.]gz\$') = 100 ]"
	echo "# grace=$grace: a hundred files took $((($(now) - begin) / 1000)) ms"
	stop "grace=$grace"
	check_clean_store
	rm -rf "$STORE"
	mkdir "$STORE"
done

# ---- what ends grace early ----

start grace=1h
echo hello >"$MNT/synced"
sync "$MNT"
check "sync MNT ends grace" wait_for 20 sealed "$MNT/synced"
echo hello >"$MNT/waited"
check "notepackctl wait ends grace" "$NOTEPACKCTL" wait "$MNT"
check "… and returns when it is sealed" sealed "$MNT/waited"
echo hello >"$MNT/one"
echo hello >"$MNT/two"
check "notepackctl seal ends the grace of one file" "$NOTEPACKCTL" seal "$MNT/one"
check "… and returns when it is sealed" sealed "$MNT/one"
check "… and leaves others alone" listed "$MNT/two"
echo hello >"$MNT/asked"
check_refused "an object that is not there yet is absent" "No such file" stat "$MNT/asked.notepack.gz"
"$NOTEPACKCTL" seal "$MNT/asked"
check "… and is there for who has asked before when its seal returns" \
	sh -c "[ \"\$(zcat '$MNT/asked.notepack.gz')\" = hello ]"
stop
check_clean_store
check "an unmount ends grace" [ "$(zcat "$STORE/two.notepack.gz")" = hello ]

# ---- a change within grace begins it anew ----

start grace=2
begin=$(now)
last=$begin
gap=0
echo one >"$MNT/again"
while [ $((last - begin)) -lt 3000000 ]; do
	echo more >>"$MNT/again"
	time=$(now)
	gap=$((time - last > gap ? time - last : gap))
	last=$time
done
lines=$(wc -l <"$MNT/again")
echo "# the longest time between two changes was $((gap / 1000)) ms"
check "a file that is changed again and again is sealed in the end" wait_for 20 sealed "$MNT/again"
"$NOTEPACKCTL" wait "$MNT"
check "… with all lines" [ "$(zcat "$MNT"/again*.gz | wc -l)" = "$lines" ]
# This machine may have stood still for longer than grace.
check "… as one part, since each change began grace anew" \
	[ $((gap >= 1900000 || $(find "$MNT" -name 'again*.gz' | wc -l) == 1)) = 1 ]
stop "after the changes"
finish
