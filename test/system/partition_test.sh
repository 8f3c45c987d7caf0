#!/bin/bash
# SPDX-License-Identifier: MIT
# The network is cut in two for 95 s, for so long that OpenDHT has dropped the nodes of the other half. Each half goes on with
# what a majority of it keeps, and takes a new batch where it has most of the batch's homes: of the two halves exactly one,
# and the other one says "try again". When the network is back nobody has to do anything: within 10 s every node shows all
# four and answers for every batch, nothing is lost, and what came twice was counted as in doubt. The nodes' links would hide
# a DHT that stays in two: at the same time the same is done to DHT nodes alone (test/unit/test_rendezvous_cut.c).
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=4000
window=40
away=95

everybody=(n1 n2 n3 n4)
four_up='[.[] | select(.[2] == "up")] | length == 4'
other_half_gone='[.[] | select(.[2] == "gone")] | length == 2'

# try NODE BATCH: sends it. The exit code is in $work/code.NODE.BATCH, the words beside it.
try() {
	local code=0
	send "$1" "$2" 2>"$work/words.$1.$2" || code=$?
	echo "$code" >"$work/code.$1.$2"
}
# took NODE BATCH: whether that was accepted. Who refuses says that it may be tried again, and why.
took() {
	local code words
	code=$(<"$work/code.$1.$2")
	words=$(<"$work/words.$1.$2")
	[ "$code" != 0 ] || return 0
	[ "$code" = 75 ] || fail "$1 refused $2 with $code: $words"
	[[ $words == *'too few nodes of the cluster answer now; try again'* ]] || fail "$1 refused $2: $words"
	return 1
}
# ask_both_halves BATCH...: for each of them, at the same time. Sets refused[NODE] to one that it refused and the other took.
ask_both_halves() {
	local batch node tries=()
	for batch in "$@"; do
		recipients "$batch" 20
		for node in n2 n4; do
			try "$node" "$batch" &
			tries+=($!)
		done
	done
	wait "${tries[@]}"
	for batch in "$@"; do
		if took n2 "$batch"; then
			! took n4 "$batch" || fail "both halves accepted $batch"
			refused[n4]=$batch
		else
			took n4 "$batch" || fail "no half accepts $batch: $(cat "$work"/words.*."$batch")"
			refused[n2]=$batch
		fi
	done
}

all_answer() {
	local node batch
	for node in "${everybody[@]}"; do
		for batch in "${batches[@]}"; do
			batch_is "$node" "$batch" ".unavailable == 0 and ($adds_up)" || return 1
		done
	done
}
healed() { same_picture "$four_up" "${everybody[@]}" && all_answer; }

# The same counts of the batch, whoever is asked.
agree() {
	local node
	for node in "${everybody[@]}"; do
		at "$node" status "$1" --json | jq -c '[.state, .sent, .in_doubt_resent, .duplicates]'
	done >"$work/counts"
	[ "$(sort -u "$work/counts" | wc -l)" = 1 ] && grep -q '^\["done"' "$work/counts"
}
all_agree() {
	local batch
	for batch in "${batches[@]}"; do
		await 120 "all say the same of $batch, and that it is done" agree "$batch"
	done
}

# shellcheck disable=SC2016 # for the inner shell
unshare --net sh -c 'ip link set lo up && exec "$0"' "$BUILD/test/unit/test_rendezvous_cut" >"$work/dht" 2>&1 &
dht=$!
slow_sink 400
control up --netns --nodes 4 --relay "$sink_address" --set "window = $window" --set 'doubt_hold = 20s' \
	--set 'min_backoff = 1s' --set 'max_backoff = 2s'
meet "${everybody[@]}"
recipients news "$mails" 6000 # shards of about 130 mails
batches=(news)
send n1 news
await 60 'some of it is sent' received_more $((mails / 10))

for a in n1 n2; do
	for b in n3 n4; do
		control cut "$a" "$b"
	done
done
cut=$SECONDS
slow_sink 6000 # so that there is something left when the network is back
for node in "${everybody[@]}"; do
	await 15 "$node sees the other half as gone" same_picture "$other_half_gone" "$node"
done
for node in "${everybody[@]}"; do
	batch_is "$node" news ".state == \"sending\" and .unavailable == 0 and ($adds_up)" >/dev/null ||
		fail "$node: $(at "$node" status news --json)"
done
echo "ok: each half shows the other one as gone, and answers for the batch, $((SECONDS - cut)) s after the cut"

# Which half has most homes of a batch is up to the ids. Until each was the one.
declare -A refused=()
for ((i = 1; ${#refused[@]} < 2 && SECONDS - cut < away; i += 4)); do
	more=("cut-$i" "cut-$((i + 1))" "cut-$((i + 2))" "cut-$((i + 3))")
	ask_both_halves "${more[@]}"
	batches+=("${more[@]}")
done
[ "${#refused[@]}" = 2 ] || fail "one half accepted each of $((i - 1)) batches"
echo "ok: of $((i - 1)) batches each was accepted by one half, and both accepted some, $((SECONDS - cut)) s after the cut"
# This time is what is tested, no condition says when it is over.
sleep $((SECONDS - cut < away ? away - (SECONDS - cut) : 0))
batch_is n1 news '.state == "sending"' >/dev/null || fail 'the batch is done: there was no load'
before=$(received)

# ---- the network is back
control heal
healing=$(now)
await 10 'all nodes show all nodes, and answer for all batches' healed
echo "ok: healed after $(seconds_since "$healing") s; the halves sent $before mails"
slow_sink 100
for node in n2 n4; do
	try "$node" "${refused[$node]}"
	took "$node" "${refused[$node]}" || fail "$node still refuses what the other half has accepted"
done
all_agree
slow_sink 400
recipients new 2000 6000
send n3 new
batches+=(new)
all_agree
check_batches n2 "${batches[@]}"
expect 'nodes that sent the new batch' 4 "$(at n4 report new --format jsonl | jq -r .node | sort -u | wc -l)"
expect_at_most 'mails resent in doubt' $((4 * window)) "$doubts"
expect_at_most 'mails that came twice, of those resent in doubt' "$doubts" "$duplicates"
wait "$dht" || fail "the DHT: $(<"$work/dht")"
echo "ok: $(grep 'one again' "$work/dht")"
