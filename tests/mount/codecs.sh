#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# codec=, level= and adaptive: what makes an object is what was asked for, the record says so, and
# whatever it was, every reader has the bytes back.
. "$(dirname "$0")/lib.sh"

# FACT of the record of a plain name's last part
fact() {
	jq -r --arg name "$2" "select(.plain == \$name) | .$1" "$MNT/.notepackfs/manifest" | tail -n 1
}

# made NAME CODEC LEVEL: its last part was made by these
made() {
	[ "$(fact codec "$1") $(fact level "$1")" = "$2 $3" ] || {
		echo "# $1: by $(fact codec "$1") at $(fact level "$1"), not by $2 at $3"
		return 1
	}
}

seal() {
	cp "$WORK/$1" "$MNT/$2" && timeout 30 "$NOTEPACKCTL" seal "$MNT/$2"
}

# Text, what does not compress, zeroes, and the end of a chunk that is no end of a line.
{
	seq 300000
	head -c 700000 /dev/urandom
	head -c 500000 /dev/zero
	seq 100000 150000
	printf 'the end'
} >"$WORK/mixed"
seq 150000 >"$WORK/text"
printf x >"$WORK/byte"

# A deflate stream behind what does not compress, at the end of a chunk: it looks like the last block of
# what libdeflate makes of it (tests/unit/test_codec.c).
python3 - "$WORK/trap" <<'EOF'
import random, sys, zlib
r = random.Random(1)
stream = zlib.compressobj(6, zlib.DEFLATED, -15)
words = b"".join(b"%d event " % r.randrange(10000) for _ in range(400))
with open(sys.argv[1], "wb") as f:
    f.write(b"".join(b"%d note " % r.randrange(10000) for _ in range(6000)))
    f.write(r.randbytes(60000) + stream.compress(words) + stream.flush())
EOF

# ---- each codec, at its own level, and at its highest (or lowest) ----

defaults="zlib 6 9
libdeflate 6 12
isal 3 3"
while read -r codec level highest; do
	if ! has_codec "$codec"; then
		skip "$codec makes objects" "this build has no $codec"
		continue
	fi
	start "codec=$codec,threads=2"
	check "$codec: the status has it" \
		quietly jq -e ".options.codec == \"$codec\" and .options.level == $level" "$MNT/.notepackfs/status"
	for sample in mixed text byte trap; do
		seal "$sample" "$sample.$codec"
		check "$codec: the record of $sample has it, and its level" made "$sample.$codec" "$codec" "$level"
		check "$codec: $sample is a gzip file" cmp "$WORK/$sample" <(zcat "$MNT/$sample.$codec.notepack.gz")
		check "$codec: $sample reads" cmp "$WORK/$sample" "$MNT/$sample.$codec"
		check "$codec: $sample is what the reference writer makes, with one thread" \
			"$BUILD/tests/unit/make_object" "$WORK/$sample" "$WORK/object" "$codec" "$level"
		check "$codec: … and the same bytes" cmp "$WORK/object" "$MNT/$sample.$codec.notepack.gz"
	done
	stop "codec=$codec"
	[ "$highest" = "$level" ] && highest=1
	start "level=$highest,codec=$codec"
	seal text "high.$codec"
	check "$codec: level $highest is in the record" made "high.$codec" "$codec" "$highest"
	"$BUILD/tests/unit/make_object" "$WORK/text" "$WORK/object" "$codec" "$highest"
	check "$codec: … and made it" cmp "$WORK/object" "$MNT/high.$codec.notepack.gz"
	check "$codec: which is not what level $level makes" \
		[ "$(fact sha256 "high.$codec")" != "$(fact sha256 "text.$codec")" ]
	# The next part of a file that another codec began.
	cat "$WORK/text" >>"$MNT/mixed.zlib"
	"$NOTEPACKCTL" seal "$MNT/mixed.zlib"
	cat "$WORK/text" >>"$WORK/mixed.zlib"
	check "$codec: parts of several codecs are one file" \
		cmp <(cat "$WORK/mixed" "$WORK/mixed.zlib") "$MNT/mixed.zlib"
	stop "codec=$codec,level=$highest"
done <<<"$defaults"
check "all objects are whole" quietly "$NOTEPACKCTL" check --deep "$STORE"

auto=zlib
has_codec libdeflate && auto=libdeflate
start
seal text auto
check "without codec= it is $auto at 6" made auto "$auto" 6
stop "no codec="

# ---- adaptive ----
# A file of more than a third of the backlog is that much backlog itself; a small one alone is not.

fast="zlib 1"
has_codec isal && fast="isal 1"
start codec=zlib,level=5,adaptive,backlog=1M
check "adaptive: the status has it" quietly jq -e '.options.adaptive == true' "$MNT/.notepackfs/status"
seal text behind
# shellcheck disable=SC2086
check "adaptive: beyond a third of the backlog it is the fastest, $fast" made behind $fast
head -c 300000 "$WORK/text" >"$WORK/less"
seal less less
check "adaptive: below it is what was asked for" made less zlib 5
check "adaptive: both read" cmp <(cat "$WORK/text" "$WORK/less") <(cat "$MNT/behind" "$MNT/less")
stop adaptive
start codec=zlib,level=5,backlog=1M
seal text steady
check "without adaptive it is what was asked for, however much waits" made steady zlib 5
stop "not adaptive"
start codec=zlib,level=5,adaptive,backlog=0
seal text unlimited
check "without a limit there is no third of it" made unlimited zlib 5
stop "adaptive,backlog=0"
check "all is whole" quietly "$NOTEPACKCTL" check --deep "$STORE"
check_clean_store
finish
