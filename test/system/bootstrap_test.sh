#!/bin/bash
# SPDX-License-Identifier: MIT
# Nodes find each other by themselves, whoever comes first and wherever it is: a node waits for the one that it is to join by;
# any member will do; addresses may change, also that of the node by which all joined, and what the others were once told
# about it need not be true any more.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

limit=20

up_at() { echo "any(.[]; .[:3] == [\"${id[$1]}\", \"$(<"$dir/$1/listen")\", \"up\"])"; }
# all_see WHAT "NODE..." COMMAND...: so soon after the command began each of them shows all of them, where they are then, and
# nobody else. A node's start is in this time.
all_see() {
	local what=$1 since node nodes filter
	read -r -a nodes <<<"$2"
	shift 2
	since=$(now)
	"$@" >/dev/null
	meet "${nodes[@]}"
	filter="length == ${#nodes[@]}"
	for node in "${nodes[@]}"; do filter+=" and $(up_at "$node")"; done
	await "$limit" "$what: the same picture everywhere" same_picture "$filter" "${nodes[@]}"
	expect_at_most "seconds until all saw all: $what" "$limit" "$(seconds_since "$since")"
}
# run_again NODE: the optimusd that was killed alone, with the very arguments that it had.
run_again() { echo start >"$dir/$1/control"; }
# moves NODE: to another address.
moves() {
	local new
	new=127.0.0.1:$(unused_port)
	[ "$new" != "$(<"$dir/$1/listen")" ] || fail 'there is no other port'
	echo "$new" >"$dir/$1/listen"
}
# accepts NODE BATCH
accepts() { send "$1" "$2" 2>"$work/words"; }
# takes_a_batch NODE: and it is sent.
takes_a_batch() {
	batch=$1-$((${batch##*-} + 1))
	recipients "$batch" 40
	await "$limit" "$1 accepts $batch" accepts "$1" "$batch"
	await 60 "$batch is done" batch_is "$1" "$batch" '.state == "done"'
	batches+=("$batch")
}
batch=-0
batches=()

slow_sink 0
control up --nodes 1 --relay "$sink_address"

# ---- the bootstrap peer comes late, and knows nobody by itself
control kill n1 --only optimusd
control add --via n1 >/dev/null
meet n2
recipients early 40
code=0
patience=3 accepts n2 early || code=$?
expect 'exit code of a client that still waits, as n2 does not know what others have decided' 124 "$code"
all_see 'the bootstrap peer came late' 'n1 n2' run_again n1
takes_a_batch n2

# ---- any member will do
all_see 'n3 joined by n2' 'n1 n2 n3' control add --via n2
all_see 'n4 joined by n3' 'n1 n2 n3 n4' control add --via n3
takes_a_batch n4

# ---- the same address, after a death
control kill n3
all_see 'n3 came back, and was told of nobody' 'n1 n2 n3 n4' control start n3 --via none

# ---- another address, of the first node
control stop n1
moves n1
all_see 'the first node moved, and was told of nobody' 'n1 n2 n3 n4' control start n1 --via none
control kill n2 --only optimusd
all_see 'n2 came back, and was told of an address that is not there any more' 'n1 n2 n3 n4' run_again n2
takes_a_batch n2

# ---- all were away, two have moved, and the one that they would join by comes last
stops=()
for node in n1 n2 n3 n4; do
	control stop "$node" &
	stops+=($!)
done
wait "${stops[@]}"
moves n2
moves n4
for node in n4 n3 n2; do control start "$node" --via n1; done
all_see 'all were away' 'n1 n2 n3 n4' control start n1 --via n1
takes_a_batch n3

check_batches n4 "${batches[@]}"
expect 'mails that came twice' 0 "$duplicates"
