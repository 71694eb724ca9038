#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A store is made of a directory with an archive in it (notepackctl init --adopt), and each call that
# makes something durable or gives it a name fails once, or is the last: init says so, nothing of the
# archive is touched, and the next init makes the store.
. "$(dirname "$0")/../mount/lib.sh"

SHIM=$BUILD/tests/crash/libshim.so
injected=0
bad=

if nm -D "$NOTEPACKCTL" | grep -qE "__(a|t)san_init"; then
	skip "each fault is reported, and the next init makes the store" \
		"the sanitizer's own library must be the first that is preloaded"
	finish
fi

# init MODE K: with that fault; its status
init() {
	rm -rf "$STORE"
	mkdir "$STORE"
	printf 'hello' | gzip -n >"$STORE/a.notepack.gz"
	: >"$WORK/calls"
	LD_PRELOAD=$SHIM FI_MODE=$1 FI_CLASS=sync,name FI_AT=$2 FI_LOG=$WORK/calls \
		"$NOTEPACKCTL" init --adopt "$STORE" >"$WORK/said" 2>&1
}

# Is it a store that is in order, now or by the next try?
is_made() {
	quietly "$NOTEPACKCTL" init --adopt "$STORE"
	[ "$(zcat "$STORE/a.notepack.gz")" = hello ] && quietly "$NOTEPACKCTL" check "$STORE"
}

for mode in EIO kill; do
	for ((k = 1; ; k++)); do
		init "$mode" "$k" 2>>"$LOG"
		status=$?
		call=$(sed -n 's/^injected [0-9]* //p' "$WORK/calls")
		[ -n "$call" ] || break
		injected=$((injected + 1))
		# What is not needed for the store may fail.
		case $call in
		*reserve | *probe* | *.notepackfs/log) ;;
		*) [ "$status" -ne 0 ] || bad+="$mode $k ($call): it said nothing"$'\n' ;;
		esac
		[ "$mode" = EIO ] && echo "$call" >>"$WORK/order"
		is_made || bad+="$mode $k ($call): no store afterwards"$'\n'
	done
done
echo "# injected: $injected"
[ -z "$bad" ] || echo "# ${bad//$'\n'/$'\n# '}"
check "each fault is reported, and the next init makes the store" [ -z "$bad" ]
check "there were faults" test "$injected" -gt 60
unsynced=$(awk 'last == "rename manifest" && !/^fsync .*\/\.notepackfs$/ { print NR ": " $0 }
	{ last = $0 }' "$WORK/order")
[ -z "$unsynced" ] || echo "# behind the rename: $unsynced"
check "each time the manifest has its name, that is made durable next" [ -z "$unsynced" ]
finish
