# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# archive.sh: tar, cpio, zip, 7z, and the compressors. See ../compat.sh for the words.

section "Archives and compressors"

compat tar_x any works '`tar x`' 'owner, mode and times are set after the close, by path'
case_tar_x() { tar -C "$IN" -cf "$T/t.tar" tree; tar xf "$T/t.tar"; }

compat tar_xz any works '`tar xz`, `tar xJ`, `tar x --strip-components`'
case_tar_xz() {
	tar -C "$IN" -czf "$T/t.tgz" tree
	tar -C "$IN" -cJf "$T/t.txz" tree
	tar xzf "$T/t.tgz"
	mkdir d
	tar xJf "$T/t.txz" -C d --strip-components=1
}

compat tar_x_twice any EPERM/works '`tar x`, again' 'it removes, then writes; `--skip-old-files` leaves what is there'
before_tar_x_twice() { mkdir d; cp "$IN/text" "$IN/other" d; }
case_tar_x_twice() { tar -C "$IN" -cf "$T/t.tar" text other; traced tar xf "$T/t.tar" -C d; }

compat tar_x_skip any works '`tar x --skip-old-files`, `--keep-newer-files`, again'
before_tar_x_skip() { cp -a "$IN/tree" .; }
case_tar_x_skip() {
	tar -C "$IN" -cf "$T/t.tar" tree
	tar xf "$T/t.tar" --skip-old-files
	tar xf "$T/t.tar" --keep-newer-files 2>/dev/null
}

compat tar_x_overwrite any EPERM '`tar x --overwrite`, again' 'it truncates'
before_tar_x_overwrite() { cp "$IN/text" "$IN/other" .; }
case_tar_x_overwrite() { tar -C "$IN" -cf - text other | tar xf - --overwrite; }

compat tar_c any works '`tar c` onto the mount, `tar d`' 'tar, with sorted names'
case_tar_c() { tar -C "$IN" --sort=name -cf x.tar tree; tar -C "$IN" -df x.tar; }

compat tar_c_from any works '`tar c` of sealed files by their plain names'
before_tar_c_from() { cp -p "$IN/text" "$IN/big" .; }
case_tar_c_from() { tar cf "$T/x.tar" text big; tar xf "$T/x.tar" --to-stdout >out; }

compat tar_r grace works '`tar r`, within `grace`'
case_tar_r() { tar -C "$IN" -cf x.tar text; tar -C "$IN" -rf x.tar other; }

compat tar_r_sealed any EPERM '`tar r`, `tar --delete` of a sealed archive' 'it writes over the end-of-archive block'
before_tar_r_sealed() { tar -C "$IN" -cf x.tar text; }
case_tar_r_sealed() { tar -C "$IN" -rf x.tar other; }

compat bsdtar any works '`bsdtar x`, `bsdtar c`'
case_bsdtar() { bsdtar -C "$IN" -cf x.tar text other; bsdtar -xf x.tar; }

compat cpio any works '`cpio -o`, `-i`, `-p`'
case_cpio() {
	(cd "$IN" && find tree -type f | sort | cpio --quiet -o --reproducible) >x.cpio
	mkdir i p
	(cd i && cpio --quiet -idm <../x.cpio)
	(cd "$IN" && find tree -type f | sort | cpio --quiet -pdm "$OLDPWD/p")
}

compat cpio_i_sealed any EPERM/works '`cpio -iu`, again' 'it removes, then writes'
before_cpio_i_sealed() { cp -p "$IN/text" .; }
case_cpio_i_sealed() { (cd "$IN" && echo text | cpio --quiet -o) | cpio --quiet -idmu; }

compat zip any works '`zip -r`'
case_zip() { (cd "$IN" && zip -qrX "$OLDPWD/x.zip" tree/a/text tree/c); unzip -tq x.zip; }

compat zip_u grace works '`zip -u`, within `grace`' 'a new file `ziXXXXXX` is renamed over the old one'
case_zip_u() { zip -qXj x.zip "$IN/text"; zip -qXju x.zip "$IN/other"; }

compat zip_u_sealed any EPERM/works '`zip -u` of a sealed archive' 'it renames over it'
leaves zip_u_sealed 'zi*'
before_zip_u_sealed() { zip -qXj x.zip "$IN/text"; }
case_zip_u_sealed() { zip -qXju x.zip "$IN/other"; }

compat unzip any works '`unzip`' 'times and modes are set after the close'
case_unzip() { (cd "$IN" && zip -qr "$T/x.zip" tree); unzip -q "$T/x.zip"; }

compat unzip_o_sealed any EPERM/works '`unzip -o`, again' 'it removes, then writes; `-n` leaves what is there'
before_unzip_o_sealed() { cp "$IN/text" .; }
case_unzip_o_sealed() { zip -qj "$T/x.zip" "$IN/text"; unzip -qo "$T/x.zip"; }

compat unzip_n any works '`unzip -n`, again'
before_unzip_n() { cp "$IN/text" .; }
case_unzip_n() { zip -qj "$T/x.zip" "$IN/text" "$IN/other"; unzip -qn "$T/x.zip"; }

compat sevenzip any works '`7z a`, `7z x`'
case_sevenzip() { 7z a -bd -mmt=1 x.7z "$IN/text" "$IN/other" >"$T/log"; 7z x -bd x.7z -od >"$T/log"; }

compat sevenzip_u_sealed any EPERM/works '`7z u` of a sealed archive' 'it renames over it'
leaves sevenzip_u_sealed 'x.7z.tmp*'
before_sevenzip_u_sealed() { 7z a -bd x.7z "$IN/text" >"$T/log"; }
case_sevenzip_u_sealed() { traced 7z u -bd -mmt=1 x.7z "$IN/other"; }

compat gzip grace works '`gzip`, `bzip2`, `xz`, `zstd --rm` in place, within `grace`' 'the compressed file is sealed once more, by its own name'
case_gzip() {
	for f in g b x z; do cp -p "$IN/text" "$f"; done
	gzip g
	bzip2 b
	xz x
	zstd -q --rm z
}

compat gunzip grace works '`gunzip`, `bunzip2`, `unxz`, `unzstd --rm` in place, within `grace`'
case_gunzip() {
	for f in g b x z; do cp -p "$IN/text" "$f"; done
	gzip g && gunzip g.gz
	bzip2 b && bunzip2 b.bz2
	xz x && unxz x.xz
	zstd -q --rm z && unzstd -q --rm z.zst
}

for compressor in gzip:gz bzip2:bz2 xz:xz; do
	name=${compressor%:*}_sealed
	compat "$name" any EPERM/works "\`${compressor%:*}\` in place, of a sealed file" \
		'it writes the new file, and cannot remove the old one: both are there'
	leaves "$name" "x.${compressor#*:}"
done
before_gzip_sealed() { cp -p "$IN/text" x; }
case_gzip_sealed() { gzip x; }
before_bzip2_sealed() { cp -p "$IN/text" x; }
case_bzip2_sealed() { bzip2 x; }
before_xz_sealed() { cp -p "$IN/text" x; }
case_xz_sealed() { xz x; }

compat zstd_sealed any EPERM/works '`zstd --rm` of a sealed file' 'as `gzip`'
leaves zstd_sealed x.zst
before_zstd_sealed() { cp -p "$IN/text" x; }
case_zstd_sealed() { traced zstd -q --rm x; }

compat pigz any works '`pigz -c`, `gzip -c`, `gzip -k`'
case_pigz() { pigz -nc "$IN/big" >x.gz; gzip -nc "$IN/text" >y.gz; cp -p "$IN/text" z; gzip -k z; }

compat gzip_append any works '`gzip -c >>`, three times' 'members are appended; each may be a part'
case_gzip_append() {
	local i
	for i in 1 2 3; do gzip -nc "$IN/other" >>x.gz; done
	zcat x.gz >out
}
