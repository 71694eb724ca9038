#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The shell scripts have no findings, the Python programs compile, and both can be executed.
. "$(dirname "$0")/lib.sh"
need shellcheck shellcheck
need python3 python3

# Scripts by their first line, and what they source by its directive, each alone: followed into each script (-x),
# what is sourced takes most of the time, and none of its findings are shown. (SC1091, SC2034 and SC2153 are
# about the other half; the cases of compat are commands in quotes.)
mapfile -t files < <(sources | while IFS= read -r file; do
	read -r first <"$file" 2>/dev/null || :
	case $first in
	'#!'*/sh | '#!'*/bash | '#!'*'env bash') printf '%s\n' "$file" ;;
	esac
done 2>/dev/null)
report "there are scripts to look at" "$([ "${#files[@]}" -gt 5 ] || echo "${#files[@]} files")"
report "shellcheck finds nothing" "$(shellcheck -e SC1091,SC2153 -f gcc "${files[@]}" 2>&1)"
mapfile -t files < <(sources .sh | xargs -d '\n' grep -lx '# shellcheck shell=bash' -- | grep -v '^tests/mount/compat/')
report "nor in what they source" "$(shellcheck -e SC1091,SC2034 -f gcc "${files[@]}" 2>&1)"

problems=$(sources | while IFS= read -r file; do
	read -r first <"$file" 2>/dev/null || :
	if [[ $file == *.py || $first == '#!'*python3 ]]; then
		python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" 2>&1
	fi
done 2>/dev/null)
report "Python programs compile" "$problems"

problems=$(sources | while IFS= read -r file; do
	read -r first <"$file" 2>/dev/null || :
	[[ $first != '#!'* || -x $file ]] || echo "$file: begins with #!, and is not executable"
done 2>/dev/null)
report "what begins with #! can be executed" "$problems"
finish
