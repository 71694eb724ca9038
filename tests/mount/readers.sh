#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# readers PLAIN OBJECT: each of these programs must read OBJECT to exactly the bytes of PLAIN.
#
# One TAP line a reader. A program that is missing is a failure, with the name of its Debian
# package: a reader that nobody tried is not a reader that works.
set -u

if [ $# -ne 2 ]; then
	echo "usage: $0 PLAIN OBJECT" >&2
	exit 2
fi
plain=$(realpath -- "$1")
object=$(realpath -- "$2")
dir=$(mktemp -d)
server=
count=0
failed=0

# shellcheck disable=SC2317
cleanup() {
	if [ -n "$server" ]; then
		kill "$server" 2>/dev/null
		wait "$server" 2>/dev/null
	fi
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# result NAME: a TAP line for the status of the command before it.
result() {
	local status=$?

	count=$((count + 1))
	if [ $status -eq 0 ]; then
		echo "ok $count - $1 reads the object"
	else
		echo "not ok $count - $1 reads the object"
		[ -s "$dir/err" ] && sed 's/^/# /' "$dir/err"
		failed=1
	fi
}

# check PACKAGE NAME PROGRAM [ARG...]: does the program write the plain bytes?
check() {
	local package=$1 name=$2 status

	shift 2
	if ! command -v "$1" >/dev/null; then
		echo "$1 is missing: apt-get install $package" >"$dir/err"
		false
		result "$name"
		return
	fi
	"$@" >"$dir/out" 2>"$dir/err"
	status=$?
	if [ $status -ne 0 ]; then
		echo "exit status $status" >>"$dir/err"
	else
		cmp -- "$plain" "$dir/out" >>"$dir/err" 2>&1
		status=$?
	fi
	(exit $status)
	result "$name"
}

# Serve the object at every path as Content-Encoding: gzip. The server prints its port when it
# listens; one that dies ends the pipe instead.
# shellcheck disable=SC2016
server_program='
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[1], "rb") as f:
            body = f.read()
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()'

start_server() {
	exec 3< <(exec python3 -c "$server_program" "$object" 2>"$dir/server.err")
	server=$!
	read -rt 60 port <&3
}

check gzip gzip gzip -dc -- "$object"
check pigz pigz pigz -dc -- "$object"
check zstd zstd zstd -dcq -- "$object"
check libarchive-tools bsdcat bsdcat -- "$object"
check busybox "busybox zcat" busybox zcat -- "$object"
check python3 "python3 gzip" python3 -c '
import gzip, shutil, sys
with gzip.open(sys.argv[1]) as f:
    shutil.copyfileobj(f, sys.stdout.buffer)' "$object"
check python3 "python3 zlib.decompress" python3 -c '
import sys, zlib
with open(sys.argv[1], "rb") as f:
    sys.stdout.buffer.write(zlib.decompress(f.read(), 31))' "$object"
# shellcheck disable=SC2016
check perl "perl IO::Uncompress::Gunzip" perl -MIO::Uncompress::Gunzip=gunzip,\$GunzipError -e '
binmode STDOUT;
gunzip($ARGV[0] => \*STDOUT) or die "$GunzipError\n"' "$object"
if start_server; then
	check curl "curl --compressed" curl --compressed --silent --show-error --fail \
		--noproxy '*' "http://127.0.0.1:$port/object"
else
	mv "$dir/server.err" "$dir/err"
	false
	result "curl --compressed"
fi
echo "1..$count"
exit $failed
