# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# logrotate.sh: logrotate in its modes, on x.log; forced, since the state is ours and new.

section "logrotate"

# rotate DIRECTIVE…
rotate() {
	{
		echo "\"$PWD/x.log\" {"
		printf '\t%s\n' "su $(id -un) $(id -gn)" "$@"
		echo "}"
	} >"$T/conf"
	chmod 644 "$T/conf"
	logrotate -f -s "$T/state" "$T/conf"
}

write_logs() {
	local i
	for i in .3 .2 .1 ''; do seq -f "old$i line %g" 1 100 >"x.log$i"; done
}

compat logrotate_create any works '`create`' 'the new log is empty, and not sealed until it is written'
before_logrotate_create() { write_logs; }
case_logrotate_create() { rotate "rotate 9" create; echo new >>x.log; rotate "rotate 9" create; }

compat logrotate_open any works '`create`, while a program has the log open' 'what it writes goes on in the renamed file'
case_logrotate_open() {
	exec 8>>x.log
	echo before >&8
	rotate "rotate 9" "create 640 $(id -un) $(id -gn)"
	echo after >&8
	exec 8>&-
	echo new >>x.log
}

compat logrotate_nocreate any works '`nocreate`, `start 5`, `olddir`'
before_logrotate_nocreate() { seq 1 100 >x.log; mkdir old; }
case_logrotate_nocreate() { rotate "rotate 9" nocreate "start 5" "olddir $PWD/old"; }

compat logrotate_oldest any EPERM/works '`rotate 3`, when the oldest goes' '`allow_delete=*.log.[0-9]*`, or a larger `rotate`; the oldest stays, and the log is not rotated any more'
refused_logrotate_oldest() { for i in 3 2 1; do mv x.log.$i x.log.$((i + 1)); done; mv x.log x.log.1; echo new >x.log; }
before_logrotate_oldest() { write_logs; }
case_logrotate_oldest() {
	local status=0
	rotate "rotate 3" create || status=$?
	echo new >>x.log
	rotate "rotate 3" create
	return "$status"
}

compat logrotate_compress grace works '`compress`, within `grace`'
volatile logrotate_compress '*.gz'
case_logrotate_compress() { seq 1 1000 >x.log; rotate "rotate 9" create compress; }

compat logrotate_compress_sealed any EPERM/works '`compress` of a sealed log, the second time' 'it cannot remove what it has compressed, and then not rename the next log over it; the archive compresses: use `nocompress`'
leaves logrotate_compress_sealed 'x.log*.gz'
before_logrotate_compress_sealed() { seq 1 1000 >x.log; }
refused_logrotate_compress_sealed() { mv x.log x.log.1; echo new >x.log; }
case_logrotate_compress_sealed() {
	local status=0
	rotate "rotate 9" create compress || status=$?
	echo new >>x.log
	rotate "rotate 9" create compress
	return "$status"
}
volatile logrotate_compress_sealed '*.gz'

compat logrotate_delaycompress any works '`delaycompress`, the first time' 'the second time compresses: see above'
before_logrotate_delaycompress() { seq 1 1000 >x.log; }
case_logrotate_delaycompress() { rotate "rotate 9" create compress delaycompress; }

compat logrotate_dateext any works '`dateext`, `extension`'
before_logrotate_dateext() { seq 1 1000 >x.log; }
case_logrotate_dateext() { rotate "rotate 9" create dateext "dateformat -then" "extension .log"; }

compat logrotate_copy any works '`copy`, `missingok`, `ifempty`'
before_logrotate_copy() { seq 1 1000 >x.log; }
case_logrotate_copy() { rotate "rotate 9" copy missingok ifempty; }

compat logrotate_copytruncate grace works '`copytruncate`, within `grace`, or of a log that is held open and not fsynced'
case_logrotate_copytruncate() {
	exec 8>>x.log
	echo before >&8
	rotate "rotate 9" copytruncate
	echo after >&8
	exec 8>&-
}

compat logrotate_copytruncate_sealed any EPERM '`copytruncate` of a sealed log' 'it truncates: use `create`; the copy is made, and lines are there twice'
leaves logrotate_copytruncate_sealed 'x.log.1*'
before_logrotate_copytruncate_sealed() { seq 1 1000 >x.log; }
case_logrotate_copytruncate_sealed() { rotate "rotate 9" copytruncate; }

compat logrotate_postrotate any works '`sharedscripts`, `prerotate`, `postrotate`'
before_logrotate_postrotate() { seq 1 1000 >x.log; }
case_logrotate_postrotate() {
	rotate "rotate 9" create sharedscripts prerotate "echo pre >>$PWD/scripts" endscript \
		postrotate "echo post >>$PWD/scripts" endscript
}
