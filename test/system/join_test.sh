#!/bin/bash
# SPDX-License-Identifier: MIT
# Nodes come and go while a batch is being sent. One that joins gets shards of what is sent from then on, and a share of
# what waits elsewhere; all nodes soon show the same; nobody needs the node by which they joined; and one that comes back
# under another address is found again.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=8000
window=40

# watch NODE: writes down what it shows, each time with the time at which it was asked, until it is told to stop.
watch() {
	local asked shown
	until [ -e "$work/enough" ]; do
		asked=${EPOCHREALTIME//[.,]/}
		if shown=$(at "$1" nodes --json 2>/dev/null); then
			echo "{\"asked\":$asked,\"shown\":$shown}" >>"$work/shown.$1"
		fi
		sleep 0.1
	done
}
# all_show WHAT FILTER "NODE..." COMMAND...: what the command changes is the same everywhere in the end. Sets began.
all_show() {
	local what=$1 filter=$2 node nodes watchers=()
	read -r -a nodes <<<"$3"
	shift 3
	rm -f "$work"/shown.* "$work/enough"
	for node in "${nodes[@]}"; do
		watch "$node" &
		watchers+=($!)
	done
	began=$(now)
	"$@" >/dev/null 2>&1 || fail "$* ends with $?"
	await 60 "the same picture with $what everywhere" same_picture "$filter" "${nodes[@]}"
	sleep 0.3
	touch "$work/enough"
	wait "${watchers[@]}"
	for node in "${nodes[@]}"; do
		[ "$(jq -c ".shown | $picture_of" "$work/shown.$node" | tail -n 1)" = "$(picture "${nodes[0]}")" ] ||
			fail "$node shows something else than ${nodes[0]} after all: $(tail -n 1 "$work/shown.$node")"
	done
}
# soon WHAT CHANGED [PART]: of those that were watched last, nobody who was asked more than 2 s after that time (UTC
# microseconds) showed something else than what they all show in the end. PART is a filter for the part of the picture that is
# looked at. The time of the question counts, since an answer may be slow to arrive on a busy machine.
soon() {
	local file last=$2 asked
	[ -n "$2" ] || fail "nobody has noted when there was $1"
	for file in "$work"/shown.*; do
		asked=$(jq -s "map(.picture = (.shown | $picture_of | ${3:-.})) | last.picture as \$final |
			map(select(.picture != \$final).asked) | last // 0" "$file")
		[ "$asked" -le "$last" ] || last=$asked
	done
	expect_at_most "seconds for which one that was asked did not show $1" 2 "$(seconds_between "$2" "$last")"
}
# parted NODE OTHER...: when the first of the others lost its link to it.
parted() {
	local node=$1 other
	shift
	for other in "$@"; do
		first_log_time "$other" "$began" " event=link_down node=${id[$node]} "
	done | sort -n | head -n 1
}
but_postfix='map(.[:5])'
# joins_and_gets NODE: it joins, and a batch is sent less than 2 s after it is complete. That is when its Postfix is up: until
# then it only keeps copies. Of ten shards four nodes own at most three each, so it is given one. Nothing is sent of them: a
# node with nothing to do takes no shard of a scheduled batch, so it owns what it was given. Sets complete, given.
joins_and_gets() {
	local adding
	control add &
	adding=$!
	wait_for 60 says_up "$1" || return 1
	complete=$(first_log_time "$1" "$began" "$postfix_up")
	recipients early 5000
	wait_for 5 is_past $((complete + 1500000)) || return 1
	given=$(now)
	send n2 early --at +1h || return 1
	wait "$adding"
}
postfix_up=' event=postfix_up '
says_up() { grep -q "$postfix_up" "$dir/$1/log"; }
is_past() { [ "$(now)" -gt "$1" ]; }
is_state() { echo "any(.[]; .[0] == \"${id[$1]}\" and .[2] == \"$2\")"; }
four_up='[.[] | select(.[2] == "up")] | length == 4'

slow_sink 2000
control up --nodes 3 --relay "$sink_address" --set "window = $window" --set 'min_backoff = 1s' --set 'max_backoff = 2s' \
	--set 'replace_after = 5s'
meet n1 n2 n3

# ---- a fourth one
recipients old "$mails"
send n2 old
await 60 'some of it is sent' received_more 250
ready=$(batch_field n2 old ready)
api[n4]=unix:$dir/n4/data/api.sock
all_show 'the fourth node' "$four_up" 'n1 n2 n3 n4' control add
meet n4
soon 'the fourth node' "$(first_log_time n4 "$began" ' event=link_up ')" "$but_postfix"
soon 'that its Postfix is up' "$(first_log_time n4 "$began" "$postfix_up")"
await 60 'n4 has some of what was waiting' sees n4 n4 '.owned > 0'
slow_sink 200
! batch_is n2 old '.state == "done"' >/dev/null || fail 'n4 came too late for the batch'
await 240 'the batch is done' batch_is n4 old '.state == "done"'
check_batches n4 old
expect 'mails that came twice' 0 "$duplicates"
share=$(jq -r .node "$work/report.jsonl" | grep -c "^${id[n4]}" || true)
# A quarter would be fair, less what the others sent until its Postfix was up; and whole shards move, of up to 500 mails.
expect_at_least "mails of $ready that had waited elsewhere when n4 joined, and that it sent" $((ready * 15 / 100)) "$share"

# ---- states, wherever they change
# Paused before it starts, so that it stays unfinished and nothing is sent of it.
recipients kept 10000
send n3 kept --at +3s
kept_at=$(now)
at n4 pause kept 2>/dev/null
# And one whose time has not come.
recipients planned 10000
send n2 planned --at +1h
all_show 'that it drains' "$(is_state n4 draining)" 'n1 n2 n3 n4' at n2 drain "${address[n4]}"
soon 'that it drains' "$began"
await 30 'it has given away what it owned' sees n4 n4 '.owned == 0'
all_show 'that it does not drain' "$(is_state n4 up)" 'n1 n2 n3 n4' at n3 undrain "${address[n4]}"
soon 'that it does not drain' "$began"

# ---- the node by which all of them joined is gone
await 10 'the paused batch would have started' is_past $((kept_at + 4000000))
batch_is n4 kept '.state == "paused" and .ready == .total and .replicas == 3' >/dev/null || fail "$(at n4 status kept --json)"
expect_at_least 'shards that the first node keeps' 1 "$(shows n1 n1 replicas)"
all_show 'that the first node is gone' "$(is_state n1 gone)" 'n2 n3 n4' control kill n1
# Its links are reset and its port refuses: after a second it counts as gone.
killed=$(parted n1 n2 n3 n4)
soon 'that the first node is gone' $((killed + 1000000))
for batch in kept planned; do
	for node in n2 n3 n4; do
		await 60 "as many nodes keep each shard of $batch as before" batch_is "$node" "$batch" '.replicas == 3'
	done
	expect_at_most "seconds until each shard of $batch is on three nodes again" 60 "$(seconds_since "$began")"
	at n2 cancel "$batch" 2>/dev/null
done
all_show 'that it is forgotten' 'length == 3' 'n2 n3 n4' at n2 forget "${address[n1]}"
soon 'that it is forgotten' "$began"
api[n5]=unix:$dir/n5/data/api.sock
all_show 'the fifth node' "$four_up" 'n2 n3 n4 n5' joins_and_gets n5
meet n5
soon 'the fifth node' "$(first_log_time n5 "$began" ' event=link_up ')" "$but_postfix"
soon 'that its Postfix is up' "$(first_log_time n5 "$began" "$postfix_up")"
echo "a batch that was sent $(seconds_between "$complete" "$given") s after its Postfix was up:"
expect_at_least 'shards of ten that the fifth node owns' 1 "$(shows n5 n5 owned)"
at n3 cancel early 2>/dev/null
await 30 'no shard is left of what was cancelled' sees n5 n5 '.owned == 0'
recipients new 2000
send n2 new
await 2 'the fifth node has shards of a new batch' sees n5 n5 '.owned > 0'
await 240 'it is done' batch_is n4 new '.state == "done"'

# ---- another address
all_show 'that n3 is gone' "$(is_state n3 gone)" 'n2 n4 n5' control stop n3
# It leaves when it has ended what its Postfix had: its links are closed.
soon 'that n3 is gone' "$(parted n3 n2 n4 n5)"
new=127.0.0.1:$(unused_port)
[ "$new" != "${address[n3]}" ] || fail 'there is no other port'
echo "$new" >"$dir/n3/listen"
all_show 'the new address' "any(.[]; .[:3] == [\"${id[n3]}\", \"$new\", \"up\"])" 'n2 n3 n4 n5' control start n3
soon 'the new address' "$(first_log_time n3 "$began" ' event=link_up ')" "$but_postfix"
soon 'that its Postfix is up' "$(first_log_time n3 "$began" "$postfix_up")"
recipients last 2000
send n3 last
await 240 'it is done' batch_is n2 last '.state == "done"'
check_batches n5 old new last
expect 'mails that came twice in all' 0 "$duplicates"
expect 'nodes that sent the last batch' 4 "$(at n4 report last --format jsonl | jq -r .node | sort -u | wc -l)"

# ---- equal shares: a quarter, three in a hundred more or less
recipients many 100000
send n4 many --at +1h
shards=0
for node in n2 n3 n4 n5; do
	owned=$(shows "$node" "$node" owned)
	shards=$((shards + owned))
	expect_at_least "of 200 shards $node owns" 44 "$owned"
	expect_at_most "of 200 shards $node owns" 56 "$owned"
done
expect 'shards that have an owner' 200 "$shards"
