#!/bin/bash
# SPDX-License-Identifier: MIT
# Nodes come and go while a batch is being sent. One that joins gets shards of what is sent from then on, and a share of
# what waits elsewhere; all nodes soon show the same; nobody needs the node by which they joined; and one that comes back
# under another address is found again.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=5000
window=40

# all_show SECONDS WHAT FILTER NODE...: from the first node that shows it to the last one.
all_show() {
	local seconds=$1 what=$2 filter=$3 first node
	shift 3
	until any_shows "$filter" "$@"; do sleep 0.02; done
	first=$(now)
	await 20 "all show $what" same_picture "$filter" "$@"
	expect_at_most "seconds until all showed $what" "$seconds" "$(seconds_since "$first")"
}
any_shows() {
	local filter=$1 node
	shift
	for node in "$@"; do
		! picture "$node" | jq -e "$filter" >/dev/null || return 0
	done
	return 1
}
is_state() { echo "any(.[]; .[0] == \"${id[$1]}\" and .[2] == \"$2\")"; }

slow_sink 400
control up --nodes 3 --relay "$sink_address" --set "window = $window" --set 'min_backoff = 1s' --set 'max_backoff = 2s'
meet n1 n2 n3

# ---- a fourth one
recipients old "$mails"
send n2 old
await 60 'some of it is sent' received_more $((mails / 10))
control add >"$work/name" &
adding=$!
until [ -e "$dir/n4/data/api.sock" ]; do sleep 0.02; done
meet n4
all_show 2 'the fourth node' "length == 4 and $(is_state n4 up)" n1 n2 n3 n4
await 20 'its Postfix is up' sees n1 n4 '.postfix == "up"'
recipients new 2000
send n1 new
await 2 'n4 has shards of a new batch' sees n4 n4 '.owned > 0'
wait "$adding"
expect 'name of the new node' n4 "$(<"$work/name")"

# ---- states, wherever they change
at n2 drain "${address[n4]}" 2>/dev/null
all_show 2 'that it drains' "$(is_state n4 draining)" n1 n2 n3 n4
at n3 undrain "${address[n4]}" 2>/dev/null
all_show 2 'that it does not drain' "$(is_state n4 up)" n1 n2 n3 n4
for batch in old new; do
	await 240 "$batch is done" batch_is n4 "$batch" '.state == "done"'
done
check_batches n4 old new
expect 'mails that came twice' 0 "$duplicates"
for batch in old new; do
	at n1 report "$batch" --format jsonl >"$work/shares"
	share=$(jq -r .node "$work/shares" | grep -c "^${id[n4]}" || true)
	echo "n4 sent $share mails of $batch"
	[ "$share" -ge 100 ] || fail "n4 sent only $share mails of $batch"
done

# ---- the node by which all of them joined is gone
control kill n1
all_show 2 'that the first node is gone' "$(is_state n1 gone)" n2 n3 n4
at n2 forget "${address[n1]}" 2>/dev/null
[ "$(control add)" = n5 ] || fail 'the fifth node is not n5'
meet n5
all_show 2 'the fifth node' "length == 4 and $(is_state n5 up)" n2 n3 n4 n5

# ---- another address
control stop n3
all_show 2 'that n3 is gone' "$(is_state n3 gone)" n2 n4 n5
old=${address[n3]}
echo "127.0.0.1:$(unused_port)" >"$dir/n3/listen"
control start n3
meet n3
[ "${address[n3]}" != "$old" ] || fail 'n3 has its old address'
all_show 2 'the new address' "length == 4 and any(.[]; . == [\"${id[n3]}\", \"${address[n3]}\", \"up\"])" n2 n3 n4 n5
recipients last 2000
send n3 last
await 240 'last is done' batch_is n2 last '.state == "done"'
check_batches n5 old new last
expect 'mails that came twice in all' 0 "$duplicates"
at n4 report last --format jsonl | jq -r .node | sort | uniq -c | sort -rn
expect 'nodes that sent the last batch' 4 "$(at n4 report last --format jsonl | jq -r .node | sort -u | wc -l)"
