#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The kernel keeps listings, and gives them out again; none that was opened after a change lacks it.
. "$(dirname "$0")/lib.sh"

ROUNDS=30

# The names are these, in this order; twice, so that the kernel keeps what it was given, and gives that out.
lists() {
	local want got
	want=$(printf '%s\n' "$@")
	for _ in 1 2; do
		got=$(ls "$MNT/d")
		if [ "$got" != "$want" ]; then
			echo "# listed: ${got//$'\n'/ }"
			return 1
		fi
	done
}

each_change_is_listed() {
	local i n objects=(x.notepack.gz)
	for i in $(seq 1 "$ROUNDS"); do
		lists "${objects[@]}" || return 1
		echo "$i" >>"$MNT/d/x"
		lists x "${objects[@]}" || return 1
		"$NOTEPACKCTL" seal "$MNT/d/x" || return 1
		printf -v n 'x.p%09d.notepack.gz' $((i + 1))
		objects+=("$n")
		lists "${objects[@]}" || return 1
	done
}

grown_by_truncation_is_listed() {
	local before
	mapfile -t before < <(ls "$MNT/d")
	truncate -s +10 "$MNT/d/x"
	lists x "${before[@]}" || return 1
	truncate -s -10 "$MNT/d/x"
	lists "${before[@]}"
}

removed_is_not_listed() {
	"$NOTEPACKCTL" rm "$MNT/d/x" && [ -z "$(ls "$MNT/d")" ]
}

# Two listings at once: one from before a change that goes on behind it.
overlapping() {
	python3 - "$MNT/d" <<'PYTHON'
import os, sys

path = sys.argv[1]
count = 3000
for i in range(count):
    os.close(os.open(f"{path}/f{i:04}", os.O_CREAT | os.O_WRONLY))
for turn in range(20):
    with os.scandir(path) as older:
        next(older)
        os.close(os.open(f"{path}/g{turn:02}", os.O_CREAT | os.O_WRONLY))
        want = count + turn + 1
        assert len(os.listdir(path)) == want, "opened after a change, beside an older one"
        names = [e.name for e in older]
        assert len(names) == len(set(names)) and count - 1 <= len(names) <= want - 1, len(names)
    for _ in range(3):
        assert len(os.listdir(path)) == want, "after both"
PYTHON
}

# The same open directory, from its start again: the kernel is told of what a write changes.
rewound_shows() {
	python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
print(*sorted(os.listdir(fd)), flush=True)
for line in sys.stdin:
    print(*sorted(os.listdir(fd)), flush=True)
' "$MNT/e" <"$WORK/in" >"$WORK/out" &
	local reader=$! status=0
	exec 3>"$WORK/in" 4>>"$MNT/e/x"
	for _ in 1 2; do
		wait_for 30 rewound_has "x.notepack.gz" || status=1
	done
	echo more >&4
	wait_for 30 rewound_has "x x.notepack.gz" || status=1
	exec 4>&-
	"$NOTEPACKCTL" seal "$MNT/e/x" || status=1
	wait_for 30 rewound_has "x.notepack.gz x.p000000002.notepack.gz" || status=1
	exec 3>&-
	wait "$reader" || status=1
	return "$status"
}

rewound_has() {
	echo again >&3
	[ "$(tail -n 1 "$WORK/out")" = "$1" ]
}

mkfifo "$WORK/in"
start grace=1h
mkdir "$MNT/d"
echo 0 >"$MNT/d/x"
"$NOTEPACKCTL" seal "$MNT/d/x"
check "what is appended, sealed and listed is what every listing shows" each_change_is_listed
check "what is grown by truncation is listed" grown_by_truncation_is_listed
check "what is removed is not" removed_is_not_listed
check "listings from before a change and behind it are right" overlapping
mkdir "$MNT/e"
echo 0 >"$MNT/e/x"
"$NOTEPACKCTL" seal "$MNT/e/x"
check "an open directory shows changes when it is read again" rewound_shows
stop
check_clean_store
finish
