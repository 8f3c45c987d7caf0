#!/bin/bash
# SPDX-License-Identifier: MIT
# Batches that three nodes are sending are paused, resumed and cancelled, at nodes that did not accept them and own a third.
# Of two nodes that are left, one sends what both had when the other one dies (rule 7).
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

slow_sink 200
control up --nodes 3 --relay "$sink_address" --set 'window = 40' --set 'doubt_hold = 5s' --set 'min_backoff = 1s'
meet n1 n2 n3

# send_some NODE BATCH MAILS NODE...: the batch, of which all these nodes are sending then.
send_some() {
	local node=$1 batch=$2
	recipients "$2" "$3"
	send "$1" "$2"
	shift 3
	for node in "$@"; do
		await 30 "$node sends" sees "$node" "$node" '.in_flight > 0'
	done
	await 60 "some of $batch is sent" sent_some "$batch"
}
sent_some() { [ "$(mails_of "$1")" -ge 500 ]; }

send_some n2 stopped 4000 n1 n2 n3
at n3 pause stopped 2>/dev/null
await 60 'nothing of it is in Postfix any more' batch_is n1 stopped '.state == "paused" and .claimed == 0'
before=$(mails_of stopped)
recipients between 500
send n1 between
await 60 'another batch is sent meanwhile' batch_is n3 between '.state == "done"'
expect 'mails of the paused batch' "$before" "$(mails_of stopped)"
for node in n1 n2 n3; do
	batch_is "$node" stopped ".state == \"paused\" and .sent == $before and .ready == .total - .sent and .ready > 0" >/dev/null ||
		fail "$node: $(at "$node" status stopped --json)"
done
at n1 resume stopped 2>/dev/null
await 120 'the batch that was paused is done' batch_is n3 stopped '.state == "done"'
check_batches n3 stopped between
expect 'mails that came twice' 0 "$duplicates"

send_some n1 half 6000 n1 n2 n3
at n2 cancel half 2>/dev/null
await 60 'it is cancelled, and nothing of it in Postfix' batch_is n3 half '.state == "cancelled" and .claimed == 0 and .ready == 0'
before=$(mails_of half)
for node in n1 n2 n3; do
	batch_is "$node" half ".total == 6000 and .sent == $before and .cancelled > 0 and
		.sent + .cancelled + .unknown + .bounced == .total" >/dev/null || fail "$node: $(at "$node" status half --json)"
done
echo "ok: cancelled after $before of 6000 mails"

# ---- two nodes are left, then one
control kill n3
await 20 'n1 sees that n3 is gone' sees n1 n3 '.state == "gone"'
at n1 forget "${address[n3]}" 2>/dev/null
send_some n2 pair 3000 n1 n2
batch_is n1 pair '.replicas == 2 and .ready > 0' >/dev/null || fail "$(at n1 status pair --json)"
killed=$(now)
control kill n2
await 120 'n1 has sent what both had' batch_is n1 pair '.state == "done"'
echo "seconds from the death until then: $(seconds_since "$killed")"
expect 'mails of the cancelled batch, still' "$before" "$(mails_of half)"
grep -P '^[^\t]*\t[^\t]*\tpair-' "$work/sink/ledger" >"$work/ledger.pair"
ledger=$work/ledger.pair
check_batches n1 pair
expect_at_most 'mails resent in doubt' 40 "$doubts"
expect_at_most 'mails that came twice' "$doubts" "$duplicates"
expect 'mails that none of the two has any more' 0 "$(batch_field n1 pair unavailable)"
