# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# build.sh: compilers and make, in the mount. See ../compat.sh for the words.

section "Building"

write_program() {
	printf '#include <stdio.h>\nint helper(void);\nint main(void)\n{\n\treturn printf("it runs\\n") < 0 || helper();\n}\n' >main.c
	printf 'int helper(void);\nint helper(void)\n{\n\treturn 0;\n}\n' >helper.c
	printf 'prog: main.o helper.o\n\tgcc -o $@ $^\n%%.o: %%.c\n\tgcc -c -o $@ $<\n' >Makefile
}

compat gcc any works '`gcc -o`, and the program run from the mount' 'chmod after the close'
case_gcc() { write_program; gcc -o prog main.c helper.c; ./prog >out; }

compat gcc_sealed any EPERM/works '`gcc -o` over a sealed program' 'ld removes it first'
before_gcc_sealed() { write_program; gcc -o prog main.c helper.c; }
case_gcc_sealed() { traced gcc -s -o prog main.c helper.c; ./prog >out; }

compat exec any works 'a sealed program or script is run'
before_exec() { cp -p "$IN/tree/c/run" .; cp /bin/true .; }
case_exec() { ./run >out; ./true; }

compat make grace works '`make`, `make` again, within `grace`'
case_make() { write_program; make -s; make -q; ./prog >out; }

compat make_sealed any blind '`make` in a sealed directory' 'it looks for its files in the list of the directory, which has objects only'
before_make_sealed() { (cd "$T" && write_program && make -s); cp -p "$T"/* .; }
case_make_sealed() { make -q; }

compat ar grace works '`ar rc`, `ranlib`, `nm`, `objcopy`'
case_ar() {
	write_program
	gcc -c -o "$T/helper.o" helper.c
	ar rcD libhelper.a "$T/helper.o"
	nm libhelper.a >out
	objcopy "$T/helper.o" copy.o
}

compat ar_sealed any EPERM '`ar r` of a sealed library' 'it writes a new one, and copies it over'
leaves ar_sealed 'st*'
before_ar_sealed() { write_program; gcc -c -o "$T/main.o" main.c; ar rcD "$T/lib.a" "$T/main.o"; cp "$T/lib.a" .; }
case_ar_sealed() { write_other_objects; traced ar rD lib.a "$T/helper.o"; }

write_other_objects() {
	printf 'int another(void);\nint another(void)\n{\n\treturn 0;\n}\n' >"$T/helper.c"
	(cd "$T" && gcc -c -o helper.o helper.c)
}

compat strip grace works '`strip`, `ld -r`, within `grace`'
case_strip() { write_program; gcc -o prog main.c helper.c; strip prog; ./prog >out; }

compat strip_sealed any EPERM '`strip` of a sealed program' 'it writes over what is there'
leaves strip_sealed 'st*'
before_strip_sealed() { write_program; gcc -o prog main.c helper.c; }
case_strip_sealed() { traced strip prog; }

compat python_script any works 'Python: a sealed script; `py_compile`, `zipfile`' 'a file of another name is renamed to its own'
before_python_script() { echo 'print("it runs")' >x.py; touch -d '2001-01-01' x.py; }
case_python_script() {
	python3 x.py >out
	python3 -c 'import py_compile; py_compile.compile("x.py", cfile="x.pyc")'
	python3 -m zipfile -c x.zip x.py
}

compat python_import any blind 'Python: `import` of a sealed module' 'as `make`, it looks at the list of the directory'
before_python_import() { echo 'print("it runs")' >module.py; }
case_python_import() { python3 -c 'import sys; sys.path.insert(0, "."); import module'; }
