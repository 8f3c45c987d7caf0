#!/bin/bash
# SPDX-License-Identifier: MIT
# Of three nodes one is three times slower. The others take from it what they can do sooner, so that all send their last mail at
# nearly the same time: within 10 % of what the batch took, counted from its first mail on. The server takes its time with each
# mail, so that the number of connections says how fast a node is, and not the processors.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=3000
fast=15 slow=5 # connections: 75 mails a second, and 25

connections() {
	printf '%s\n' --set "postfix = relay_destination_concurrency_limit=$1" \
		--set "postfix = relay_initial_destination_concurrency=$1"
}

# ends: of each node its id, how many mails it sent, and the seconds from the first mail of all to its last one.
ends() {
	deliveries | awk '{
			count[$2]++
			if (first == "" || $1 < first) first = $1
			if ($1 > last[$2]) last[$2] = $1
		}
		END { for (node in count) printf "%s %d %.1f\n", node, count[node], (last[node] - first) / 1e6 }'
}

slow_sink 200
mapfile -t options < <(connections "$fast")
control up --nodes 2 --relay "$sink_address" --set "window = $((2 * fast))" "${options[@]}"
mapfile -t options < <(connections "$slow")
expect 'the slow node' n3 "$(control add "${options[@]}")"
meet n1 n2 n3
recipients even "$mails" 12000 # shards of about 65 mails, less than a second of a fast node
send n1 even
await 240 'all is sent' batch_is n1 even '.state == "done"'
check_batches n1 even
expect 'mails that came twice' 0 "$duplicates"
ends >"$work/ends"
for node in n1 n2 n3; do
	sed -n "s/^${id[$node]} \([0-9]*\) \(.*\)/$node sent \1 mails, the last one after \2 s/p" "$work/ends"
done
expect 'nodes that sent mail' 3 "$(wc -l <"$work/ends")"
expect_at_most 'per cent of the time between the first and the last node that was done' 10 \
	"$(awk '{ if (NR == 1 || $3 < least) least = $3; if ($3 > most) most = $3 } END { printf "%.1f", 100 * (most - least) / most }' "$work/ends")"
# It was slow indeed.
expect_at_most 'of 100 mails sent by the slow node' 25 "$(awk -v id="${id[n3]}" '{ all += $2; if ($1 == id) of = $2 }
	END { printf "%.0f", 100 * of / all }' "$work/ends")"
