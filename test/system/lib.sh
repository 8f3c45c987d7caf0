# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# For the system tests: a node with its real Redis and its real Postfix, and the receiving server, in a folder of
# their own, on free ports; gone when the test ends, however it ends. Source it, then call what is needed.
#
# BUILD is the build folder; $work the test's own. Nothing here waits for seconds: everything waits for a condition.
set -euo pipefail
umask 022
export PATH=$PATH:/usr/sbin:/sbin

build=$(realpath "${BUILD:?BUILD is not set: the build folder}")
optimus=$build/daemon/optimus
optimusd=$build/daemon/optimusd
instance=$build/postfix-glue/optimus-instance
sink=$build/test/sink/optimus-sink
ledger=$build/test/sink/optimus-ledger

# Short, because the paths of Unix sockets in it have to fit into 107 bytes; readable for the user optimus.
work=$(mktemp -d /tmp/optimus.XXXXXX)
chmod 755 "$work"
export OPTIMUS_API=unix:$work/d/api.sock
node_pid='' sink_pid=''
extra_settings=${extra_settings:-}
node_options=()

say() { printf '%s\n' "$*"; }
fail() {
	say "FAILED: $*"
	"$optimus" status --json 2>/dev/null || true
	[ ! -e "$work/log" ] || { say '--- the end of the log of optimusd'; tail -n 25 "$work/log"; }
	[ ! -e "$work/d/postfix/log/maillog" ] || { say '--- the end of the log of Postfix'; tail -n 15 "$work/d/postfix/log/maillog"; }
	exit 1
}

# await SECONDS WHAT COMMAND...: until the command succeeds.
await() {
	local limit=$1 what=$2 end
	shift 2
	end=$((SECONDS + limit))
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || fail "after $limit s still not: $what"
		sleep 0.05
	done
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# The private redis-server of the node, 0 when there is none.
redis_pid() { pgrep -f "^redis-server .*$work/d/redis/redis.sock" || echo 0; }
master_pid() { "$instance" status --dir "$work/d/postfix" | sed -n 's/^up \([0-9]*\).*/\1/p'; }
# Processes of the node's Postfix that run a program of that name.
postfix_pids() {
	find /proc/[0-9]*/exe -maxdepth 0 -lname "$work/d/postfix/libexec/$1" -printf '%h\n' 2>/dev/null | sed 's,/proc/,,' || true
}

cleanup() {
	local status=$? pid
	trap - EXIT INT TERM
	for pid in $node_pid $sink_pid; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	if [ -d "$work/d/postfix" ]; then
		"$instance" kill --dir "$work/d/postfix" || true
		"$instance" remove --dir "$work/d/postfix" || true
	fi
	pid=$(redis_pid)
	if [ "$pid" -gt 0 ]; then
		kill -KILL "$pid" 2>/dev/null || true
		await 10 'redis-server is gone' gone "$pid"
	fi
	! mountpoint -q "$work/d" || umount -l "$work/d"
	rm -rf "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# sink_start [OPTION...]: $sink_address is where it listens.
sink_start() {
	"$sink" --listen 127.0.0.1:0 --ledger "$work/ledger" --control "$work/sink.sock" "$@" >"$work/sink.out" 2>"$work/sink.err" &
	sink_pid=$!
	await 10 'the sink listens' grep -q '^listening ' "$work/sink.out"
	sink_address=$(sed -n 's/^listening //p' "$work/sink.out" | head -n 1)
}

# node_start: needs a sink. $extra_settings are lines for the configuration, node_options more for the command line.
node_start() {
	[ -e "$work/key" ] || (umask 077 && "$optimus" keygen >"$work/key")
	# The node's user may not get to the build folder, as below /root.
	if [ ! -d "$work/libexec" ]; then
		mkdir "$work/libexec"
		cp "$build/postfix-glue/optimus-pickup" "$build/postfix-glue/optimus-outcome" \
			"$build/postfix-glue/optimus-spool" "$instance" "$work/libexec/"
	fi
	{
		echo "relay = $sink_address"
		echo "libexec = $work/libexec"
		echo 'min_backoff = 1s'
		echo 'max_backoff = 2s'
		echo 'domain_hold = 1s'
		printf '%s\n' "$extra_settings"
	} >"$work/conf"
	"$optimusd" --data "$work/d" --listen 127.0.0.1:0 --key "$work/key" --config "$work/conf" \
		"${node_options[@]}" 2>>"$work/log" &
	node_pid=$!
	await 30 'the API answers' "$optimus" nodes
}

postfix_is() { [ "$("$optimus" nodes --json | jq -r '.nodes[0].postfix')" = "$1" ]; }

# recipients COUNT DOMAIN...: rows spread over the domains, on standard output.
recipients() {
	local count=$1
	shift
	awk -v n="$count" -v list="$*" 'BEGIN {
		d = split(list, domain, " ")
		print "email,name,number"
		for (i = 0; i < n; i++) printf "user%d@%s,\"N\303\241me, %d\",%d\n", i, domain[i % d + 1], i, i
	}'
}

template() {
	cat <<'END'
From: News <news@example.com>
To: {{name}} <{{email}}>
Subject: Number {{number}} for {{name|you}}
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Dear {{name|reader}},
your number is {{number}}.
END
}

# send ID [OPTION...]: the recipients of $work/rcpt.csv.
send() {
	local id=$1
	shift
	[ -e "$work/t.eml" ] || template >"$work/t.eml"
	"$optimus" send --from 'bounce+{{verp}}@example.com' --template "$work/t.eml" --recipients "$work/rcpt.csv" --id "$id" "$@"
}

# start_sending ID COUNT DOMAIN...: starts the node, and submits so many mails once Postfix is up. Needs a sink.
start_sending() {
	local id=$1
	shift
	node_start
	await 30 'Postfix is up' postfix_is up
	recipients "$@" >"$work/rcpt.csv"
	expect 'the batch id' "$id" "$(send "$id")"
}

# node_end SECONDS [WHEN]: SIGTERM, after which it has to end in order, in at most so many seconds.
node_end() {
	local limit=$1 when=${2:+ $2} from=$SECONDS status=0
	kill -TERM "$node_pid"
	wait "$node_pid" || status=$?
	node_pid=''
	expect "exit code after SIGTERM$when" 0 "$status"
	expect_at_most "seconds that it took to end$when" "$limit" $((SECONDS - from))
}

# check_goes_on ID: an end in order, just before, has left no process, and neither doubt nor a copy in the batch.
check_goes_on() {
	expect 'redis-server after the end' 0 "$(redis_pid)"
	expect 'Postfix after the end' down "$("$instance" status --dir "$work/d/postfix" || true)"
	node_start
	await 90 'the batch is done' batch_is "$1" done
	check_ledger "$1"
	expect 'copies' 0 "$(jq .duplicates "$work/check.json")"
	expect 'mails in doubt after an orderly end' 0 "$(batch_field "$1" in_doubt_resent)"
}

batch_field() { "$optimus" status "$1" --json | jq -r ".$2"; }
batch_is() { [ "$(batch_field "$1" state)" = "$2" ]; }
batch_has() { [ "$(batch_field "$1" "$2")" -ge "$3" ]; }

# expect WHAT WANTED GOT
expect() {
	[ "$2" = "$3" ] || fail "$1: wanted $2, got $3"
	say "ok: $1 = $3"
}
expect_at_most() {
	[ "$3" -le "$2" ] || fail "$1: wanted at most $2, got $3"
	say "ok: $1 = $3 (at most $2)"
}

# check_ledger ID: the report of the batch against what the sink got. Lost, missing, foreign or mismatched mail fails.
check_ledger() {
	"$optimus" report "$1" >"$work/report.csv"
	"$ledger" check --ledger "$work/ledger" --submitted "$work/rcpt.csv" --report "$work/report.csv" --json >"$work/check.json" ||
		fail "the ledger does not match: $(cat "$work/check.json")"
	say "ok: ledger $(tr -d '\n ' <"$work/check.json")"
}
