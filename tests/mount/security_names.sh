#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Hostile names, of files, directories and links: through everything that takes a name, and everything
# that shows one. Nothing is taken for an option, a pattern, a command or another line; no control
# character reaches a terminal or the log; what is JSON stays JSON.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

repeated() {
	printf "%0$1d" 0
}

# Each is a name as it is; none is excluded.
# shellcheck disable=SC2016,SC1003 # nothing of this is to be expanded, or to be an escape
NAMES=(
	$'two\nlines'
	$'\n'
	$'x\n{"seq":1,"event":"seal","path":"forged"}\n'
	$'x\nnotepackfs: error: forged'
	$'carriage\rreturn'
	$'tab\tbell\abackspace\b'
	$'\e[31mred\e[0m'
	$'\e]0;title\a'
	$'del\x7f'
	$'all\x01\x02\x03\x04\x05\x06\x0e\x0f\x10\x1f'
	$'latin1-\xe9'
	$'\xff\xfe'
	$'\xc0\xaf..\xc0\xaf'
	$'surrogate-\xed\xa0\x80'
	$'cut-off-\xe2\x82'
	$'right-to-left-\u202egpj.exe'
	$'combining-\u0301\u0301\u0301'
	$'no\u00a0break\u2028line'
	'"quotes"' "'single'" '`id`' '$(id)' '${HOME}' '$HOME' '; id' '| id' '&& id' '> x'
	'back\slash' '\' '\\' '\n' '\x41' 'end\'
	'-rf' '--help' '-' '--' '-o' '--timeout=0' '@file' '#comment' '!bang'
	'*' '?' '[a-z]' '{a,b}' '~x' '~root'
	' ' '  two  blanks  ' ' lead' 'trail '
	'%s%n%x' '%' '%%d'
	'null' 'true' '0' '{"a":1}' '[]' ','
	'x...' 'a..b' 'x..'
	'name.notepack.gzip' 'x.invalid' 'manifest' 'lost+found'
	"$(repeated 211)"
	$'long\n'"$(repeated 200)"
	$'\xf0\x9f\x97\x83-emoji'
)
INJECTED=${#NAMES[@]}

content() {
	printf 'content of %q\n' "$1"
}

# Human output: no control character but the end of a line, and no byte that is no UTF-8.
is_printable() {
	! LC_ALL=C grep -aq $'[\x01-\x08\x0b-\x1f\x7f]' "$1" && iconv -f UTF-8 -t UTF-8 "$1" >/dev/null 2>&1
}

# check_all NAME COMMAND…: succeeds for every name, as its last argument in the mount
check_all() {
	local what=$1 name bad=
	shift
	for name in "${NAMES[@]}"; do
		"$@" "$name" >>"$WORK/out" 2>>"$WORK/err" || bad+=$(printf ' %q' "$name")
	done
	check "$what, for every name$bad" [ -z "$bad" ]
}

write_one() { content "$1" >"$MNT/$1"; }
append_one() { echo more >>"$MNT/$1"; }
reads_one() { content "$1" | cmp - "$2/$1"; }
reads_both() { (content "$1"; echo more) | cmp - "$MNT/$1"; }
in_mount() { reads_one "$1" "$MNT"; }
seal_one() { "$NOTEPACKCTL" seal "$MNT/$1"; }
wait_one() { "$NOTEPACKCTL" wait "$MNT/$1"; }
ls_one() { "$NOTEPACKCTL" ls -l "$MNT/$1" && "$NOTEPACKCTL" ls "$MNT/$1"; }
ls_json_one() { "$NOTEPACKCTL" ls --json "$MNT/$1" | jq -e . >/dev/null; }
cat_one() { "$NOTEPACKCTL" cat "$MNT/$1" | cmp - "$MNT/$1"; }
cat_in_store() { (content "$1"; echo more) | cmp - <("$NOTEPACKCTL" cat "$STORE/$1"); }
rm_one() { "$NOTEPACKCTL" rm "$MNT/$1"; }
mkdir_one() { mkdir -- "$MNT/dirs/$1" && content "$1" >"$MNT/dirs/$1/$1"; }
seal_dir() { "$NOTEPACKCTL" seal "$MNT/dirs/$1"; }
dir_reads() { content "$1" | cmp - "$MNT/dirs/$1/$1"; }
link_one() { ln -s -- "$1" "$MNT/links/$1" && [ "$(readlink -n -- "$MNT/links/$1"; echo .)" = "$1." ]; }
move_one() { mv -T -- "$MNT/dirs/$1/$1" "$MNT/dirs/$1/moved" && mv -T -- "$MNT/dirs/$1/moved" "$MNT/dirs/$1/$1"; }
import_one() { content "$1" | gzip -c >"$WORK/import/$1.gz"; }
imported_one() { content "$1" | cmp - "$MNT/imports/import/$1"; }
xattr_one() { [ "$(getfattr --only-values -n user.notepack.state -- "$MNT/$1")" = sealed ]; }
gone_one() { [ ! -e "$MNT/$1" ]; }

# Every line of the log of events is one object; none was made by a name.
log_is_json() {
	jq -es 'all(.[]; type == "object" and (.seq | type == "number")) and all(.[]; .path != "forged")' "$1" >/dev/null
}

# The names that a JSON file has, base64 and all, against those there should be.
paths_of() {
	python3 -c 'import base64, json, sys
for line in open(sys.argv[1], "rb").read().split(b"\n"):
    if line:
        o = json.loads(line)
        if "plain" in o or "plain_b64" in o:
            p = base64.b64decode(o["plain_b64"]) if "plain_b64" in o else o["plain"].encode()
            sys.stdout.buffer.write(p + b"\0")' "$1" | sort -z -u
}

start grace=1h
mkdir "$MNT/dirs" "$MNT/links" "$MNT/imports" "$WORK/import"
check_all "a file is made" write_one
check "the status is JSON while all is pending" quietly jq -e '.pending | length > 50' "$MNT/.notepackfs/status"
"$NOTEPACKCTL" status "$MNT" >"$WORK/table"
check "… and the table of it can be shown on a terminal" is_printable "$WORK/table"
check "… one line a file" [ "$(grep -c ' grace\|^grace' "$WORK/table")" -ge 1 -a "$(wc -l <"$WORK/table")" -lt $((INJECTED + 20)) ]
: >"$WORK/out" && : >"$WORK/err"
check_all "it is sealed" seal_one
check_all "it is read" in_mount
check_all "it is appended to" append_one
check_all "it is waited for" wait_one
check_all "both parts are read" reads_both
check_all "notepackctl cat reads it" cat_one
check_all "its state is an attribute" xattr_one
check_all "notepackctl ls lists it" ls_one
check_all "… and does in JSON" ls_json_one
check_all "a directory is made" mkdir_one
check_all "… sealed" seal_dir
check_all "… read" dir_reads
check_all "a file is renamed and back" move_one
check_all "a link is made, and read" link_one
check_all "a gzip file is there" import_one
check "… and all are imported" quietly "$NOTEPACKCTL" import "$WORK/import" "$MNT/imports"
check_all "… and read" imported_one

# ---- what shows them ----

for command in "ls -l $MNT" "status $MNT" "check $MNT" "check --deep $MNT"; do
	# shellcheck disable=SC2086 # the words
	"$NOTEPACKCTL" $command >"$WORK/shown" 2>&1
	check "notepackctl ${command%% /*} shows nothing that a terminal would obey" is_printable "$WORK/shown"
done
check "nor did any of the commands before" is_printable <(cat "$WORK/out" "$WORK/err")
for command in "ls --json $MNT" "status --json $MNT" "check --json $MNT"; do
	# shellcheck disable=SC2086 # the words
	check "notepackctl ${command%% /*} is JSON" sh -c "'$NOTEPACKCTL' $command | jq -es 'length > 0' >/dev/null"
done
check "the checksums verify, whatever the names" sh -c "cd '$MNT' && sha256sum --quiet --strict -c .notepackfs/sha256sums"
check "… one line for each object" [ "$(wc -l <"$MNT/.notepackfs/sha256sums")" = "$(find "$MNT" -name '*.notepack.gz' -printf x | wc -c)" ]
check "the log has one object a line" log_is_json "$MNT/.notepackfs/log"
check "the manifest names them, and nothing else" cmp \
	<(paths_of "$MNT/.notepackfs/manifest") <(printf '%s\0' "${NAMES[@]}" | sort -z -u)

for name in "${NAMES[@]}"; do : >"$MNT/$name.notepack.gz"; done 2>/dev/null # each is refused, with a line in the log
for name in "${NAMES[@]}"; do
	rm -f -- "$MNT/$name.notepack.gz" 2>/dev/null
	"$NOTEPACKCTL" seal "$MNT/none/$name" && echo "found what is not there"
	"$NOTEPACKCTL" umount "$MNT/$name"
	"$NOTEPACKCTL" "$name" "$MNT"
	"$NOTEPACKFS" -o "$name" "$STORE" "$MNT"
	"$NOTEPACKFS" "$STORE/$name" "$MNT"
done >"$WORK/errors" 2>&1
check "messages about them can be shown on a terminal" is_printable "$WORK/errors"
check "… and are each one line" [ "$(grep -vc '^notepackfs: \|^notepackctl: \|^Usage\|^ \|^$\|^[a-zA-Z0-9]' "$WORK/errors")" = 0 ]
check "… that no name has forged" [ "$(grep -c '^notepackfs: error: forged' "$WORK/errors")" = 0 ]

# ---- a crash, and without the mount ----

write_again() { content "$1" >"$MNT/again-${1:0:200}"; }
read_again() { content "$1" | cmp - "$MNT/again-${1:0:200}"; }
check_all "more files are made" write_again
crash
start grace=1h
check_all "after a crash it is read" reads_both
check_all "… and what was not sealed" read_again
check_all "… and what is in directories" dir_reads
check_all "… and imports" imported_one
stop "with hostile names"
check_all "without the mount notepackctl cat reads it" cat_in_store
check "notepackctl check finds nothing" quietly "$NOTEPACKCTL" check --deep "$STORE"
check "the daemon's log can be shown on a terminal" is_printable "$LOG"
check "… and has no line that a name has forged" [ "$(grep -c '^notepackfs: error: forged' "$LOG")" = 0 ]
start grace=1h
check_all "it is removed" rm_one
check_all "… and gone" gone_one
check "the log still has one object a line" log_is_json "$MNT/.notepackfs/log"
stop "with nothing left"
echo "# injected: $INJECTED"
check "there were at least 50 names" [ "$INJECTED" -ge 50 ]
finish
