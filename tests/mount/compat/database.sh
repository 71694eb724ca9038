# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# database.sh: programs that rewrite their files. New, within grace, and sealed.

section "Databases and repositories"

compat sqlite grace works '`sqlite3`, a new database, several transactions within `grace`' 'exclude its name, or keep it elsewhere'
case_sqlite() {
	sqlite3 x.db 'create table t (n); insert into t values (1), (2);'
	sqlite3 x.db 'insert into t values (3); select sum(n) from t;' >out
	sqlite3 x.db 'update t set n = n + 1; delete from t where n = 2; vacuum; pragma integrity_check;' >>out
}

compat sqlite_wal grace works '`sqlite3`, `journal_mode=wal`, within `grace`'
case_sqlite_wal() {
	sqlite3 x.db 'pragma journal_mode=wal; create table t (n); insert into t values (1), (2);' >out
	sqlite3 x.db 'insert into t values (3); select sum(n) from t;' >>out
}

compat sqlite_read any works '`sqlite3`, a sealed database, reading'
before_sqlite_read() { sqlite3 "$T/x.db" 'create table t (n); insert into t values (1), (2);'; mv "$T/x.db" .; }
case_sqlite_read() { sqlite3 x.db 'select sum(n) from t; pragma integrity_check;' >out; }

compat sqlite_sealed any EPERM '`sqlite3`, a sealed database, writing' 'it writes over its pages; the journal that stays keeps it from reading until `notepackctl rm x.db-journal`'
leaves sqlite_sealed 'x.db-journal*'
before_sqlite_sealed() { sqlite3 "$T/x.db" 'create table t (n); insert into t values (1), (2);'; mv "$T/x.db" .; }
case_sqlite_sealed() { traced sqlite3 x.db 'insert into t values (3);'; }

compat h5py grace works '`h5py`, a new file, and again within `grace`'
case_h5py() {
	python3 - <<-'END'
		import h5py
		with h5py.File("x.h5", "w") as f:
		    f.create_dataset("d", data=range(1000), track_times=False)
		with h5py.File("x.h5", "a") as f:
		    f.create_dataset("e", data=range(1000), track_times=False)
	END
}

compat h5py_read any works '`h5py`, a sealed file, reading'
before_h5py_read() { python3 -c 'import h5py; h5py.File("x.h5", "w").create_dataset("d", data=range(1000), track_times=False)'; }
case_h5py_read() { python3 -c 'import h5py; print(sum(h5py.File("x.h5", "r")["d"]))' >out; }

compat h5py_sealed any EPERM '`h5py`, a sealed file, writing' 'it writes over its header'
before_h5py_sealed() { python3 -c 'import h5py; h5py.File("x.h5", "w").create_dataset("d", data=range(1000), track_times=False)'; }
case_h5py_sealed() { traced python3 -c 'import h5py; h5py.File("x.h5", "a").create_dataset("e", data=range(1000), track_times=False)'; }

# git, with names and times of its own.
git_() {
	GIT_AUTHOR_DATE='2001-02-03 04:05:06 +0000' GIT_COMMITTER_DATE='2001-02-03 04:05:06 +0000' \
		git -c user.name=A -c user.email=a@example.org -c init.defaultBranch=main -c gc.auto=0 "$@"
}

make_repository() {
	git_ init -q "$1"
	cp "$IN/text" "$1/file"
	git_ -C "$1" add file
	git_ -C "$1" commit -q -m one
}

compat git grace works '`git init`, `add`, `commit`, `fsck`, within `grace`' '`.git` is excluded, and never sealed'
volatile git '*'
case_git() {
	make_repository r
	cp "$IN/other" r/other
	git_ -C r add other
	git_ -C r commit -q -m two
	git_ -C r status --porcelain
	git_ -C r fsck --strict
}

compat git_clone any works '`git clone`, `pull` of new files'
volatile git_clone '*'
case_git_clone() {
	make_repository "$T/r"
	git_ clone -q "$T/r" c
	barrier
	cp "$IN/other" "$T/r/new"
	git_ -C "$T/r" add new
	git_ -C "$T/r" commit -q -m two
	git_ -C c pull -q
}

compat git_checkout any EPERM/works '`git checkout` that changes a sealed file' 'it removes, then writes'
leaves git_checkout .git
volatile git_checkout '*'
before_git_checkout() {
	make_repository "$T/r"
	git_ -C "$T/r" checkout -q -b side
	cp "$IN/other" "$T/r/file"
	git_ -C "$T/r" commit -q -am two
	cp -a "$T/r" .
}
case_git_checkout() { git_ -C r checkout main; }

compat git_commit any works '`git commit -a` where new bytes were appended to a sealed file' 'git goes by its index'
volatile git_commit '*'
before_git_commit() { make_repository "$T/r"; cp -a "$T/r" .; }
case_git_commit() {
	echo more >>r/file
	git_ -C r commit -q -am two
	git_ -C r show HEAD:file | cmp - r/file
}

compat git_add any blind '`git add` of a sealed file' 'it goes by the list of the directory: `git add` within `grace`'
leaves git_add .git
volatile git_add '*'
before_git_add() { git_ init -q "$T/r"; cp "$IN/text" "$T/r/file"; cp -a "$T/r" .; }
case_git_add() {
	git_ -C r add file
	git_ -C r commit -q -m one
}

compat git_bare grace works '`git clone --bare`, `push`, within `grace`'
volatile git_bare '*'
case_git_bare() {
	make_repository "$T/r"
	git_ clone -q --bare "$T/r" b
	cp "$IN/other" "$T/r/new"
	git_ -C "$T/r" add new
	git_ -C "$T/r" commit -q -m two
	git_ -C "$T/r" push -q "$PWD/b" main
}

compat git_bare_sealed any blind '`git push` to a sealed bare repository' 'it takes the objects in the list of the directory for references: use a name that is excluded'
leaves git_bare_sealed 'tmp_objdir*'
before_git_bare_sealed() {
	make_repository "$T/r"
	git_ clone -q --bare "$T/r" "$T/b"
	git_ -C "$T/r" commit -q --allow-empty -m two
	git_ -C "$T/r" push -q "$T/b" main
	git_ -C "$T/b" remote remove origin
	cp -r "$T/b" .
}
case_git_bare_sealed() {
	git_ -C "$T/r" commit -q --allow-empty -m three
	traced git -C "$T/r" push "$PWD/b" main
}

