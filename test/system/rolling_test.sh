#!/bin/bash
# SPDX-License-Identifier: MIT
# All nodes are restarted, one after the other, while batches are being sent: drained before, and then without a word, by
# SIGTERM alone. No mail is lost, none comes twice, and none is in doubt. Who stops in order says so, and nobody waits for
# its silence.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=3000
window=40

is_empty_of_mail() { sees "$1" "$1" '.owned == 0 and .in_flight == 0'; }
all_up() { same_picture 'length == 3 and all(.[]; .[2] == "up")' n1 n2 n3; }

# said_goodbye NODE OTHER: from the end of the link to "gone" in the other's log. Without a goodbye that is a second, at least.
said_goodbye() {
	local down gone
	down=$(log_time "$2" " event=link_down node=${id[$1]} ")
	gone=$(log_time "$2" " event=node_gone id=${id[$1]} ")
	[ -n "$gone" ] || fail "$2 never said that $1 is gone"
	expect_at_most "seconds that $2 waited for $1" 0.5 "$(awk -v d="$down" -v g="$gone" 'BEGIN { printf "%.1f", (g - d) / 1e6 }')"
}

slow_sink 400
control up --nodes 3 --relay "$sink_address" --set "window = $window" --set 'min_backoff = 1s' --set 'max_backoff = 2s'
meet n1 n2 n3
batches=()
previous=n3
for node in n1 n2 n3; do
	recipients "drain-$node" "$mails"
	send "$previous" "drain-$node"
	batches+=("drain-$node")
	await 60 "$node sends" sees "$previous" "$node" '.owned > 0 and .in_flight > 0'
	at "$node" drain 2>/dev/null
	drained=$(now)
	await 60 "$node has nothing left" is_empty_of_mail "$node"
	echo "$node was empty after $(seconds_since "$drained") s"
	! batch_is "$previous" "drain-$node" '.state == "done"' >/dev/null || fail 'nothing is left to send: there was no load'
	control stop "$node"
	control start "$node"
	sees "$previous" "$node" '.state == "draining"' >/dev/null || fail "$node does not drain any more after its restart"
	at "$node" undrain 2>/dev/null
	await 20 'all are up' all_up
	previous=$node
done
for batch in "${batches[@]}"; do
	await 240 "$batch is done" batch_is n1 "$batch" '.state == "done"'
done
check_batches n2 "${batches[@]}"
expect 'mails that came twice' 0 "$duplicates"
expect 'mails resent in doubt' 0 "$doubts"

for node in n1 n2 n3; do
	recipients "stop-$node" "$mails"
	send "$previous" "stop-$node"
	batches+=("stop-$node")
	await 60 "$node sends" sees "$previous" "$node" '.owned > 0 and .in_flight > 0'
	stopping=$(now)
	control stop "$node"
	echo "$node stopped in $(seconds_since "$stopping") s"
	said_goodbye "$node" "$previous"
	control start "$node"
	await 20 'all are up' all_up
	previous=$node
done
for batch in "${batches[@]}"; do
	await 240 "$batch is done" batch_is n1 "$batch" '.state == "done"'
done
check_batches n2 "${batches[@]}"
expect 'mails that came twice in all' 0 "$duplicates"
expect 'mails resent in doubt in all' 0 "$doubts"
