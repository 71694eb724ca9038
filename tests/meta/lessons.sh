#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Each lesson of the failures that systems of this kind have had, L1 to L19, is guarded by a test that
# names it, in its own name or in a comment, and that is registered to run.
: "${SOURCE_ROOT:?the source directory}"
count=0
failed=0

# The registered tests that have the word.
guards() {
	local file name
	grep -rlE "(^|[^A-Za-z0-9])L$1([^0-9]|\$)" "$SOURCE_ROOT"/tests/{unit,mount,crash} \
		--include='test_*.c' --include='*.sh' | while read -r file; do
		name=$(basename "$file")
		name=${name#test_}
		if grep -qF "'${name%.*}'" "$(dirname "$file")/meson.build"; then
			echo "${file#"$SOURCE_ROOT"/}"
		fi
	done
}

for lesson in {1..19}; do
	count=$((count + 1))
	files=$(guards "$lesson" | sort | paste -sd' ')
	if [ -n "$files" ]; then
		echo "# L$lesson: $files"
		echo "ok $count - a test names L$lesson"
	else
		echo "not ok $count - a test names L$lesson"
		failed=1
	fi
done
echo "1..$count"
exit "$failed"
