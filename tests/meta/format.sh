#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The sources are as clang-format would leave them, and the shell scripts have no findings.
. "$(dirname "$0")/lib.sh"
need clang-format clang-format
need shellcheck shellcheck

report "the tree's .clang-format is there" "$([ -s .clang-format ] || echo missing)"
mapfile -t files < <(sources .c .h)
report "there are C files to look at" "$([ "${#files[@]}" -gt 50 ] || echo "${#files[@]} files")"
for layer in lib fs mount tests; do
	mapfile -t files < <(sources .c .h | grep "^$layer/")
	report "$layer is formatted" "$(clang-format --dry-run -Werror "${files[@]}" 2>&1 | grep error:)"
done

# Scripts by their first line; and what they source, by its directive.
mapfile -t files < <(sources | while IFS= read -r file; do
	read -r first <"$file" 2>/dev/null || :
	case $first in
	'#!'*/sh | '#!'*/bash | '#!'*'env bash') printf '%s\n' "$file" ;;
	esac
done 2>/dev/null)
report "there are scripts to look at" "$([ "${#files[@]}" -gt 5 ] || echo "${#files[@]} files")"
report "shellcheck finds nothing" "$(shellcheck -x -P SCRIPTDIR -f gcc "${files[@]}" 2>&1)"
finish
