# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# network.sh: wget and curl from a server of our own, at $URL; ssh, by an sshd for each connection, whose
# keys and configuration are ours, and no port. compat.sh calls start_server before the cases.

section "Network"

start_server() {
	local port
	exec {SERVER_FD}< <(exec python3 "$HERE/compat/serve.py" "$IN" 2>"$WORK/serve.log")
	SERVER=$!
	read -r port <&"$SERVER_FD"
	URL=http://127.0.0.1:$port
}

# SSH_OPTIONS: what ssh, scp and sftp need to reach that sshd. As root it wants its empty directory.
make_ssh() {
	local dir=$WORK/ssh
	mkdir "$dir"
	[ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
	ssh-keygen -q -t ed25519 -N '' -f "$dir/host"
	ssh-keygen -q -t ed25519 -N '' -f "$dir/user"
	printf '%s\n' "HostKey $dir/host" "AuthorizedKeysFile $dir/user.pub" "StrictModes no" "UsePAM no" \
		"PermitRootLogin yes" "Subsystem sftp internal-sftp" "LogLevel ERROR" >"$dir/sshd_config"
	SSH_OPTIONS=(-F none -q -i "$dir/user" -o IdentitiesOnly=yes -o BatchMode=yes
		-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null
		-o "ProxyCommand=$(command -v sshd || echo /usr/sbin/sshd) -i -f $dir/sshd_config")
}

compat wget any works '`wget`, `wget -O`' 'the time of the server is set after the close'
case_wget() { wget -q "$URL/text"; wget -q -O x "$URL/big"; }

compat wget_nc any works '`wget -nc`, `wget -N` of a sealed file' 'transfers nothing'
before_wget_nc() { wget -q "$URL/text"; }
case_wget_nc() { wget -q -nc "$URL/text"; wget -q -N "$URL/text"; }

compat wget_c any works '`wget -c`: goes on with a sealed file' 'the rest is its next part'
before_wget_c() { head -c 1000000 "$IN/big" >big; }
case_wget_c() { wget -q -c "$URL/big"; }

compat wget_o_sealed any EPERM '`wget -O` onto a sealed file' 'it truncates'
before_wget_o_sealed() { cp "$IN/text" x; }
case_wget_o_sealed() { wget -nv -O x "$URL/other"; }

compat curl any works '`curl -o`, `curl -O`, `curl -R`'
case_curl() { curl -s -o x "$URL/big"; curl -s -O "$URL/other"; curl -s -R -o y "$URL/text"; }

compat curl_c any works '`curl -C -`: goes on with a sealed file' 'the rest is its next part'
before_curl_c() { head -c 1000000 "$IN/big" >x; }
case_curl_c() { curl -s -C - -o x "$URL/big"; }

compat curl_o_sealed any EPERM '`curl -o` onto a sealed file' 'it truncates'
before_curl_o_sealed() { cp "$IN/text" x; }
case_curl_o_sealed() { traced curl -s -S -o x "$URL/other"; }

compat scp any works '`scp`, `scp -pr`'
case_scp() { scp "${SSH_OPTIONS[@]}" "$IN/big" "localhost:$PWD/x"; scp "${SSH_OPTIONS[@]}" -pr "$IN/tree/a" "localhost:$PWD/"; }

compat scp_sealed any EPERM '`scp` over a sealed file' 'it truncates; scp says "Permission denied"'
before_scp_sealed() { cp "$IN/text" x; }
case_scp_sealed() { traced scp "${SSH_OPTIONS[@]}" "$IN/other" "localhost:$PWD/x"; }

compat sftp any works '`sftp put`, `put -p`, `rename`, `chmod`'
case_sftp() {
	printf '%s\n' "cd $PWD" "put $IN/big x" "put -p $IN/text y" "rename y z" "chmod 600 z" |
		sftp "${SSH_OPTIONS[@]}" -b - localhost >/dev/null
}

compat sftp_reput any works '`sftp reput`: goes on with a sealed file' 'the rest is its next part'
before_sftp_reput() { head -c 1000000 "$IN/big" >x; }
case_sftp_reput() { printf '%s\n' "reput $IN/big $PWD/x" | sftp "${SSH_OPTIONS[@]}" -b - localhost >/dev/null; }

compat rsync_ssh any works '`rsync -az -e ssh`'
case_rsync_ssh() {
	printf '#!/bin/sh\nexec ssh %s "$@"\n' "$(printf "'%s' " "${SSH_OPTIONS[@]}")" >"$T/ssh"
	chmod +x "$T/ssh"
	rsync -az -e "$T/ssh" "$IN/tree" "localhost:$PWD/"
}

compat netcat any works '`nc -l >x`'
case_netcat() {
	local nc
	nc -lU "$T/socket" >x &
	nc=$!
	until_true [ -S "$T/socket" ]
	nc -NU "$T/socket" <"$IN/big"
	wait "$nc"
}
