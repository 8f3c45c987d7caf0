#!/bin/bash
# SPDX-License-Identifier: MIT
# While three nodes send a batch, the peer port of one of them is attacked: by a stranger with noise, another version, half
# handshakes, recorded ones of the real nodes, connections that say nothing and more of them than a source may have; by a whole
# node that has the key of another cluster; and by somebody who has the key, and sends what no node sends. The node counts
# each of them under its cause, has one line of the log for each cause, and says nothing; the links between the nodes
# notice nothing of it, and every mail goes out once.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=6000
minute=60 # after which a cause is logged again
stranger=$(dirname "$0")/stranger.py
insider=$BUILD/test/system/insider

links() { curl -sS --fail --unix-socket "${api[n1]#unix:}" http://localhost/v1/links; }
ended() { links | jq ".ended.$1"; }
ended_more() { [ "$(ended "$1")" -ge "$2" ]; }
all_up() { same_picture 'length == 3 and all(.[]; .[2] == "up")' n1 n2 n3; }
# lines NODE PATTERN: of its log, since the attack began.
lines() { tail -n "+$((log_at[$1] + 1))" "$dir/$1/log" | grep -cE "$2" || true; }

mkdir "$work/recorded"
"$stranger" listen "$work/recorded" &
listens=$!
await 10 'the stranger listens' test -e "$work/recorded/listening"
slow_sink 400
control up --nodes 3 --relay "$sink_address" --set 'window = 40'
kill -KILL "$listens"
wait "$listens" 2>/dev/null || true
meet n1 n2 n3
await 20 'all are up' all_up
recipients news "$mails"
send n2 news
await 60 'some of it is sent' received_more $((mails / 50))
declare -A log_at before
for node in n1 n2 n3; do log_at[$node]=$(wc -l <"$dir/$node/log"); done
causes='version foreign cut slow crowded malformed oversized damaged'
for cause in $causes wrong_node signature reset; do before[$cause]=$(ended "$cause"); done
began=$SECONDS

# ---- all at once
"$stranger" attack "${address[n1]##*:}" "$work/recorded" >"$work/attacks" 2>"$work/words" &
attack=$!
mkdir "$work/other"
(umask 077 && "$BUILD/daemon/optimus" keygen >"$work/other/key")
printf '%s\n' "relay = $sink_address" "libexec = $dir/libexec" >"$work/other/conf"
"$BUILD/daemon/optimusd" --data "$work/other/data" --listen "127.0.0.1:$(unused_port)" --key "$work/other/key" \
	--config "$work/other/conf" --bootstrap "${address[n1]}" 2>"$work/other/log" &
other=$!
for i in 1 2 3; do
	for how in nested long frame flipped; do
		code=0
		"$insider" "${address[n1]}" "$dir/key" "$how" 2>"$work/words.insider" || code=$?
		expect "that the link of a member who sends what is $how is closed ($i)" '0 ' "$code $(<"$work/words.insider")"
	done
done
wait "$attack" || fail "the stranger: $(<"$work/words")"
declare -A made
while IFS='=' read -r kind count; do made[$kind]=$count; done <"$work/attacks"
expect_at_least 'replayed handshakes' 3 "${made[replayed]}"
known=$((before[foreign] + made[replayed] + made[altered] + made[noise]))
await 30 'the node with another key was turned away three times' ended_more foreign $((known + 3))
expect 'links of the node with another key' 0 "$(grep -c ' event=link_up ' "$work/other/log" || true)"
expect 'lines of its log about what it tried' 1 "$(grep -c ' event=link_ended why=cut ' "$work/other/log" || true)"
stop_pid "$other" 30

# ---- what is seen of it
counted() { echo $(($(ended "$1") - before[$1])); }
expect 'version' "${made[version]}" "$(counted version)"
expect 'cut' "${made[cut]}" "$(counted cut)"
expect 'crowded, of 40 where 32 may be' $((made[half_open] - 32)) "$(counted crowded)"
expect 'slow' $((made[silent] + 32)) "$(counted slow)"
expect 'malformed' 3 "$(counted malformed)"
expect 'oversized' 6 "$(counted oversized)"
expect 'damaged' 3 "$(counted damaged)"
expect_at_least 'foreign' $((known - before[foreign] + 3)) "$(counted foreign)"
for cause in wrong_node signature reset; do expect "$cause" 0 "$(counted "$cause")"; done
expect 'half-open connections' 0 "$(links | jq .half_open)"
expect 'links' 2 "$(links | jq .up)"
took=$((SECONDS - began))
for cause in $causes; do
	expect_at_least "lines of the log: $cause" 1 "$(lines n1 " event=link_ended why=$cause ")"
	expect_at_most "lines of the log in $took s: $cause" $((1 + took / minute)) "$(lines n1 " event=link_ended why=$cause ")"
done
batch_is n1 news '.state == "sending"' >/dev/null || fail 'the batch is done: there was no load'
all_up || fail 'not all are up'
for node in n1 n2 n3; do
	for peer in n1 n2 n3; do
		expect "lines in which $node lost or doubted $peer" 0 \
			"$(lines "$node" " event=(link_down node|node_suspect id|node_gone id)=${id[$peer]}( |$)")"
	done
done
expect 'members' 3 "$(at n1 nodes --json | jq '.nodes | length')"
slow_sink 0
await 120 'the batch is done' batch_is n3 news '.state == "done"'
check_batches n1 news
# And whoever has the key finds the batch's entry in the DHT, at its key: put there by the nodes that keep it.
"$BUILD/test/system/entry" "${address[n2]}" "$dir/key" news >"$work/homes" || fail 'there is no entry of the batch in the DHT'
expect 'homes in the entry' "$(printf '%s\n' "${id[@]}" | sort | tr '\n' ' ')" "$(sort "$work/homes" | tr '\n' ' ')"
expect 'mails that came twice' 0 "$duplicates"
expect 'mails resent in doubt' 0 "$doubts"
