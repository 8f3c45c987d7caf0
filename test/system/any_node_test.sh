#!/bin/bash
# SPDX-License-Identifier: MIT
# Whichever node is asked: it shows all nodes, answers for batches of which it has nothing, passes commands on, knows a batch
# that was sent to another one, and says what no live node can tell.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=8000

# report NODE BATCH: into $work/report, its words into $work/words. Returns its exit code.
report() { at "$1" report "$2" >"$work/report" 2>"$work/words"; }
# is_whole: the report that was fetched has all recipients, in order.
is_whole() { cut -d, -f1 "$work/report" | cmp -s - <(cut -d, -f1 "$work/one.csv"); }
# submit NODE BATCH: the same recipients for all, and nothing is sent of it.
submit() {
	[ -e "$work/$2.csv" ] || ln -s one.csv "$work/$2.csv"
	send "$1" "$2" --at +1h --replicas 2
}

slow_sink 200
recipients one "$mails"
control up --nodes 3 --relay "$sink_address" --set 'window = 40' --set 'doubt_hold = 5s' --set 'min_backoff = 1s'
meet n1 n2 n3
# Several: what they are sent through must not get stuck, whoever stores the shards.
for batch in one two three four five; do
	for node in n1 n2 n3; do submit "$node" "$batch-$node" || fail "$batch could not be sent to $node"; done
done
submit n1 one
[ "$(control add)" = n4 ] || fail 'the added node is not n4'
meet n4

for node in n1 n2 n3 n4; do
	[ "$(at "$node" nodes --json | jq '.nodes | length')" = 4 ] || fail "$node does not see four nodes"
	batch_is "$node" one ".state == \"scheduled\" and .ready == $mails and .replicas == 2 and ($adds_up)" >/dev/null ||
		fail "$node: $(at "$node" status one --json)"
	report "$node" one || fail "$node: the report ends with $?: $(<"$work/words")"
	is_whole || fail "$node: the report is not all recipients in order"
done
for node in n1 n2 n3 n4; do
	at "$node" status --json | jq -e "(.batches | length) > 0 and all(.batches[]; .ready == $mails and ($adds_up))" >/dev/null ||
		fail "$node: a list with other counts than the batches have"
done
code=0
at n4 status none 2>/dev/null || code=$?
[ "$code" = 66 ] || fail "a batch that is not there: exit code $code"
echo 'ok: any node answers for any batch'

# ---- a batch that comes again, elsewhere
time_given=$(date -u -d '+1 hour' +%FT%TZ)
recipients same 500
send n1 same --at "$time_given"
created=$(batch_field n1 same created)
# sent_same NODE TIME WANTED: it is sent to that node, which may say "try again" for a while, and then has to say that.
sent_same() {
	local code=75 end=$((SECONDS + 30))
	while [ "$code" = 75 ] && [ "$SECONDS" -lt "$end" ]; do
		code=0
		send "$1" same --at "$2" 2>"$work/words" || code=$?
	done
	[ "$code" = "$3" ] || fail "a batch of the same id at $1: exit code $code, not $3: $(<"$work/words")"
}
sent_same n4 "$time_given" 0
sent_same n2 "$(date -u -d '+2 hours' +%FT%TZ)" 73
recipients same 501
sent_same n3 "$time_given" 73
recipients same 500
sed -i '500s/Reader/Writer/' "$work/same.csv"
sent_same n4 "$time_given" 73
for node in n1 n2 n3 n4; do
	batch_is "$node" same ".total == 500 and .ready == 500 and .created == \"$created\"" >/dev/null ||
		fail "$node: $(at "$node" status same --json)"
done
echo 'ok: the same batch again is the same, another one of its id is refused, at any node'

at n4 pause one 2>/dev/null
batch_is n1 one '.state == "paused"' >/dev/null || fail 'n1 does not know of the pause'
at n4 resume one 2>/dev/null
at n2 drain "${address[n3]}" 2>/dev/null
await 10 'n4 sees that n3 is draining' sees n4 n3 '.state == "draining"'
at n1 undrain "${address[n3]}" 2>/dev/null
await 10 'n4 sees that n3 is up' sees n4 n3 '.state == "up"'
code=0
at n1 forget "${address[n3]}" 2>/dev/null || code=$?
[ "$code" = 65 ] || fail "a live node was to be forgotten: exit code $code"
echo 'ok: any node passes commands on'

# Of two replicas on three nodes, some shards had both of theirs on n2 and n3.
control kill n2
control kill n3
await 20 'n1 sees that n2 is gone' sees n1 n2 '.state == "gone"'
await 20 'n1 sees that n3 is gone' sees n1 n3 '.state == "gone"'
batch_is n1 one ".unavailable > 0 and .unavailable < $mails and ($adds_up)" >/dev/null || fail "$(at n1 status one --json)"
lost=$(at n1 status one --json | jq .unavailable)
for node in n1 n4; do
	code=0
	report "$node" one || code=$?
	[ "$code" = 75 ] || fail "$node: a report with holes ends with $code"
	grep -q "($lost mails) are on no node that answers; the report is not complete" "$work/words" || fail "$node: $(<"$work/words")"
	[ "$(wc -l <"$work/report")" = $((mails + 1 - lost)) ] || fail "$node: $(wc -l <"$work/report") lines without $lost"
done
if curl -sS --unix-socket "${api[n1]#unix:}" http://localhost/v1/batches/one/report >/dev/null 2>&1; then
	fail 'a client without trailers takes a report with holes for whole'
fi
control start n2
control start n3
await 30 'all mails are available' batch_is n4 one ".unavailable == 0 and .ready == $mails"
report n4 one || fail "the report ends with $? when all are back: $(<"$work/words")"
is_whole || fail 'the report is not whole when all are back'
echo 'ok: what no live node can tell is said to be missing, and is back with its nodes'

at n3 cancel one 2>/dev/null
await 30 'the batch is cancelled' batch_is n4 one ".state == \"cancelled\" and .cancelled == $mails"
control kill n3
await 20 'n1 sees that n3 is gone' sees n1 n3 '.state == "gone"'
at n1 forget "${address[n3]}" 2>/dev/null
[ "$(at n1 nodes --json | jq '.nodes | length')" = 3 ] || fail 'a forgotten node is shown'
echo 'ok: a dead node is forgotten'
