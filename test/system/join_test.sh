#!/bin/bash
# SPDX-License-Identifier: MIT
# Nodes come and go while a batch is being sent. One that joins gets shards of what is sent from then on, and a share of
# what waits elsewhere; all nodes soon show the same; nobody needs the node by which they joined; and one that comes back
# under another address is found again.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=5000
window=40

shows_it() { picture "$1" | jq -e "$2"; }
# note_when NODE FILTER: writes down when that node shows it.
note_when() {
	local end=$((SECONDS + 120))
	until shows_it "$1" "$2" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 0
		sleep 0.2
	done
	now >"$work/shown.$1"
}
# all_show WHAT FILTER "NODE..." COMMAND...: what the command changes is shown by all of them within 2 s of the first one.
all_show() {
	local what=$1 filter=$2 node nodes watchers=()
	read -r -a nodes <<<"$3"
	shift 3
	rm -f "$work"/shown.*
	for node in "${nodes[@]}"; do
		note_when "$node" "$filter" &
		watchers+=($!)
	done
	"$@" >/dev/null 2>&1
	wait "${watchers[@]}"
	[ "$(find "$work" -name 'shown.*' | wc -l)" = "${#nodes[@]}" ] ||
		fail "only $(find "$work" -name 'shown.*' -printf '%f ')showed $what"
	await 2 "the same picture with $what everywhere" same_picture "$filter" "${nodes[@]}"
	expect_at_most "seconds until all showed $what" 2 \
		"$(sort -n "$work"/shown.* | awk 'NR == 1 { first = $1 } { last = $1 } END { printf "%.1f", (last - first) / 1e6 }')"
}
is_state() { echo "any(.[]; .[0] == \"${id[$1]}\" and .[2] == \"$2\")"; }
four_up='[.[] | select(.[2] == "up")] | length == 4'

slow_sink 2000
control up --nodes 3 --relay "$sink_address" --set "window = $window" --set 'min_backoff = 1s' --set 'max_backoff = 2s'
meet n1 n2 n3

# ---- a fourth one
recipients old "$mails"
send n2 old
await 60 'some of it is sent' received_more $((mails / 20))
api[n4]=unix:$dir/n4/data/api.sock
all_show 'the fourth node' "$four_up" 'n1 n2 n3 n4' control add
meet n4
await 60 'n4 has some of what was waiting' sees n4 n4 '.owned > 0'
slow_sink 200
! batch_is n2 old '.state == "done"' >/dev/null || fail 'n4 came too late for the batch'
await 240 'the batch is done' batch_is n4 old '.state == "done"'
check_batches n4 old
expect 'mails that came twice' 0 "$duplicates"
share=$(jq -r .node "$work/report.jsonl" | grep -c "^${id[n4]}" || true)
echo "n4 sent $share mails that others had before"
[ "$share" -ge "$window" ] || fail "n4 sent only $share mails"

# ---- states, wherever they change
all_show 'that it drains' "$(is_state n4 draining)" 'n1 n2 n3 n4' at n2 drain "${address[n4]}"
all_show 'that it does not drain' "$(is_state n4 up)" 'n1 n2 n3 n4' at n3 undrain "${address[n4]}"

# ---- the node by which all of them joined is gone
all_show 'that the first node is gone' "$(is_state n1 gone)" 'n2 n3 n4' control kill n1
all_show 'that it is forgotten' 'length == 3' 'n2 n3 n4' at n2 forget "${address[n1]}"
api[n5]=unix:$dir/n5/data/api.sock
all_show 'the fifth node' "$four_up" 'n2 n3 n4 n5' control add
meet n5
recipients new 2000
send n2 new
await 2 'the fifth node has shards of a new batch' sees n5 n5 '.owned > 0'
await 240 'it is done' batch_is n4 new '.state == "done"'

# ---- another address
all_show 'that n3 is gone' "$(is_state n3 gone)" 'n2 n4 n5' control stop n3
new=127.0.0.1:$(unused_port)
[ "$new" != "${address[n3]}" ] || fail 'there is no other port'
echo "$new" >"$dir/n3/listen"
all_show 'the new address' "any(.[]; . == [\"${id[n3]}\", \"$new\", \"up\"])" 'n2 n3 n4 n5' control start n3
recipients last 2000
send n3 last
await 240 'it is done' batch_is n2 last '.state == "done"'
check_batches n5 old new last
expect 'mails that came twice in all' 0 "$duplicates"
expect 'nodes that sent the last batch' 4 "$(at n4 report last --format jsonl | jq -r .node | sort -u | wc -l)"
