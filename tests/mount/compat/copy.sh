# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# copy.sh: cp, mv, install. See ../compat.sh for the words.

section "Copying and moving"

compat cp any works '`cp`'
case_cp() { cp "$IN/text" "$IN/other" .; }

compat cp_p any works '`cp -p`' 'times and mode are set before the close, and kept'
case_cp_p() { cp -p "$IN/text" x; }

compat cp_a any works '`cp -a` of a tree'
case_cp_a() { cp -a "$IN/tree" .; }

compat cp_large any works '`cp` of 2 MiB that do not compress'
case_cp_large() { cp "$IN/big" x; }

compat cp_sparse any works '`cp --sparse=always`' 'holes read as zeros'
case_cp_sparse() { cp --sparse=always "$IN/tree/sparse" x; }

compat cp_from_mount any works '`cp` of a sealed file within the mount'
before_cp_from_mount() { cp "$IN/big" x; }
case_cp_from_mount() { cp x y; }

compat cp_s any works '`cp -s`' 'symbolic links are links'
case_cp_s() { cp -s "$IN/text" x; }

compat cp_l any EPERM '`cp -l`, `ln`' 'an archive has no hard links'
before_cp_l() { cp "$IN/text" x; }
case_cp_l() { cp -l x y; }

compat cp_n any works '`cp -n` onto a sealed file' 'it writes nothing'
before_cp_n() { cp "$IN/text" x; }
case_cp_n() { cp -n "$IN/other" x; }

compat cp_u any works '`cp -pu` onto a sealed file of the same time' 'it writes nothing: the plain name has the time of the file'
before_cp_u() { cp -p "$IN/text" x; }
case_cp_u() { cp -pu "$IN/text" x; }

compat cp_twice grace works '`cp` over a file, within `grace`'
case_cp_twice() { cp "$IN/text" x; cp "$IN/other" x; }

compat cp_r_twice grace works '`cp -r` over a tree, within `grace`'
case_cp_r_twice() { cp -r "$IN/tree" .; cp -r "$IN/tree" .; }

compat cp_over_sealed any EPERM '`cp` over a sealed file' 'it truncates, and sealed bytes never change; `cp -f` with `allow_delete` replaces'
before_cp_over_sealed() { cp "$IN/text" x; }
case_cp_over_sealed() { cp "$IN/other" x; }

compat cp_r_sealed any EPERM '`cp -r` over a sealed tree' 'as `cp`; `rsync -a` transfers nothing instead'
before_cp_r_sealed() { cp -r "$IN/tree" .; }
case_cp_r_sealed() { cp -r "$IN/tree" .; }

compat cp_f_sealed any EPERM/works '`cp -f` over a sealed file' 'where it cannot truncate it removes'
before_cp_f_sealed() { cp "$IN/text" x; }
case_cp_f_sealed() { cp -f "$IN/other" x; }

compat cp_remove_destination any EPERM/works '`cp --remove-destination` over a sealed file' 'it removes first'
before_cp_remove_destination() { cp "$IN/text" x; }
case_cp_remove_destination() { cp --remove-destination "$IN/other" x; }

compat cp_backup any works '`cp --backup=numbered` over a sealed file' 'the old one is renamed'
before_cp_backup() { cp "$IN/text" x; }
case_cp_backup() { cp --backup=numbered "$IN/other" x; }

compat mv_in any works '`mv` into the mount'
case_mv_in() { cp -p "$IN/text" "$T/x"; mv "$T/x" .; }

compat mv_tree_in any works '`mv` of a tree into the mount'
case_mv_tree_in() { cp -a "$IN/tree" "$T/x"; mv "$T/x" .; }

compat mv_out grace works '`mv` out of the mount, within `grace`'
case_mv_out() { cp "$IN/text" x; mv x "$T/"; cp "$T/x" y; }

compat mv_out_sealed any EPERM/works '`mv` of a sealed file out of the mount' 'it copies, and then removes the source'
before_mv_out_sealed() { cp "$IN/text" x; }
case_mv_out_sealed() { mv x "$T/"; }

compat mv_rename any works '`mv`: rename a sealed file'
before_mv_rename() { cp -p "$IN/text" x; }
case_mv_rename() { mv x y; }

compat mv_fresh any works '`mv`: rename a file that was just written' 'while it is compressed, too'
case_mv_fresh() { cp -p "$IN/big" x; mv x y; mkdir d; mv y d/z; }

compat mv_parts any works '`mv`: rename a sealed file of two parts' 'all parts follow'
before_mv_parts() { cp "$IN/text" x; seal x; cat "$IN/other" >>x; }
case_mv_parts() { mv x y; }

compat mv_directory any works '`mv`: rename a directory of sealed files'
before_mv_directory() { cp -r "$IN/tree" x; }
case_mv_directory() { mv x y; }

compat mv_into_directory any works '`mv`: move sealed files to another directory'
before_mv_into_directory() { cp "$IN/text" "$IN/other" .; mkdir d; }
case_mv_into_directory() { mv text other d; }

compat mv_object any works '`mv x.notepack.gz y.notepack.gz`' 'a file of one part can be renamed by its object'
before_mv_object() { cp "$IN/text" x; }
case_mv_object() {
	if [ -n "$MODE" ]; then
		mv x.notepack.gz y.notepack.gz
	else
		mv x y
	fi
}

compat mv_over_sealed any EPERM/works '`mv -f` over a sealed file' 'a rename over it removes it'
before_mv_over_sealed() { cp "$IN/text" x; cp "$IN/other" y; }
case_mv_over_sealed() { mv -f x y; }

compat mv_n any works '`mv -n` onto a sealed file' 'it renames nothing'
before_mv_n() { cp "$IN/text" x; cp "$IN/other" y; }
case_mv_n() { mv -n x y; }

compat mv_b any works '`mv -b` onto a sealed file' 'the old one is renamed'
before_mv_b() { cp "$IN/text" x; cp "$IN/other" y; }
case_mv_b() { mv -b -S .old x y; }

compat install any works '`install -D -m`' 'chmod after the close'
case_install() { install -D -m 755 "$IN/text" d/x; install -m 600 -p "$IN/other" y; }

compat install_over_sealed any EPERM/works '`install` over a sealed file' 'it removes first'
before_install_over_sealed() { install "$IN/text" x; }
case_install_over_sealed() { install "$IN/other" x; }

compat shred grace works '`shred -u`, within `grace`'
case_shred() { cp "$IN/text" x; shred -u x; }

compat shred_sealed any EPERM '`shred` of a sealed file' 'it writes over what is there'
before_shred_sealed() { cp "$IN/text" x; }
case_shred_sealed() { shred -n 1 x; }

compat rm any works '`rm` of an empty or excluded file' 'such files are never sealed'
case_rm() { touch x; echo 1 >y.tmp; barrier; rm x y.tmp; }

compat rm_in_grace grace works '`rm`, `rm -r`, within `grace`'
case_rm_in_grace() { cp -r "$IN/tree" .; rm tree/a/text; rm -r tree; }

compat rm_sealed any EPERM/works '`rm` of a sealed file' '`notepackctl rm` removes it'
before_rm_sealed() { cp "$IN/text" x; }
case_rm_sealed() { rm -f x; }

compat rm_r_sealed any EPERM/works '`rm -r` of a sealed tree' '`notepackctl rm`'
before_rm_r_sealed() { mkdir d; cp "$IN/text" d/x; }
case_rm_r_sealed() { rm -r d; }

compat rm_parts any EPERM/works/EPERM '`rm -r` of a sealed file of two parts' '`notepackctl rm`'
before_rm_parts() { mkdir d; cp "$IN/text" d/x; seal d/x; cat "$IN/other" >>d/x; }
case_rm_parts() { rm -r d; }

compat rm_plain_name any EPERM/works '`rm x`, of a sealed file of two parts' 'the plain name removes all parts'
before_rm_plain_name() { cp "$IN/text" x; seal x; cat "$IN/other" >>x; }
case_rm_plain_name() { rm -f x; }

compat find_delete any EPERM/works '`find -delete` of sealed files' 'as `rm`'
before_find_delete() { cp "$IN/text" x; cp "$IN/other" y; }
case_find_delete() { find . -type f -delete; }
