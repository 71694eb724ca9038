# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# files.sh: what makes, fills and changes files: dd, touch, truncate, split, sort, … See ../compat.sh.

section "Making and changing files"

compat touch_then_write any works '`touch`, then `>`' 'an empty file is never sealed'
case_touch_then_write() { touch x; barrier; cat "$IN/text" >x; }

compat touch_sealed any works '`touch -d` of a sealed file' 'its time can be set at any time'
before_touch_sealed() { cp "$IN/text" x; }
case_touch_sealed() { touch -d '1999-01-02 03:04:05.678901234' x; }

compat chmod_sealed any works '`chmod`, `chgrp` of a sealed file' 'by its plain name, at any time'
before_chmod_sealed() { cp -r "$IN/tree" .; }
case_chmod_sealed() { chmod 600 tree/a/text; chmod go-rwx tree/c/run; chgrp "$(id -g)" tree/a/text; }

compat chmod_r_sealed any works '`chmod -R` of a sealed tree'
before_chmod_r_sealed() { mkdir d; cp "$IN/text" d/x; }
case_chmod_r_sealed() { chmod -R go-rwx d/*; }

compat mktemp any works '`mktemp`, `mktemp -d`, then write'
case_mktemp() {
	local f d
	f=$(mktemp -p . fileXXXX)
	d=$(mktemp -d -p . dirXXXX)
	barrier
	cat "$IN/text" >"$f"
	cp "$IN/other" "$d/y"
	mv "$f" x
	mv "$d" d
}

compat mkdir any works '`mkdir -p`, `rmdir`'
case_mkdir() { mkdir -p a/b/c d; mkdir -m 700 e; rmdir d; cp "$IN/text" a/b/c/x; }

compat ln_s any works '`ln -s`, `ln -sfn`'
case_ln_s() { cp "$IN/text" x; ln -s x y; ln -s nowhere z; ln -sfn x z; cat y; }

compat publish_by_link any EPERM '`ln`, then `rm` (publish by link)' 'an archive has no hard links; `mv -n` publishes as well'
before_publish_by_link() { cp "$IN/text" x.tmp; }
case_publish_by_link() { ln x.tmp x && rm x.tmp; }

compat publish_by_rename any works 'write `x.tmp`, then `mv`' 'excluded until its name is final'
case_publish_by_rename() { cat "$IN/text" >x.tmp; barrier; mv x.tmp x; }

compat truncate grace works '`truncate -s`, shorter and longer, within `grace`'
case_truncate() { cp "$IN/text" x; truncate -s 1000 x; truncate -s 5000 x; truncate -s 100K y; }

compat truncate_sealed any EPERM '`truncate -s` of a sealed file, shorter'
before_truncate_sealed() { cp "$IN/text" x; }
case_truncate_sealed() { truncate -s 1000 x; }

compat truncate_longer any works '`truncate -s` of a sealed file, longer' 'the zeros are its next part'
before_truncate_longer() { cp "$IN/text" x; }
case_truncate_longer() { truncate -s 100K x; }

compat fallocate_dd grace works '`fallocate`, then `dd conv=notrunc`' 'space that was allocated waits for its writer'
case_fallocate_dd() { fallocate -l 2M x; dd if="$IN/big" of=x conv=notrunc status=none; }

compat split any works '`split`' 'each piece is sealed when it is closed'
case_split() { split -b 100k "$IN/big" piece.; split -l 200 -d "$IN/text" lines; }

compat split_filter any works '`split --filter`'
# shellcheck disable=SC2016 # split sets FILE
case_split_filter() { split -l 300 --filter='gzip -n >$FILE.gz' "$IN/text" piece.; }

compat csplit any works '`csplit`'
case_csplit() { csplit -s "$IN/text" 100 '/line 300/' '{0}' 500; }

compat tee any works '`tee`'
case_tee() { tee x y <"$IN/text" >z; }

compat dd any works '`dd`'
case_dd() { dd if="$IN/big" of=x bs=64k status=none; }

compat dd_fsync any works '`dd conv=fsync`, `conv=fdatasync`'
case_dd_fsync() {
	dd if="$IN/big" of=x bs=1M conv=fsync status=none
	dd if="$IN/text" of=y conv=fdatasync status=none
}

compat dd_sync any works '`dd oflag=sync`, `oflag=dsync`' 'every block is written and synced'
case_dd_sync() {
	dd if="$IN/text" of=x bs=4k oflag=sync status=none
	dd if="$IN/text" of=y bs=4k oflag=dsync status=none
}

compat dd_append any works '`dd oflag=append conv=notrunc`, three times' 'each may be a part'
case_dd_append() {
	local i
	for i in 1 2 3; do
		dd if="$IN/other" of=x oflag=append conv=notrunc status=none
	done
}

compat dd_direct any works '`dd oflag=direct`'
case_dd_direct() { dd if="$IN/big" of=x bs=1M oflag=direct status=none; }

compat dd_seek any works '`dd seek=`' 'a hole at the beginning'
case_dd_seek() { dd if="$IN/text" of=x bs=1k seek=300 status=none; }

compat dd_notrunc grace works '`dd conv=notrunc` in the middle, within `grace`'
case_dd_notrunc() { cp "$IN/big" x; dd if="$IN/text" of=x bs=1k seek=100 conv=notrunc status=none; }

compat dd_notrunc_sealed any EPERM '`dd conv=notrunc` in the middle of a sealed file'
before_dd_notrunc_sealed() { cp "$IN/big" x; }
case_dd_notrunc_sealed() { dd if="$IN/text" of=x bs=1k seek=100 conv=notrunc status=none; }

compat sort_o any works '`sort -o` to a new file'
case_sort_o() { sort -r -o x "$IN/text"; }

compat sort_o_sealed any EPERM '`sort -o` over its sealed input' 'it truncates'
before_sort_o_sealed() { cp "$IN/text" x; }
case_sort_o_sealed() { sort -r -o x x; }

compat sponge any works '`sponge`, `pee`'
case_sponge() { sort -r "$IN/text" | sponge x; pee 'cat >y' 'cat >z' <"$IN/text"; }

compat sponge_sealed any EPERM '`sponge` over a sealed file' 'it writes over what is there'
before_sponge_sealed() { cp "$IN/text" x; }
case_sponge_sealed() { sort -r x | traced sponge x; }

compat pv any works '`pv`, `mbuffer -o`'
case_pv() { pv -q "$IN/big" >x; mbuffer -q -i "$IN/big" -o y 2>/dev/null; }

compat script any works '`script`'
volatile script x
case_script() { script -q -c 'cat "$IN/text"' x >/dev/null; }

compat xxd any works '`xxd -r`, `base64 -d`, `openssl enc`'
case_xxd() {
	xxd "$IN/text" x
	xxd -r x y
	base64 "$IN/big" >z
	base64 -d z >z.decoded
	openssl enc -aes-256-ctr -K 00 -iv 00 -in "$IN/text" -out e 2>/dev/null
}

compat busybox any works 'busybox `cp`, `dd`, `mv`, `tee`, `gzip -c`'
case_busybox() {
	busybox cp -p "$IN/text" x
	busybox dd if="$IN/big" of=y bs=64k 2>/dev/null
	busybox mv y z
	busybox tee -a t <"$IN/text" >u
	busybox gzip -c <"$IN/text" >v.gz
}

compat noclobber any works '`set -o noclobber`' 'the sealed file exists: it is not written'
before_noclobber() { cp "$IN/text" x; }
case_noclobber() {
	set -o noclobber
	cat "$IN/other" >y
	if (cat "$IN/other" >x) 2>/dev/null; then
		return 1
	fi
}

compat mmap any works 'a program that writes by `mmap`, and closes first' 'pages that arrive after the close are sealed with the rest'
case_mmap() { "$BUILD/tests/mount/mmapwriter" x 300000; }

compat mmap_msync any works 'a program that writes by `mmap`, with `msync` for each page' 'a file that is mapped is not cut while it is open'
case_mmap_msync() { "$BUILD/tests/mount/mmapwriter" x 100000 sync; }
