#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# capture.sh -C MEGABYTES | -G SECONDS: captures numbered UDP packets on loopback into cap1, cap2, …, and
# writes "in order" to the file numbers if none is lost. To be run by root, in a network namespace of
# its own.
# $T is a directory for what is not captured.

# send FROM TO: packets of 1000 bytes, numbered
send() {
	python3 - "$@" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		for i in range(int(sys.argv[1]), int(sys.argv[2])):
		    s.sendto((b"packet %06d " % i).ljust(1000, b"."), ("127.0.0.1", 4009))
	END
}

numbers() {
	for file in "$@"; do
		tcpdump -r "$file" -A 2>/dev/null
	done | grep -ao 'packet [0-9]*'
}

# until_true COMMAND…: for 60 s at most
until_true() {
	until "$@"; do
		[ "$SECONDS" -lt 60 ]
		read -r -t 0.02 <> <(:) || :
	done
}

listening() { grep -qs 'listening on' "$T/err"; }
all_captured() { numbers cap* | grep -q 'packet 002499'; }

ip link set lo up
case $1 in
-C) tcpdump -i lo -Z "$(id -un)" -B 8192 -U "$@" -w cap 'udp port 4009' 2>"$T/err" & ;;
-G) tcpdump -i lo -Z "$(id -un)" -B 8192 -U "$@" -W 2 -w 'cap%s' 'udp port 4009' 2>"$T/err" & ;;
esac
tcpdump=$!
until_true listening
sent=0
if [ "$1" = -C ]; then
	sent=2500
	send 0 $sent
	until_true all_captured
	kill -INT "$tcpdump"
else
	# It ends by itself, at the first packet after the time of the second file.
	while kill -0 "$tcpdump" 2>/dev/null && [ "$SECONDS" -lt 60 ]; do
		send $sent $((sent + 10))
		sent=$((sent + 10))
	done
fi
wait "$tcpdump"
i=0
for file in $(find . -name 'cap*' -printf '%f\n' | sed 's/\.notepack\.gz$//' | sort -V); do
	i=$((i + 1))
	mv "$file" "cap-$i"
done
# shellcheck disable=SC2046 # as many names
numbers $(seq -f cap-%g "$i") >"$T/numbers"
count=$(wc -l <"$T/numbers")
[ "$count" -gt 10 ]
seq -f 'packet %06g' 0 $((count - 1)) | cmp - "$T/numbers"
echo "in order" >numbers
