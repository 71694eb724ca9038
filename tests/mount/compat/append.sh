# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# append.sh: writers of lines. Each line must be there once, and in order. See ../compat.sh for the words.

section "Appending, and loggers in programs"

compat bash_append any works '`>>` in a loop' 'each may begin a part'
case_bash_append() {
	local i
	for i in {1..50}; do echo "line $i" >>x; done
}

compat append_sealed any works '`>>` onto a sealed file' 'the next part'
before_append_sealed() { cp "$IN/text" x; }
case_append_sealed() {
	echo "one more" >>x
	barrier
	echo "and one" >>x
	[ "$(tail -n 1 x)" = "and one" ]
}

compat append_held any works 'a shell that holds the file open, over cuts'
case_append_held() {
	local i
	exec 8>>x
	for i in {1..6}; do
		echo "line $i" >&8
		[ $((i % 2)) -eq 0 ] || seal x
	done
	exec 8>&-
}

compat tee_a any works '`tee -a`, three times'
case_tee_a() {
	local i
	for i in 1 2 3; do echo "line $i" | tee -a x y >/dev/null; done
}

compat write_held any works '`>` held open, not for appending, over cuts' 'it goes on at its own offset'
case_write_held() {
	local i
	exec 8>x
	for i in {1..6}; do
		echo "line $i" >&8
		[ $((i % 3)) -eq 0 ] || seal x
	done
	exec 8>&-
}

compat flock any works 'three appenders under `flock`' 'locks belong to the file'
case_flock() {
	local i
	for i in 1 2 3; do
		for _ in {1..10}; do
			flock lock.tmp sh -c 'n=$(tail -n 1 x 2>/dev/null || :); echo $((n + 1)) >>x'
		done &
	done
	wait
}

compat flock_own any works '`flock` on the file that is appended to'
case_flock_own() {
	local i
	: >x
	for i in 1 2 3; do
		for _ in {1..10}; do
			flock x sh -c 'n=$(tail -n 1 x); echo $((n + 1)) >>x'
		done &
	done
	wait
}

compat appenders any works 'four processes that append to one file' 'no line is torn, each is there once'
case_appenders() {
	local i
	for i in 1 2 3 4; do seq -f "writer $i line %g" 1 200 | while read -r line; do echo "$line" >>x; done & done
	wait
	sort x >"$T/sorted"
	cp "$T/sorted" sorted
}
volatile appenders x

compat python_fsync any works 'Python: `write`, `flush`, `os.fsync`, for each line' 'nothing is lost, no error'
case_python_fsync() {
	python3 - <<-'END'
		import os
		with open("x", "w") as f:
		    for i in range(100):
		        print("line", i, file=f, flush=True)
		        os.fsync(f.fileno())
	END
}

compat python_append any works "Python: \`open(…, 'a')\` for each line"
case_python_append() {
	python3 - <<-'END'
		for i in range(100):
		    with open("x", "a") as f:
		        print("line", i, file=f)
	END
}

compat perl_append any works 'Perl, awk: `>>`, with autoflush'
case_perl_append() {
	# shellcheck disable=SC2016
	perl -e 'use IO::Handle; for (1..3) { open(F, ">>", "x"); F->autoflush(1); print F "line $_.$j\n" while $j++ < 20 * $_; close F; }'
	awk 'BEGIN { for (i = 0; i < 20; i++) { print "line " i >> "y"; close("y") } }'
}

compat fsync_rewrite cuts EPERM/EPERM/works 'a program that rewrites what it has fsynced' '`fsync` leads to sealing; with `fsync=sync` only the last close does'
case_fsync_rewrite() { python3 "$HERE/compat/rewrite.py" x "$(until_cut)"; }
refused_fsync_rewrite() { yes 'first line' 2>/dev/null | head -n 100 >x || :; }

# The modes in which an fsync leads to a cut; rewrite.py waits for it.
until_cut() {
	case $MODE in default | allow_delete) echo cut ;; *) echo not ;; esac
}

# LOGGER HANDLER-ARGUMENTS LINES: a Python logger on x.log.
python_log() {
	python3 - "$@" <<-'END'
		import logging, logging.handlers, sys
		handler = eval("logging.handlers." + sys.argv[1], {"logging": logging})
		logging.basicConfig(format="%(message)s", handlers=[handler])
		for i in range(int(sys.argv[2])):
		    logging.warning("line %d %s", i, "." * 80)
		    if len(sys.argv) > 3 and i % 5 == 4:
		        handler.doRollover()
	END
}

compat python_file any works 'Python: `FileHandler`'
case_python_file() { python_log 'logging.FileHandler("x.log")' 50; python_log 'logging.FileHandler("x.log")' 50; }

compat python_rotating grace works 'Python: `RotatingFileHandler`, within `grace`'
case_python_rotating() { python_log 'RotatingFileHandler("x.log", maxBytes=1000, backupCount=3)' 60; }

compat python_rotating_room any works 'Python: `RotatingFileHandler`, until it removes the oldest' 'it closes and renames; that works in every state'
case_python_rotating_room() { python_log 'RotatingFileHandler("x.log", maxBytes=1000, backupCount=30)' 60; }

compat python_rotating_full any loses/works/loses 'Python: `RotatingFileHandler`, when it removes the oldest' 'the removal is refused, and each line that follows is lost: mount with `allow_delete=*.log.[0-9]`'
before_python_rotating_full() { for i in .3 .2 .1 ''; do seq -f "old$i line %g" 1 100 >"x.log$i"; done; }
case_python_rotating_full() { python_log 'RotatingFileHandler("x.log", maxBytes=1000, backupCount=3)' 60; }

compat python_timed any works 'Python: `TimedRotatingFileHandler` that keeps all'
case_python_timed() {
	python_timed 0
}

compat python_timed_full any loses/works/loses 'Python: `TimedRotatingFileHandler`, when it removes the oldest' 'as above: `allow_delete=*.log.20*`'
refused_python_timed_full() { mv x.log x.log.2002-01-01; }
before_python_timed_full() { seq 1 9 >x.log; touch -d '2001-01-01' x.log; for i in 01 02 03; do seq 1 9 >"x.log.2000-01-$i"; done; }
case_python_timed_full() { python_timed 2; }

# python_timed BACKUPS: a rollover after every fifth line, to names that the clock does not give.
python_timed() {
	python3 - "$1" <<-'END'
		import logging, logging.handlers, sys
		handler = logging.handlers.TimedRotatingFileHandler("x.log", when="D", backupCount=int(sys.argv[1]))
		names = ("x.log.2002-01-%02d" % day for day in range(1, 29))
		handler.rotation_filename = lambda name: next(names)
		logging.basicConfig(format="%(message)s", handlers=[handler])
		for i in range(20):
		    if i % 5 == 4:
		        handler.rolloverAt = 0
		    logging.warning("line %d", i)
	END
}

compat python_watched any works 'Python: `WatchedFileHandler`, with a rename under it'
case_python_watched() {
	python3 - <<-'END'
		import logging, logging.handlers, os
		logging.basicConfig(format="%(message)s", handlers=[logging.handlers.WatchedFileHandler("x.log")])
		for i in range(30):
		    if i % 10 == 5:
		        os.rename("x.log", "x.log.%d" % i)
		    logging.warning("line %d", i)
	END
}

compat python_replace any works 'Python: write a temporary file, `os.replace`, to a new name'
case_python_replace() {
	python3 - <<-'END'
		import os, tempfile
		f = tempfile.NamedTemporaryFile("w", dir=".", delete=False)
		f.write("one\n" * 1000)
		f.close()
		os.chmod(f.name, 0o644)
		os.replace(f.name, "x")
	END
}
