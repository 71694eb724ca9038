# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# edit.sh: editors, run as they run in a terminal where they can do nothing else.

section "Editors"

compat vim any works '`vim`, a new file' 'its swap file is excluded, and never sealed'
case_vim() { vim -u NONE -es -c 'set swapfile' -c 'call setline(1, ["one", "two"])' -c 'w x' -c 'q'; }

compat vim_twice grace works '`vim`, saved several times within `grace`'
case_vim_twice() { cp "$IN/text" x; vim -u NONE -es -c 's/line/LINE/' -c w -c '2d' -c w -c 'w ++ff=dos' -c q x; }

compat vim_backup grace works '`vim`, with backup files, within `grace`'
case_vim_backup() { cp "$IN/text" x; vim -u NONE -es -c 'set backup backupcopy=yes backupskip=' -c 's/line/LINE/' -c wq x; }

compat vim_sealed any EPERM '`vim`, a sealed file' 'it truncates in place ("cannot open file for writing")'
before_vim_sealed() { cp "$IN/text" x; }
case_vim_sealed() { traced vim -u NONE -es -c 's/line/LINE/' -c 'w' -c 'q!' x; }

compat vim_rename any EPERM/works '`vim`, a sealed file, `backupcopy=no`' 'it renames the file, writes a new one, and removes the old one'
leaves vim_rename 'x~'
refused_vim_rename() { sed -i '$s/line/LINE/' x; }
before_vim_rename() { cp "$IN/text" x; }
case_vim_rename() { traced vim -u NONE -es -c 'set writebackup nobackup backupcopy=no backupskip=' -c 's/line/LINE/' -c 'w!' -c 'q!' x; }

compat nano any works '`nano`, a new file'
case_nano() { expect "$HERE/compat/nano.exp" x 'some words'; }

compat nano_sealed any EPERM '`nano`, a sealed file' 'it truncates'
before_nano_sealed() { cp "$IN/text" x; }
case_nano_sealed() { traced expect "$HERE/compat/nano.exp" x 'some words'; }

# It makes none in /tmp otherwise.
emacs_backup='(setq make-backup-files t backup-enable-predicate (lambda (name) t))'

compat emacs any works '`emacs`, a new file'
case_emacs() { emacs -Q --batch x --eval '(insert "one\ntwo\n")' -f save-buffer 2>/dev/null; }

compat emacs_twice grace works '`emacs`, saved twice within `grace`' 'its backup file is excluded'
case_emacs_twice() {
	cp "$IN/text" x
	emacs -Q --batch --eval "$emacs_backup" x --eval '(insert "one\n")' -f save-buffer --eval '(insert "two\n")' -f save-buffer 2>/dev/null
}

compat emacs_backup any works '`emacs`, a sealed file, with backup files' 'it renames the old one to `x~`, and writes a new one'
before_emacs_backup() { cp "$IN/text" x; }
case_emacs_backup() { emacs -Q --batch --eval "$emacs_backup" x --eval '(insert "one\n")' -f save-buffer 2>/dev/null; }

compat emacs_sealed any EPERM '`emacs`, a sealed file, without backup files' 'it truncates'
before_emacs_sealed() { cp "$IN/text" x; }
case_emacs_sealed() { emacs -Q --batch x --eval '(setq make-backup-files nil)' --eval '(insert "one\n")' -f save-buffer; }

compat ed any works '`ed`, a new file'
case_ed() { printf 'a\none\ntwo\n.\nw x\nq\n' | ed -s; }

compat ed_sealed any EPERM '`ed`, a sealed file' 'it truncates'
before_ed_sealed() { cp "$IN/text" x; }
case_ed_sealed() { printf '1d\nw\nQ\n' | ed -s x; }

compat busybox_vi any works 'busybox `vi`, a new file'
case_busybox_vi() { expect "$HERE/compat/vi.exp" x 'some words' >/dev/null; }

compat sed_i grace works '`sed -i`, `sed -i.orig`, within `grace`' 'it renames over the original'
case_sed_i() { cp "$IN/text" x; sed -i s/line/LINE/ x; sed -i.orig 1d x; busybox sed -i 1d x; }

compat sed_i_sealed any EPERM/works '`sed -i` of a sealed file' 'it renames over the original'
leaves sed_i_sealed 'sed*'
before_sed_i_sealed() { cp "$IN/text" x; }
case_sed_i_sealed() { sed -i s/line/LINE/ x; }

compat sed_i_backup any works '`sed -i.orig` of a sealed file' 'it renames the original, then the new file'
before_sed_i_backup() { cp "$IN/text" x; }
case_sed_i_backup() { sed -i.orig s/line/LINE/ x; }

compat busybox_sed_sealed any EPERM/works 'busybox `sed -i` of a sealed file' 'it renames over the original'
leaves busybox_sed_sealed 'x?*'
before_busybox_sed_sealed() { cp "$IN/text" x; }
case_busybox_sed_sealed() { busybox sed -i s/line/LINE/ x; }

compat perl_i grace works '`perl -i`, within `grace`'
case_perl_i() { cp "$IN/text" x; perl -pi -e 's/line/LINE/' x; perl -pi.orig -e 's/LINE/Line/' x; }

compat perl_i_sealed any EPERM/works '`perl -i` of a sealed file' 'it renames over the original'
leaves perl_i_sealed 'XX*'
before_perl_i_sealed() { cp "$IN/text" x; }
case_perl_i_sealed() { perl -pi -e 's/line/LINE/' x; }

compat patch grace works '`patch`, within `grace`'
case_patch() { cp "$IN/text" x; make_patch >"$T/p"; patch -s x "$T/p"; }

compat patch_new any works '`patch`, a new file' '`patch -o`, and files that the patch adds'
case_patch_new() { make_patch >"$T/p"; patch -s -o x "$IN/text" "$T/p"; }

compat patch_sealed any EPERM/works '`patch` of a sealed file' 'it renames over it'
leaves patch_sealed 'x.*'
before_patch_sealed() { cp "$IN/text" x; }
case_patch_sealed() { make_patch >"$T/p"; traced patch -s x "$T/p"; }

make_patch() {
	sed 's/line 5 /LINE 5 /' "$IN/text" >"$T/new"
	diff -u --label x --label x "$IN/text" "$T/new" || [ $? -eq 1 ]
}
