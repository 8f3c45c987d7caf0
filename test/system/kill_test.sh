#!/bin/bash
# SPDX-License-Identifier: MIT
# kill -9 of each part of a node in the middle of a batch: nothing accepted is lost, every mail ends in a reported
# state, the report equals the receiving server's ledger, and there are no more copies than mails resent in doubt.
#
# usage: kill_test.sh optimusd|redis|master|pickup|smtp|outcome|qmgr|postlogd [MAILS]
. "$(dirname "$0")/lib.sh"

part=$1
mails=${2:-5000}

# kill_processes PROGRAM [COUNT]: waits until there are some, since the instance may be settling.
master_runs() { [ -n "$(master_pid)" ]; }
runs() { [ -n "$(postfix_pids "$1")" ]; }
kill_processes() {
	await 30 "$1 runs" runs "$1"
	postfix_pids "$1" | head -n "${2:-100}" | xargs kill -KILL || true
}

# A log that stands still, with its socket full, must not hold up master: it starts what dies, postlogd among it.
log_is_full() {
	local pid
	for pid in $(postfix_pids smtp); do
		[ "$(cat "/proc/$pid/wchan")" != unix_wait_for_peer ] || return 0
	done
	return 1
}
another_outcome() { postfix_pids optimus-outcome | grep -vFx "$1" >/dev/null; }
kill_log() {
	local before
	await 30 'postlogd runs' runs postlogd
	postfix_pids postlogd | xargs kill -STOP
	await 30 'smtp waits for room in the socket of the log' log_is_full
	before=$(postfix_pids optimus-outcome)
	kill_processes optimus-outcome
	await 30 'master starts a new outcome server while the log stands still' another_outcome "$before"
	kill_processes postlogd
}

kill_part() {
	case $part in
	optimusd)
		kill -KILL "$node_pid"
		wait "$node_pid" 2>/dev/null || true
		node_start
		;;
	redis) kill -KILL "$(redis_pid)" ;;
	master)
		await 30 'master runs' master_runs
		kill -KILL "$(master_pid)"
		;;
	pickup | outcome) kill_processes "optimus-$part" ;;
	smtp) kill_processes smtp 3 ;;
	qmgr) kill_processes qmgr ;;
	postlogd) kill_log ;;
	esac
}

sink_start
node_start
await 30 'Postfix is up' postfix_is up
recipients "$mails" a.test b.test c.test d.test e.test f.test >"$work/rcpt.csv"
expect 'the batch id' kill "$(send kill)"
for share in 20 50; do
	await 120 "$share % are sent" batch_has kill sent $((mails * share / 100))
	say "killing $part"
	kill_part
done
await 180 'the batch is done' batch_is kill done
"$optimus" status kill
expect 'sent' "$mails" "$(batch_field kill sent)"
check_ledger kill
copies=$(jq .duplicates "$work/check.json")
doubt=$(batch_field kill in_doubt_resent)
expect_at_most 'copies beyond the first, for mails that were in doubt' "$doubt" "$copies"
say "ok: $part killed twice, copies $copies, resent in doubt $doubt"
