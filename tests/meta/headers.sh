#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The form of the files: licence lines, include guards, lengths of files and functions. The figures
# are printed; the limits are a median of 15 lines, a 90th percentile of 55, and files under 500.
. "$(dirname "$0")/lib.sh"

# LICENSE is the licence; data, corpora and measurements are what they are.
problems=$(sources | grep -vE '^(LICENSE|tests/(fuzz|unit)/(corpus|data)/.*|tests/bench/results/.*)$' | while IFS= read -r file; do
	head -n 5 "$file" | grep -aq 'SPDX-License-Identifier: BSD-2-Clause' || echo "$file"
done)
report "every file has its licence line at the top" "$problems"

problems=$(sources .h | while IFS= read -r file; do
	guard=NOTEPACKFS_$(tr 'a-z/.' 'A-Z__' <<<"$file")
	short=NOTEPACKFS_TESTS_${guard#NOTEPACKFS_TESTS_*_}
	grep -qE "^#ifndef ($guard|$short)\$" "$file" || echo "$file: no guard $guard"
done)
report "every header has a guard that is named for its path" "$problems"

problems=$(sources .c | while IFS= read -r file; do
	lines=$(wc -l <"$file")
	listed=$(awk -v file="$file" '$1 == file && NF > 1' tests/meta/long_files | wc -l)
	if [ "$lines" -ge 500 ] && [ "$listed" -eq 0 ]; then
		echo "$file has $lines lines; split it, or give the reason in tests/meta/long_files"
	elif [ "$lines" -lt 500 ] && [ "$listed" -gt 0 ]; then
		echo "$file has $lines lines; its entry in tests/meta/long_files can go"
	fi
done)
report "every source has fewer than 500 lines, or a reason" "$problems"

# A function's braces stand alone at the left edge; no other construct's do.
lengths=$(sources .c .h | grep -E '^(lib|fs|mount)/' | xargs awk '
	/^\{$/ { start = FNR }
	/^\}$/ && start { print FNR - start - 1, FILENAME ":" start; start = 0 }' | sort -n)
count=$(wc -l <<<"$lengths")
at() {
	awk -v n=$((count * $1 / 100)) 'NR == n + 1 { print $1; found = 1 } END { if (!found) print $1 }' <<<"$lengths"
}
median=$(at 50)
p90=$(at 90)
echo "# $count functions in lib, fs and mount: median $median lines, 90 % up to $p90, longest $(tail -n 1 <<<"$lengths")"
report "functions were found" "$([ "$count" -gt 300 ] || echo "$count")"
report "functions have 15 lines in the median, or fewer" "$([ "$median" -le 15 ] || echo "$median")"
report "nine in ten functions have 55 lines or fewer" "$([ "$p90" -le 55 ] || tail -n 40 <<<"$lengths")"
finish
