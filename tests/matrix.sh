#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# matrix.sh [--all] [--jobs N] [LEG…]: the gate. Builds and tests the tree in several ways, each a
# leg that can be run alone; without legs those for every push, with --all every leg in full.
#
#	gcc		all tests
#	clang		-Wthread-safety among its warnings; mount tests; with --all unit and fuzz tests
#	O0, O3-NDEBUG	other optimisations, without assertions, with zlib as the only codec (O3); unit and (O3) fuzz tests, and the basic mount test
#	asan		AddressSanitizer and UBSan: unit and mount tests, with --all crash and fuzz tests (leg fuzz has
#			both, too, and begins with the same inputs)
#	tsan		ThreadSanitizer: unit and mount tests that have threads; with --all all, and fuzz tests
#	libfuse		built with the libfuse of Debian 13 (contrib/newer-libfuse); mount tests of what depends on
#			it; skipped where its source cannot be had
#	fuzz		the targets of tests/fuzz under libFuzzer, 60 s each
#	valgrind	those unit tests that open no path
#	cppcheck, clang-tidy	findings are errors
#	mutations	the product is broken in many ways, and the tests notice (tests/crash/mutate.py);
#			without --all six at most of those of files that differ from MUTATIONS_BASE
#	format, shellcheck, symbols, floors, headers	the tests of tests/meta, alone
#
# Warnings are errors in every build. Build directories are BUILD_PREFIX-LEG (build-LEG in the tree);
# they are kept, so that the next run builds only what has changed. Legs run two at a time, or --jobs N,
# since tests often wait; fuzz, which takes its time by the clock, runs beside them. The last line is
# "N passed, N failed, N skipped", over all legs; the exit status is 1 if anything failed.
#
# MUTATIONS_BASE is a commit: origin/main if that is another than HEAD, else the one before HEAD.
#
# TEST_ARGS are arguments of `meson test` for the leg gcc, quoted for the shell.
set -u

root=$(realpath "$(dirname "$0")/..")
prefix=${BUILD_PREFIX:-$root/build}
push_legs="gcc asan tsan mutations valgrind clang libfuse fuzz cppcheck" # long tests in one process not last
all_legs="gcc asan tsan clang libfuse O0 O3-NDEBUG fuzz valgrind cppcheck clang-tidy mutations shellcheck format symbols floors headers"
all=
jobs=2

# What runs under a sanitizer, or clang, for a push; with --all the whole suites do. The other mount
# tests take long there, or look at what a sanitizer has no part in; the other unit tests have one
# thread, in which ThreadSanitizer finds nothing; of the three of early compression, whose bytes cost
# minutes, each sanitizer has one.
asan_mount="append basic names posix recovery rotate"
asan_left_out="early_compare early_ends"
tsan_mount="append basic damage fsync_parts gates recovery writers"
clang_mount="basic"
libfuse_mount="basic passthrough passthrough_append rotate"
tsan_unit="answers check chunks early_compare imports listing manifest_commit moments order order_doubt
	order_intents order_names order_orphan order_prover order_publish order_recovery order_remnant
	order_start pass pass_who passthrough pool repair rotate schedule sealer sealer_ahead space states store"

usage() {
	echo "usage: matrix.sh [--all] [--jobs N] [LEG…]; legs: $all_legs" >&2
	exit 2
}

legs=()
while [ $# -gt 0 ]; do
	case $1 in
	--all) all=1 ;;
	--jobs)
		[ $# -ge 2 ] || usage
		jobs=$2
		shift
		;;
	-*) usage ;;
	*)
		[[ " $all_legs " == *" $1 "* ]] || usage
		legs+=("$1")
		;;
	esac
	shift
done
if [ ${#legs[@]} -eq 0 ]; then
	[ -z "$all" ] || push_legs=$all_legs
	read -ra legs <<<"$push_legs"
fi

results=$(mktemp -d "${TMPDIR:-/tmp}/notepackfs-matrix.XXXXXX")
pids=()
cleanup() {
	local status=$?
	trap - EXIT INT TERM
	if [ ${#pids[@]} -gt 0 ]; then
		kill "${pids[@]}" 2>/dev/null
		wait
	fi
	rm -rf "$results"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---- what a leg does; its standard output is shown when it has ended ----

# build LEG CC MESON-OPTION…: configure and compile, with warnings as errors; for a push only those programs
# and libraries whose paths in the build directory match the whole of `only`, if it is set.
build() {
	local leg=$1 cc=$2 dir=$prefix-$1
	local -a targets=()
	shift 2
	if [ ! -e "$dir/build.ninja" ]; then
		rm -rf "$dir"
		CC=$cc meson setup "$dir" "$root" --werror "$@" || return 1
	fi
	if [ -n "${only-}" ] && [ -z "$all" ]; then
		ninja -C "$dir" build.ninja || return # a list of the tree as it is now
		mapfile -t targets < <(ninja -C "$dir" -t targets all | sed -nE "s,^($only): .*LINKER.*,\\1,p")
		[ ${#targets[@]} -gt 0 ] || return 1
	fi
	ninja -C "$dir" "${targets[@]}"
}

# count LEG DIR: the totals of the leg's runs of meson test in DIR, and what was not a success.
count() {
	local out
	# With --wrap, the program is part of the name.
	out=$(python3 "$root/tests/count.py" "$2/meson-logs/testlog-$1"[.-]*json) || out="0 1 0
failed: no results"
	head -n 1 <<<"$out" >"$results/$1.totals"
	tail -n +2 <<<"$out" | sed "s/^/$1: /" >"$results/$1.notes"
}

# run_tests LEG ARGUMENT…: meson test in the leg's build directory, or in that of leg BUILT.
run_tests() {
	local leg=$1 dir=$prefix-${BUILT-$1} status=0
	shift
	rm -f "$dir/meson-logs/testlog-$leg"*
	meson test -C "$dir" --no-rebuild --print-errorlogs --logbase "testlog-$leg" "$@" || status=$?
	count "$leg" "$dir"
	return "$status"
}

# A leg that is no run of meson test passes or fails as one.
single() {
	local leg=$1
	shift
	if "$@"; then
		echo "1 0 0" >"$results/$leg.totals"
	else
		echo "0 1 0" >"$results/$leg.totals"
		echo "$leg: failed" >"$results/$leg.notes"
		return 1
	fi
}

# skip LEG REASON: counted, and shown at the end.
skip() {
	echo "0 0 1" >"$results/$1.totals"
	echo "$1: skipped: $2" >"$results/$1.notes"
}

# some_tests LEG [SUITE | SUITE=NAME…]…: the tests of these suites; of some, for a push, those named.
some_tests() {
	local leg=$1 status=0 part suite
	local -a whole=() names
	shift
	rm -f "$prefix-$leg/meson-logs/testlog-$leg"*
	for part in "$@"; do
		suite=${part%%=*}
		if [ -n "$all" ] || [ "$suite" = "$part" ]; then
			whole+=(--suite "$suite")
			continue
		fi
		# A name alone would be that of a test of another suite, too.
		read -ra names <<<"$(tr '\n' ' ' <<<"${part#*=}")"
		meson test -C "$prefix-$leg" --no-rebuild --print-errorlogs --logbase "testlog-$leg-$suite" \
			--suite "$suite" "${names[@]}" || status=$?
	done
	[ ${#whole[@]} -eq 0 ] ||
		meson test -C "$prefix-$leg" --no-rebuild --print-errorlogs --logbase "testlog-$leg" "${whole[@]}" ||
		status=$?
	count "$leg" "$prefix-$leg"
	return "$status"
}

# Valgrind runs it, too, and names lines, as sanitizers do: -g1 is enough for that, and -g a fifth of the build.
build_gcc() {
	(flock 9 && build gcc gcc -Dc_args=-g1) 9>"$results/gcc.lock"
}

leg_gcc() {
	local -a only
	eval "only=(${TEST_ARGS-})"
	build_gcc && run_tests gcc --num-processes 3 "${only[@]}"
}

# Not optimised, and no debug information: a third less to compile where how fast it runs is no matter. (-O0 by
# itself would have a warning: _FORTIFY_SOURCE goes with another buildtype.)
plain=(--buildtype=debug -Ddebug=false)

# UNIT_QUICK: the tests that take long have had their turn in full, for a push, with gcc.
leg_clang() {
	local only=$mount_programs
	build clang clang "${plain[@]}" && some_tests clang ${all:+unit fuzz} mount="$clang_mount"
}

# What runs must have been linked with what was built.
has_own_libfuse() {
	"$prefix-libfuse/mount/notepackfs" --version |
		grep -qF "libfuse $(PKG_CONFIG_PATH=$1 pkg-config --modversion fuse3),"
}

# What mount tests run.
mount_programs='(tests/)?mount/[^/]*|tests/bench/corpus'

leg_libfuse() {
	local own=$prefix-newer-libfuse out status=0 only=$mount_programs
	out=$("$root/contrib/newer-libfuse" "$own") || status=$?
	printf '%s\n' "$out"
	if [ "$status" -eq 77 ]; then
		skip libfuse "$out"
		return 0
	fi
	[ "$status" -eq 0 ] &&
		PKG_CONFIG_PATH=$own/prefix/lib/pkgconfig build libfuse gcc "${plain[@]}" &&
		has_own_libfuse "$own/prefix/lib/pkgconfig" &&
		some_tests libfuse mount="$libfuse_mount"
}

leg_O0() {
	build O0 gcc --buildtype=debug && run_tests O0 --suite unit --suite mount basic
}

leg_O3-NDEBUG() {
	build O3-NDEBUG gcc -Doptimization=3 -Db_ndebug=true -Dlibdeflate=disabled -Disal=disabled &&
		some_tests O3-NDEBUG unit fuzz
}

# -O1: -O2 takes half as long again to compile what then runs no faster. gcc's own manual says that the
# sanitizers mislead this warning: "null destination pointer"; and at -O1 the other one.
instrumented=(-Doptimization=1 '-Dc_args=-g1 -Wno-format-truncation -Wno-maybe-uninitialized')

leg_asan() {
	local only="$mount_programs|tests/unit/[^/]*" names
	names=$(cd "$root/tests/unit" && printf '%s\n' test_*.c | sed 's/^test_//; s/\.c$//' |
		grep -vxF "${asan_left_out// /$'\n'}")
	build asan gcc "${instrumented[@]}" -Db_sanitize=address,undefined || return
	UNIT_QUICK=1 some_tests asan unit="$names" mount="$asan_mount" ${all:+fuzz crash}
}

leg_tsan() {
	local -a names
	read -ra names <<<"$(tr '\n' ' ' <<<"$tsan_unit")"
	local IFS='|'
	local only="$mount_programs|tests/unit/test_(${names[*]})"
	unset IFS
	build tsan gcc "${instrumented[@]}" -Db_sanitize=thread || return
	UNIT_QUICK=1 some_tests tsan unit="$tsan_unit" mount="$tsan_mount" ${all:+fuzz}
}

# Valgrind 3.19 does not know openat2(2), with which lib/io.c opens every path. What opens none can
# be run; for a push what is quick, too.
leg_valgrind() {
	local tests="buf frames inflater name record record_refuse seekgz_forged"
	[ -z "$all" ] || tests+=" codec gzfile_verify options pool seekgz seekgz_damage verifier"
	build_gcc || return
	# shellcheck disable=SC2086
	BUILT=gcc UNIT_QUICK=1 run_tests valgrind --suite unit -t 10 $tests --wrap \
		'valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite'
}

# Of the system's headers only those whose macros the code is made of.
leg_cppcheck() {
	mkdir "$results/include"
	cp /usr/include/uthash.h /usr/include/utlist.h "$results/include" || return
	cd "$root" && single cppcheck cppcheck -q -j 2 --std=c11 --language=c -I . -I "$results/include" \
		--inline-suppr --enable=warning,performance,portability --error-exitcode=1 \
		--suppressions-list=tests/cppcheck.supp -D_GNU_SOURCE -DNOTEPACKFS_VERSION='""' lib fs mount
}

leg_clang-tidy() {
	build clang clang "${plain[@]}" && cd "$root" && single clang-tidy tidy
}

# Excluded: opinions on names and parameters; what the code does on purpose (memcpy, snprintf and
# friends without Annex K; assignments in conditions as in the kernel); and two that are wrong, since
# clang 14 knows neither the cleanup attribute nor va_start in a function of several (ASan looks for
# leaks).
tidy() {
	local checks='-*,bugprone-*,clang-analyzer-*,concurrency-*'
	checks+=',-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier'
	checks+=',-bugprone-assignment-in-if-condition,-bugprone-narrowing-conversions'
	checks+=',-bugprone-implicit-widening-of-multiplication-result,-bugprone-branch-clone'
	checks+=',-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling'
	checks+=',-clang-analyzer-security.insecureAPI.strcpy,-bugprone-sizeof-expression'
	checks+=',-clang-analyzer-unix.Malloc,-clang-analyzer-valist.Uninitialized,-concurrency-mt-unsafe'
	printf '%s\0' lib/*.c fs/*.c mount/*.c |
		xargs -0 -n 4 -P 2 clang-tidy -quiet -p "$prefix-clang" -checks="$checks" -warnings-as-errors='*'
}

mutations_base() {
	local base=${MUTATIONS_BASE-}

	[ -n "$base" ] || base=$(git -C "$root" rev-parse -q --verify origin/main)
	if [ -z "$base" ] || [ "$(git -C "$root" rev-parse "$base")" = "$(git -C "$root" rev-parse HEAD)" ]; then
		base=HEAD~1
	fi
	git -C "$root" rev-parse -q --verify "$base^{commit}"
}

# What is left out is counted as skipped.
leg_mutations() {
	local out base status=0 left
	local -a which=()
	if [ -z "$all" ]; then
		base=$(mutations_base) || {
			skip mutations "no commit to compare with; MUTATIONS_BASE names one"
			return 0
		}
		which=(--changed "$base" --most 6)
	fi
	out=$(python3 "$root/tests/crash/mutate.py" --work "$prefix-mutations" --jobs 1 "${which[@]}") || status=$?
	printf '%s\n' "$out"
	left=$(sed -nE 's/^# left out: ([0-9]+):.*/\1/p' <<<"$out")
	# Without a changed file there is nothing to test: that is a pass.
	grep -q '^1\.\.0' <<<"$out" && out+=$'\nok 1 - no file with a mutation has changed'
	echo "$(grep -c '^ok' <<<"$out") $(grep -c '^not ok' <<<"$out") ${left:-0}" >"$results/mutations.totals"
	{
		grep '^not ok' <<<"$out"
		[ -z "$left" ] || echo "skipped: $left more of the changed files, for --all"
	} | sed 's/^/mutations: /' >"$results/mutations.notes"
	return "$status"
}

# tap LEG COMMAND…: a command that prints TAP.
tap() {
	local leg=$1 out status=0
	shift
	out=$("$@") || status=$?
	printf '%s\n' "$out"
	echo "$(grep -c '^ok' <<<"$out") $(grep -c '^not ok' <<<"$out") 0" >"$results/$leg.totals"
	grep '^not ok' <<<"$out" | sed "s/^/$leg: /" >"$results/$leg.notes"
	return "$status"
}

# A test of tests/meta alone; only symbols looks at a build.
meta() {
	SOURCE_ROOT=$root BUILD=$prefix-gcc tap "$1" "$root/tests/meta/$1.sh"
}

leg_fuzz() {
	BUILD=$prefix-fuzz tap fuzz "$root/tests/fuzz/run" --jobs 1
}

leg_symbols() {
	build_gcc >/dev/null && meta symbols
}

leg_shellcheck() { meta shellcheck; }
leg_format() { meta format; }
leg_floors() { meta floors; }
leg_headers() { meta headers; }

# ---- all of them ----

run_leg() {
	local leg=$1 start=$SECONDS status=0
	"leg_$leg" >"$results/$leg.out" 2>&1 || status=$?
	if [ ! -e "$results/$leg.totals" ]; then
		echo "0 1 0" >"$results/$leg.totals"
		echo "$leg: did not build" >"$results/$leg.notes"
		status=1
	elif [ "$(cat "$results/$leg.totals")" = "0 0 0" ]; then
		echo "0 1 0" >"$results/$leg.totals"
		echo "$leg: ran no test" >"$results/$leg.notes"
		status=1
	fi
	[ "$status" -eq 0 ] || tail -n 400 "$results/$leg.out" | sed "s/^/$leg| /"
	read -r passed failed skipped <"$results/$leg.totals"
	printf '%-12s %5d passed, %d failed, %d skipped (%d s)\n' "$leg" "$passed" "$failed" \
		"$skipped" $((SECONDS - start))
	return "$status"
}

bad=0
beside=none
if [[ ${#legs[@]} -gt 1 && " ${legs[*]} " == *" fuzz "* ]]; then
	run_leg fuzz &
	beside=$!
	pids+=("$beside")
	mapfile -t legs < <(printf '%s\n' "${legs[@]}" | grep -vx fuzz)
fi
for leg in "${legs[@]}"; do
	while [ "$(jobs -rp | grep -vcx "$beside")" -ge "$jobs" ]; do
		wait -n || bad=1
	done
	run_leg "$leg" &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid" || bad=1
done
pids=()

cat "$results"/*.notes 2>/dev/null
read -r passed failed skipped < <(cat "$results"/*.totals |
	awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }')
[ "$bad" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
