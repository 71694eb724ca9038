#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The sources are as clang-format would leave them.
. "$(dirname "$0")/lib.sh"
need clang-format clang-format

report "the tree's .clang-format is there" "$([ -s .clang-format ] || echo missing)"
mapfile -t files < <(sources .c .h)
report "there are C files to look at" "$([ "${#files[@]}" -gt 50 ] || echo "${#files[@]} files")"
for layer in lib fs mount tests; do
	mapfile -t files < <(sources .c .h | grep "^$layer/")
	report "$layer is formatted" "$(clang-format --dry-run -Werror "${files[@]}" 2>&1 | grep error:)"
done
finish
