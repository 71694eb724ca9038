# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# inputs.sh: what the cases work with, in $IN; the same bytes and times at every run.
#
#	text, other	lines; more is text with some lines at its end, less the first lines of it
#	big		2 MiB that do not compress
#	tree		directories, an empty file, an executable one, a symbolic link, a sparse file

mkdir -p "$IN/tree/a/b" "$IN/tree/c"
seq -f 'line %g of the text, which is long enough to be a line' 1 700 >"$IN/text"
seq -f 'another line, number %g' 1 500 >"$IN/other"
head -n 300 "$IN/text" >"$IN/less"
{ cat "$IN/text"; seq 1 50; } >"$IN/more"
python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(7).randbytes(2 << 20))' >"$IN/big"
cp "$IN/text" "$IN/tree/a/text"
cp "$IN/other" "$IN/tree/a/b/other"
head -c 300000 "$IN/big" >"$IN/tree/c/binary"
printf '#!/bin/sh\necho "it runs"\n' >"$IN/tree/c/run"
chmod 755 "$IN/tree/c/run"
chmod 640 "$IN/tree/a/text"
: >"$IN/tree/empty"
truncate -s 300000 "$IN/tree/sparse"
printf 'in the middle' | dd of="$IN/tree/sparse" bs=1 seek=150000 conv=notrunc status=none
ln -s a/text "$IN/tree/link"
find "$IN" -exec touch -h -d '2001-02-03 04:05:06.123456789' {} +
