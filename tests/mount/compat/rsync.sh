# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# rsync.sh: into the mount, once and again. "Again" must transfer nothing: -i prints what it does.

section "rsync"

compat rsync_a any works '`rsync -a`'
case_rsync_a() { rsync -a "$IN/tree/" .; }

compat rsync_rerun any works '`rsync -a`, again' 'transfers nothing'
before_rsync_rerun() { rsync -a "$IN/tree" .; }
case_rsync_rerun() { rsync_has_nothing -ai "$IN/tree" .; }

compat rsync_at_once any works '`rsync -a`, and again at once' 'transfers nothing, sealed yet or not'
case_rsync_at_once() { rsync -a "$IN/tree" .; rsync_has_nothing -ai "$IN/tree" .; }

compat rsync_c any works '`rsync -a -c`, again' 'every byte is read and compared; transfers nothing'
before_rsync_c() { rsync -a "$IN/tree" .; }
case_rsync_c() { rsync_has_nothing -aic "$IN/tree" .; }

compat rsync_xattrs any works '`rsync -aAXH`, and again' 'of the mount'"'"'s own attributes it may remove what it likes'
case_rsync_xattrs() { rsync -aAXH "$IN/tree/" . && rsync -aAXH "$IN/tree/" .; }

compat rsync_added any works '`rsync -a`, again, with new files'
before_rsync_added() { rsync -a "$IN/tree/a" .; }
case_rsync_added() { cp -a "$IN/tree/a" "$T/"; cp "$IN/other" "$T/a/new"; rsync -a "$T/a" .; }

compat rsync_changed any EPERM/works '`rsync -a`, again, with a changed file' 'it renames over the sealed one'
before_rsync_changed() { cp -p "$IN/less" x; }
case_rsync_changed() { rsync -a "$IN/more" x; }

compat rsync_inplace any works '`rsync --inplace`, and again'
case_rsync_inplace() { rsync -a --inplace "$IN/tree" .; rsync_has_nothing -ai --inplace "$IN/tree" .; }

compat rsync_inplace_changed any EPERM '`rsync --inplace`, with a changed file' 'it writes over sealed bytes'
before_rsync_inplace_changed() { cp -p "$IN/other" x; }
case_rsync_inplace_changed() { rsync -a --inplace --no-whole-file "$IN/text" x; }

compat rsync_append any works '`rsync --append`, of a file that has grown' 'the new bytes are its next part'
before_rsync_append() { cp -p "$IN/less" x; }
case_rsync_append() { rsync -a --append "$IN/more" x; }

compat rsync_append_verify any works '`rsync --append-verify`, of a file that has grown'
before_rsync_append_verify() { cp -p "$IN/less" x; }
case_rsync_append_verify() { rsync -a --append-verify "$IN/more" x; }

compat rsync_partial any works '`rsync --partial-dir`, `--delay-updates`, `--fsync`'
case_rsync_partial() {
	rsync -a --partial-dir=.partial "$IN/tree" a
	rsync -a --delay-updates "$IN/tree" b
	rsync -a --fsync "$IN/tree" c
	rsync -a -S "$IN/tree" d
}

compat rsync_delete_filter any works "\`rsync -a --delete --filter='P *.notepack.gz'\`, again" 'what was removed at the source stays in the archive'
before_rsync_delete_filter() { rsync -a "$IN/tree" .; touch gone; }
case_rsync_delete_filter() { rsync -a --delete --filter='P *.notepack.gz' "$IN/tree/" tree; }

compat rsync_delete any EPERM/works '`rsync -a --delete`, again' 'it takes what is listed, `x.notepack.gz`, for extraneous; with `allow_delete` it removes all, and transfers all again: use the filter'
before_rsync_delete() { rsync -a "$IN/tree" .; }
case_rsync_delete() { rsync -a --delete "$IN/tree/" tree; }

compat rsync_remove_source any EPERM/works '`rsync --remove-source-files` out of the mount' 'of the plain names that it was given'
before_rsync_remove_source() { cp -p "$IN/text" x; }
case_rsync_remove_source() { rsync -a --remove-source-files x "$T/"; cmp "$T/x" "$IN/text"; }
