# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the scripts share: messages, steps, and ending exactly what they started. Sourced, never run.

# shellcheck disable=SC2034 # for those who source this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=${0##*/}
# Plain `su` leaves root without the folders of dpkg's, Postfix's and runuser's programs.
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# What is built and laid out is for the user optimus too, whatever the caller keeps to himself.
umask 022

say() {
	printf '%s: %s\n' "$name" "$*" >&2
}

die() {
	say "$*"
	exit 1
}

# print_usage: how the script is called, which stands at its head, and the line more_usage if it sets that.
print_usage() {
	sed -n '4,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$root/scripts/$name"
	[ -z "${more_usage:-}" ] || echo "$more_usage"
}

# wrong_usage: the same, for who called it another way.
wrong_usage() {
	print_usage >&2
	exit 2
}

# answer_help ARGUMENT...: the same, for who asks.
answer_help() {
	local argument
	for argument in "$@"; do
		case $argument in
		-h | --help)
			print_usage
			exit 0
			;;
		esac
	done
}

# run_step TEXT COMMAND...: says the text, runs the command, shows its output only when it fails.
run_step() {
	local text=$1 log status=0
	shift
	say "$text"
	log=$(mktemp)
	"$@" >"$log" 2>&1 </dev/null || status=$?
	if [ "$status" -ne 0 ]; then
		cat "$log" >&2
		say "failed with status $status: $*"
	fi
	rm -f "$log"
	return "$status"
}

# wait_for SECONDS COMMAND...: repeats the command until it succeeds; 1 when the time is over.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# is_running PID: whether any thread of that process of ours still runs: until the last one has ended it holds its files and
# locks, and the first one may be a zombie by then. A zombie alone does not run.
is_running() {
	local stat threads
	{ IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	stat=${stat##*) }
	[ "${stat%% *}" = Z ] || return 0
	threads=("/proc/$1/task/"*)
	[ "${#threads[@]}" -gt 1 ]
}

has_ended() {
	! is_running "$1"
}

# stop_pid PID [SECONDS]: asks it to end, insists after the time.
stop_pid() {
	is_running "$1" || return 0
	kill -TERM "$1" 2>/dev/null || return 0
	wait_for "${2:-10}" has_ended "$1" || kill -KILL "$1" 2>/dev/null || true
}

# unused_port: a TCP port of the loopback that nobody uses now. Taken from below the ephemeral range, so
# that no outgoing connection takes it before it is used.
unused_port() {
	local port used
	used=$(ss -Htan | awk '{ sub(/.*:/, "", $4); print $4 }')
	while :; do
		port=$((10000 + RANDOM % 20000))
		grep -qx "$port" <<<"$used" || break
	done
	echo "$port"
}
