# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# daemons.sh: daemons that log, each with a configuration, a socket and a pid file of the case's own.

section "Daemons that log"

# lines FILE N: it has that many.
lines() {
	[ "$(wc -l <"$1")" -eq "$2" ]
}

# start_rsyslog ACTION-PARAMETER…: x.log, from the socket $T/log.
start_rsyslog() {
	cat >"$T/conf" <<-END
		global(workDirectory="$T")
		module(load="imuxsock" SysSock.Use="off")
		input(type="imuxsock" Socket="$T/log" CreatePath="on" RateLimit.Interval="0")
		template(name="line" type="string" string="%msg%\n")
		action(type="omfile" file="$PWD/x.log" template="line" fileCreateMode="0644" $*)
	END
	rsyslogd -n -i "$T/pid" -f "$T/conf" &
	RSYSLOG=$!
	until_true [ -S "$T/log" ]
}

stop_rsyslog() {
	kill "$RSYSLOG"
	wait "$RSYSLOG"
}

# log_lines FROM TO: and waits until they are in x.log
log_lines() {
	seq -f 'line %g' "$1" "$2" | logger -u "$T/log" --socket-errors=on
}

compat rsyslog any works '`rsyslogd`' 'each line is there once'
case_rsyslog() {
	start_rsyslog
	log_lines 1 100
	until_true lines x.log 100
	stop_rsyslog
}

compat rsyslog_sync any works '`rsyslogd` with `sync="on"`' 'it writes on after each fsync'
case_rsyslog_sync() {
	start_rsyslog 'sync="on"' 'asyncWriting="off"'
	log_lines 1 50
	until_true lines x.log 50
	seal x.log
	log_lines 51 100
	until_true lines x.log 100
	stop_rsyslog
}

compat rsyslog_hup any works '`rsyslogd`, renamed under it, then HUP' 'it writes to the renamed file until HUP'
case_rsyslog_hup() {
	start_rsyslog
	log_lines 1 10
	until_true lines x.log 10
	mv x.log x.log.1
	log_lines 11 20
	until_true lines x.log.1 20
	kill -HUP "$RSYSLOG"
	until_true lets_go "$RSYSLOG" x.log.1
	log_lines 21 30
	until_true lines x.log 10
	stop_rsyslog
}

# lets_go PID NAME: it has no file of this name open.
lets_go() {
	! find "/proc/$1/fd" -lname "*/$2" | grep -q .
}

compat rsyslog_restart any works '`rsyslogd`, stopped and started' 'it appends to the sealed log'
case_rsyslog_restart() {
	start_rsyslog
	log_lines 1 10
	until_true lines x.log 10
	stop_rsyslog
	barrier
	start_rsyslog
	log_lines 11 20
	until_true lines x.log 20
	stop_rsyslog
}

start_nginx() {
	cat >"$T/conf" <<-END
		pid $T/pid;
		error_log $T/error.log notice;
		$([ "$(id -u)" -ne 0 ] || echo "user $(id -un) $(id -gn);")
		worker_processes 1;
		events { }
		http {
			log_format path '\$request_uri';
			access_log $PWD/access.log path $*;
			client_body_temp_path $T/client;
			proxy_temp_path $T/proxy;
			fastcgi_temp_path $T/fastcgi;
			uwsgi_temp_path $T/uwsgi;
			scgi_temp_path $T/scgi;
			server {
				listen unix:$T/http;
				root $IN;
			}
		}
	END
	nginx -e "$T/error.log" -c "$T/conf"
	until_true [ -s "$T/pid" ]
	NGINX=$(<"$T/pid")
}

# The master ends after its workers have.
stop_nginx() {
	kill -QUIT "$NGINX"
	until_true [ ! -d "/proc/$NGINX" ]
}

# request FROM TO: that many, each with a number
request() {
	curl -s --fail --unix-socket "$T/http" "http://localhost/text?[$1-$2]" >"$T/body"
}

compat nginx any works '`nginx`, access log'
case_nginx() {
	start_nginx
	request 1 20
	until_true lines access.log 20
	stop_nginx
}

compat nginx_buffered any works '`nginx`, access log with `buffer=` and `flush=`'
case_nginx_buffered() {
	start_nginx 'buffer=4k flush=1m'
	request 1 20
	stop_nginx
}

compat nginx_usr1 any works '`nginx`, renamed under it, then USR1' 'it writes to the renamed file until USR1'
case_nginx_usr1() {
	local pid
	start_nginx
	request 1 10
	until_true lines access.log 10
	mv access.log access.log.1
	request 11 15
	until_true lines access.log.1 15
	kill -USR1 "$NGINX"
	for pid in "$NGINX" $(pgrep -P "$NGINX"); do
		until_true lets_go "$pid" access.log.1
	done
	request 16 30
	until_true lines access.log 15
	stop_nginx
}

compat tcpdump_read any works '`tcpdump -C`, reading a capture' 'each file is sealed when it is closed'
case_tcpdump_read() {
	python3 "$HERE/compat/make_pcap.py" >"$T/pcap"
	tcpdump -r "$T/pcap" -Z "$(id -un)" -w cap -C 1 2>/dev/null
}

# A network of its own, whose loopback sees nothing but what the case sends.
compat tcpdump_c any works '`tcpdump -C` on loopback' 'each file is sealed when it is closed'
volatile tcpdump_c 'cap*'
case_tcpdump_c() { unshare -n bash -eu "$HERE/compat/capture.sh" -C 1; }

compat tcpdump_g cuts works '`tcpdump -G` on loopback'
volatile tcpdump_g 'cap*'
case_tcpdump_g() { unshare -n bash -eu "$HERE/compat/capture.sh" -G 1; }
