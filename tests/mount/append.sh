#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What goes on after a close: appends, truncation by path, fallocate and dd, touch and write; bytes
# that are cut never change.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/states.sh"

is_sealing() {
	grep -q '"path":"'"$1"'"[^}]*"state":"sealing"' "$MNT/.notepackfs/status"
}

# numbers FILE WRITERS LINES: each line once, and those of one writer in order
lines_are_whole() {
	[ "$(sort "$1" | uniq | wc -l)" = $(($2 * $3)) ] && [ "$(wc -l <"$1")" = $(($2 * $3)) ] &&
		for w in $(seq "$2"); do
			grep "^writer $w " "$1" | sort -c -k 3n || return 1
		done
}

# ---- frozen bytes, in every state that has some ----

start grace=1h
for state in sealed parts tail writer; do
	make_state "$state" "$MNT/$state"
	check_refused "O_TRUNC is refused ($state)" "Operation not permitted" \
		sh -c ": >'$MNT/$state'"
	check_refused "truncate by path below the cut is refused ($state)" "Operation not permitted" \
		"$TOOL" truncate "$MNT/$state" 3
	check_refused "a write below the cut is refused ($state)" "Operation not permitted" \
		"$TOOL" pwrite "$MNT/$state" 0 changed
	check_refused "an object is not opened for writing ($state)" "Operation not permitted" \
		sh -c ": >>'$MNT/$state.notepack.gz'"
	check_refused "an object is not truncated ($state)" "Operation not permitted" \
		"$TOOL" truncate "$MNT/$state.notepack.gz" 0
	check "nothing has changed ($state)" has_content "$state" "$MNT/$state"
	close_states
done
check "the log names the file and the remedy" logged "sealed: .*refused.* notepackctl rm"
check "truncating to the length that there is does nothing" \
	"$TOOL" truncate "$MNT/sealed" "$(stat -c %s "$MNT/sealed")"
check "the tail is truncated to the cut" "$TOOL" truncate "$MNT/tail" 7
check "… and nothing below" [ "$(cat "$MNT/tail")" = "1 tail" ]
base64 /dev/urandom | head -c 48M >"$WORK/big"
cp "$WORK/big" "$MNT/big"
"$NOTEPACKCTL" seal "$MNT/big" &
sealer=$!
check "a large file is being sealed" wait_for 20 is_sealing big
check_refused "its bytes are frozen while it is sealed" "Operation not permitted" \
	"$TOOL" pwrite "$MNT/big" 100 changed
echo tail | tee -a "$MNT/big" >>"$WORK/big"
mkdir "$MNT/elsewhere"
check "it is renamed while it is sealed" mv "$MNT/big" "$MNT/elsewhere/renamed"
check "it is read while it is sealed" cmp "$WORK/big" "$MNT/elsewhere/renamed"
check "its sealing ends well" wait "$sealer"
check "its object is where it was renamed to" sealed "$MNT/elsewhere/renamed"
"$NOTEPACKCTL" seal "$MNT"
check "what was appended is part 2" listed "$MNT/elsewhere/renamed.p000000002.notepack.gz"
check "the whole is right" cmp "$WORK/big" "$MNT/elsewhere/renamed"

# ---- what tools do after a close ----

touch "$MNT/touched"
echo written >"$MNT/touched"
"$NOTEPACKCTL" seal "$MNT/touched"
check "touch, then write: one part" [ "$(zcat "$MNT/touched.notepack.gz")" = written ]
fallocate -l 1M "$MNT/allocated"
dd if="$WORK/big" of="$MNT/allocated" bs=64k count=4 conv=notrunc status=none
check "fallocate, then dd: the bytes are there" cmp -n 262144 "$WORK/big" "$MNT/allocated"
check "… and the size is the allocated one" [ "$(stat -c %s "$MNT/allocated")" = 1048576 ]
"$NOTEPACKCTL" seal "$MNT/allocated"
check "… and are sealed" sh -c "zcat '$MNT/allocated.notepack.gz' | cmp -n 262144 - '$WORK/big'"
fallocate -l 5000 "$MNT/zeros"
"$NOTEPACKCTL" seal "$MNT/zeros"
check "what was allocated only is sealed as zeros" cmp <(head -c 5000 /dev/zero) <(zcat "$MNT/zeros.notepack.gz")
echo longer >"$MNT/truncated"
"$TOOL" truncate "$MNT/truncated" 4
"$NOTEPACKCTL" seal "$MNT/truncated"
check "truncate by path after the close is sealed as it is" [ "$(cat "$MNT/truncated")" = long ]
"$TOOL" truncate "$MNT/truncated" 8
check "truncate by path extends a sealed file" \
	[ "$(tr '\0' . <"$MNT/truncated")" = long.... ]
echo one >"$MNT/open"
exec 7<>"$MNT/open"
echo two >&7
exec 7>&-
check "a reopen within the grace time overwrites" [ "$(cat "$MNT/open")" = two ]

# ---- appends ----

for i in 1 2 3; do
	echo "line $i" >>"$MNT/appended"
	"$NOTEPACKCTL" seal "$MNT/appended"
done
check "each append after a sealing is a part" \
	[ "$(find "$MNT" -name 'appended*' | wc -l)" = 3 ]
check "the plain name has all lines in order" \
	[ "$(cat "$MNT/appended")" = "$(printf 'line %s\n' 1 2 3)" ]
check "a glob lists the parts in order" \
	[ "$(zcat "$MNT"/appended*.gz)" = "$(cat "$MNT/appended")" ]
"$NOTEPACKCTL" rm "$MNT/appended"
echo fresh >>"$MNT/appended"
"$NOTEPACKCTL" seal "$MNT/appended"
check "an append after a removal is part 1 of a new file" \
	[ "$(zcat "$MNT/appended.notepack.gz")" = fresh ]
stop
check_clean_store

start grace=0.01
for w in 1 2 3 4; do
	(for i in $(seq 150); do
		[ "$i" != 75 ] || wait_for 60 sealed "$MNT/shared" || exit
		echo "writer $w $i" >>"$MNT/shared"
	done) &
	writers[w]=$!
done
# They overlap, so that the file is hardly ever closed: seal what there is in between. It is slower than
# they may be; so they go on with their second half only when there is a first part.
while kill -0 "${writers[@]}" 2>/dev/null; do
	"$NOTEPACKCTL" seal "$MNT" 2>>"$LOG"
done
check "writers with >> do not fail" wait "${writers[@]}"
check "four writers with >>: each line once, in order" lines_are_whole "$MNT/shared" 4 150
"$NOTEPACKCTL" seal "$MNT"
check "… in the objects, too" sh -c "zcat '$MNT'/shared*.gz | cmp - '$MNT/shared'"
check "… of which there are several" [ "$(find "$MNT" -name 'shared*.gz' | wc -l)" -gt 1 ]

# Named bug: a shared mapping of sealed bytes was refused at the write-back, but the page cache went on
# showing what it had written to everyone.
head -c 8192 /dev/zero | tr '\0' A >"$MNT/mapped"
"$NOTEPACKCTL" seal "$MNT/mapped"
cp "$MNT/mapped" "$WORK/mapped"
check_refused "a shared mapping cannot change sealed bytes" "not permitted" python3 -c '
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 8192)
m[0:3] = b"BAD"
m.flush()
' "$MNT/mapped"
check "… and no one sees what it wrote" wait_for 10 cmp "$WORK/mapped" "$MNT/mapped"
check "… nor does the object have it" sh -c "zcat '$MNT/mapped.notepack.gz' | cmp - '$WORK/mapped'"

# Named bug: seal of a file that cannot be cut said that it was sealed.
coproc HOLDER {
	python3 -c '
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.write(fd, b"hello\nworld\n")
m = mmap.mmap(fd, 12)
m[0:1] = b"H"
m.flush()
print("mapped", flush=True)
sys.stdin.read()
' "$MNT/held"
}
holder=$HOLDER_PID holder_in=${HOLDER[1]}
check "a program has mapped a file, and written it" [ "$(head -n 1 <&"${HOLDER[0]}")" = mapped ]
check_refused "seal of that file says that it cannot be sealed" "open and mapped" "$NOTEPACKCTL" seal "$MNT/held"
check "… that of all others passes it over" "$NOTEPACKCTL" seal "$MNT"
check "… and it is not sealed" [ ! -e "$MNT/held.notepack.gz" ]
exec {holder_in}>&-
wait "$holder"
check "when that program has closed it, it is" "$NOTEPACKCTL" seal "$MNT/held"
check "… whole" [ "$(zcat "$MNT/held.notepack.gz" | paste -sd' ')" = "Hello world" ]
stop "after the appends"
check_clean_store
finish
