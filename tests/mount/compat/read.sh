# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# read.sh: programs that read: at once after the write, and when all is sealed. What they print is kept
# in a file, so that it is compared.

section "Reading"

compat read_at_once any works '`sha256sum`, `cmp`, `wc`, `md5sum`, `cksum`, right after the write' 'the plain name reads in every state'
case_read_at_once() {
	cp "$IN/big" x
	sha256sum x >out
	cmp "$IN/big" x
	wc x >>out
	md5sum x >>out
	cksum x >>out
}

compat sha256sum_c any works '`sha256sum -c` of sealed files'
before_sha256sum_c() { cp "$IN/text" "$IN/big" .; }
case_sha256sum_c() { (cd "$IN" && sha256sum text big) >sums; sha256sum -c sums; }

compat cmp any works '`cmp`, `diff`, `diff3`, `comm` of sealed files'
before_cmp() { cp "$IN/text" "$IN/more" "$IN/big" .; }
case_cmp() {
	cmp big "$IN/big"
	diff text more >d || [ $? -eq 1 ]
	diff3 text more text >d3
	comm -13 text more >c 2>/dev/null || [ -s c ]
}

compat diff any works '`diff -u` of files that were just written'
case_diff() {
	local f
	cp "$IN/text" "$IN/other" .
	for f in text other; do diff -u "$f" "$IN/$f"; done
}

compat pieces any works '`head`, `tail`, `od`, `tac`, `dd skip=`, `cut`, `nl`, `sed -n` of a sealed file' 'random access'
before_pieces() { cp "$IN/text" x; cp "$IN/big" y; }
case_pieces() {
	head -c 100 x >out
	tail -c 100 x >>out
	tail -n 5 x >>out
	od -j 1000000 -N 64 y >>out
	tac x >>out
	dd if=y bs=1000 skip=1234 count=3 status=none | cksum >>out
	cut -c 1-10 x >>out
	nl x >>out
	sed -n 100,110p x >>out
}

compat grep any works '`grep`, `awk`, `sort`, `uniq`, `join`, `paste`, `perl -ne` of a sealed file'
before_grep() { cp "$IN/text" x; }
case_grep() {
	grep -n 'line 7' x >out
	awk '{ n += $2 } END { print n }' x >>out
	sort -k 2 x >>out
	uniq -c x >>out
	join x x >>out
	paste x x >>out
	perl -ne 'print if /99/' x >>out
}

compat grep_r any works '`zgrep`, `zcat`, `zless`, `zdiff` of the objects' 'what is listed is gzip'
before_grep_r() { cp "$IN/text" x; }
case_grep_r() {
	local object=x.notepack.gz
	[ -n "$MODE" ] || { gzip -c x >"$T/$object"; object=$T/$object; }
	zgrep -c 'line 7' "$object" >out
	zcat "$object" | tail -n 3 >>out
	zless "$object" >>out
	zdiff "$object" "$IN/text" >>out
}

compat stat any works '`stat`, `ls -l`, `du --apparent-size`, `test -nt` of a sealed file' 'size, mode, time by the plain name'
before_stat() { cp -p "$IN/text" x; cp "$IN/other" y; }
case_stat() {
	stat -c '%s %a %y %h %F' x >out
	ls -l --time-style=full-iso x | cut -d' ' -f1,2,5- >>out
	du --apparent-size -b x >>out
	[ y -nt x ]
}

compat find any works '`find`, `ls` while files are sealed' 'each file is listed once: `x` or `x.notepack.gz`'
case_find() {
	cp -r "$IN/tree" .
	find tree -type f | sed 's/\.notepack\.gz$//' | sort >"$T/out"
	ls -1R tree | sed 's/\.notepack\.gz$//' | sort >>"$T/out"
	cp "$T/out" out
}

compat file any works '`file`, `less`, `more`, `strings`, `jq`'
before_file() { cp "$IN/text" x; cp "$IN/tree/c/run" y; seq 1 10 | jq -c '{n: .}' >z.jsonl; }
case_file() {
	file x y >out
	less -F x >>out
	more x >>out
	strings -n 20 x >>out
	jq -s 'map(.n) | add' z.jsonl >>out
}

compat tail_f any works '`tail -f`, over a cut' 'it stays with the file'
case_tail_f() {
	local tail
	echo first >x
	tail -s 0.05 -n +1 -f x >"$T/out" &
	tail=$!
	until_true grep -q first "$T/out"
	seal x
	echo second >>x
	until_true grep -q second "$T/out"
	seal x
	echo third >>x
	until_true grep -q third "$T/out"
	kill "$tail"
	cp "$T/out" out
}

compat open_reader any works 'a reader that has the file open, over a cut'
case_open_reader() {
	cp "$IN/big" x
	exec 8<x
	head -c 100000 <&8 >"$T/a"
	seal x
	cat <&8 >"$T/b"
	exec 8<&-
	cat "$T/a" "$T/b" >y
}

compat python_read any works 'Python: `open`, `mmap`, `gzip`, `shutil.copy2`, of a sealed file'
before_python_read() { cp -p "$IN/big" x; }
case_python_read() {
	python3 - <<-'END'
		import hashlib, mmap, os, shutil
		with open("x", "rb") as f:
		    whole = f.read()
		    f.seek(1000000)
		    assert f.read(1000) == whole[1000000:1001000]
		    with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
		        assert m[:] == whole
		print(hashlib.sha256(whole).hexdigest(), os.path.getsize("x"), file=open("out", "w"))
		shutil.copy2("x", "y")
	END
}
