#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# README.md, the manual pages, --help and the code name the same options, defaults and commands.
. "$(dirname "$0")/lib.sh"
need mandoc mandoc
: "${BUILD:?the build directory}"

# The table of options: {"level", REQUIRED, …},
options=$(grep -hoE '^[[:space:]]*\{"[a-z_]+", (REQUIRED|OPTIONAL|NONE),' mount/*.c | cut -d'"' -f2 | grep -vx rw)
report "the table of options was found" "$([ "$(wc -w <<<"$options")" -ge 13 ] || echo "$options")"
help=$("$BUILD/mount/notepackfs" --help)

for option in $options; do
	problems=$(
		grep -qE "^  $option(\[|=| |\$)" <<<"$help" || echo "notepackfs --help lacks $option"
		grep -qE "^\| \`$option(\`|=|\[)" README.md || echo "README.md lacks $option"
		grep -qE "^\.It Cm $option( |\$)" mount/notepackfs.8 || echo "notepackfs(8) lacks $option"
		grep -qE "(^|[^a-z_])$option([^a-z_]|\$)" contrib/completions/notepackfs || echo "the completion lacks $option"
	)
	report "the option $option is in every text" "$problems"
done

# Only what --help has may be in the README, with the default that --help gives in parentheses.
# shellcheck disable=SC2016
problems=$(
	sed -n '/^## Options/,/^## /s/^| `\([a-z_]*\)[^|]*\(\\|[^|]*\)\{0,1\}| `\{0,1\}\([^|`]*\)`\{0,1\} |.*/\1 \3/p' README.md |
		while read -r option default; do
			grep -qE "^  $option(\[|=| |\$)" <<<"$help" || echo "README.md has an option $option"
			[[ $default == "number of CPUs" || $default == off ]] && continue
			grep -A 1 -E "^  $option(=|\[)" <<<"$help" | grep -qF "($default)" ||
				echo "README.md says $option is $default; --help differs"
		done
)
report "README.md has the options and defaults of --help" "$problems"
count=$(sed -n '/^## Options/,/^## /p' README.md | grep -c '^| `')
report "README.md has a row for each option" \
	"$([ "$count" -eq "$(wc -w <<<"$options")" ] || echo "$count rows")"

commands=$(sed -n 's/^[[:space:]]*{"\([a-z]*\)", .*/\1/p' mount/ctl.c)
report "the table of commands was found" "$([ "$(wc -w <<<"$commands")" -ge 9 ] || echo "$commands")"
for command in $commands; do
	usage=$("$BUILD/mount/notepackctl" "$command" --help | sed -n 's/^usage: //p')
	readme=$(sed -n '/^## Commands/,/^## /p' README.md |
		sed -n "s/^| \`\(notepackctl ${command}[^\`]*\)\` |.*/\1/p")
	readme=${readme//\\|/|}
	problems=$(
		[ "${usage//.../…}" = "$readme" ] || echo "README.md: $readme; --help: $usage"
		grep -qE "^\.Cm $command\$" mount/notepackctl.1 || echo "notepackctl(1) lacks $command"
		grep -oE -- '-[-a-z]+' <<<"${usage#notepackctl "$command"}" | while read -r flag; do
			sed -n "/^\.Cm $command\$/,/^\.Nm/p" mount/notepackctl.1 |
				grep -qE "Fl ${flag#-}( |\$)" || echo "notepackctl(1): $command lacks $flag"
		done
	)
	report "the command $command is the same in every text" "$problems"
done

# What ordinary programs meet is written by the tests that run them.
report "COMPATIBILITY.md is what compat.sh --table prints" \
	"$(tests/mount/compat.sh --table | diff tests/mount/COMPATIBILITY.md - 2>&1)"

# The control files that the mount offers.
files=$(sed -n 's/^[[:space:]]*{"\([a-z0-9]*\)", CONTROL_.*/\1/p' fs/control.c)
for file in $files; do
	problems=$(
		grep -qE "^\| \`$file\` \|" README.md || echo "README.md lacks $file"
		sed -n '/^\.Ss Control files/,$p' mount/notepackfs.5 | grep -qE "^\.It Pa $file( |\$)" ||
			echo "notepackfs(5) lacks $file"
	)
	report "the control file $file is documented" "$problems"
done
report "control files were found" "$([ "$(wc -w <<<"$files")" -ge 4 ] || echo "$files")"

for page in mount/*.[158]; do
	report "$page has no findings" "$(mandoc -T lint -W warning "$page" 2>&1)"
done

# Every file that the texts point to is there.
problems=$(
	grep -hoE '\]\([A-Za-z][^):]*\)' README.md NEWS.md | tr -d ']()' | sort -u | while read -r file; do
		[ -e "$file" ] || echo "README.md points to $file"
	done
	grep -hoE 'contrib/[a-z-]+' README.md | sort -u | while read -r file; do
		[ -e "$file" ] || echo "README.md names $file"
	done
	grep -q "^## $("$BUILD/mount/notepackfs" --version | cut -d' ' -f2)\$" NEWS.md || echo "NEWS.md lacks this version"
)
report "what the texts point to is there" "$problems"
finish
