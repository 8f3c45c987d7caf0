#!/bin/bash
# SPDX-License-Identifier: MIT
# kill -9 of each part of a node in the middle of a batch: nothing accepted is lost, every mail ends in a reported
# state, the report equals the receiving server's ledger, and there are no more copies than mails resent in doubt.
#
# usage: kill_test.sh optimusd|redis|master|pickup|smtp|outcome|qmgr [MAILS]
. "$(dirname "$0")/lib.sh"

part=$1
mails=${2:-5000}

kill_part() {
	# shellcheck disable=SC2046 # several pids, several words
	case $part in
	optimusd)
		kill -KILL "$node_pid"
		wait "$node_pid" 2>/dev/null || true
		node_start
		;;
	redis) kill -KILL "$(redis_pid)" ;;
	master) kill -KILL "$(master_pid)" ;;
	pickup) kill -KILL $(postfix_pids optimus-pickup) ;;
	outcome) kill -KILL $(postfix_pids optimus-outcome) ;;
	smtp) kill -KILL $(postfix_pids smtp | head -n 3) ;;
	qmgr) kill -KILL $(postfix_pids qmgr) ;;
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
