#!/bin/bash
# SPDX-License-Identifier: MIT
# The optimusd of a node stands still while its Postfix lives on, for so long that the others send again what it had. When
# it goes on, Postfix is stopped before it is answered: of its old queue nothing goes out once more, and no mail comes twice
# but those that its delivery agents had on the wire.
#
#   rejoin_test.sh works   it works on, with its Postfix started anew
#   rejoin_test.sh stops   SIGTERM has come meanwhile: it ends in order, and is started again
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=1500
window=200
agents=10

optimusd_pid() { control status | sed -n "s/^$1 .* pid=//p"; }
queue_is_full() { [ "$(find "$dir/n1/data/postfix/spool/active" -type f | wc -l)" -gt $((window / 2)) ]; }
said() { [ "$(grep -c " event=$2" "$dir/$1/log")" -ge "$3" ]; }

slow_sink 300
control up --nodes 3 --relay "$sink_address" --set "window = $window" --set 'doubt_hold = 8s' --set 'min_backoff = 1s' \
	--set "postfix = relay_destination_concurrency_limit=$agents" \
	--set "postfix = relay_initial_destination_concurrency=$agents"
meet n1 n2 n3
recipients news "$mails" 6000
send n1 news
await 60 'the queue of n1 is full' queue_is_full
pid=$(optimusd_pid n1)
kill -STOP "$pid"
await 240 'the others have sent all' batch_is n2 news '.state == "done"'
before=$(received)
if [ "$1" = stops ]; then
	kill -TERM "$pid"
	kill -CONT "$pid"
	await 60 'n1 has ended' said n1 node_ended 1
	[ "$(control status | sed -n 's/^n1 .* pid=//p')" = 0 ] || fail 'n1 runs'
	expect 'Postfix left running' 0 "$(grep -c ' event=postfix_not_stopped ' "$dir/n1/log" || true)"
	after=$(received)
	control start n1
	meet n1
else
	kill -CONT "$pid"
	await 60 'Postfix of n1 rests' said n1 postfix_rests 1
fi
await 60 'it is up again' said n1 postfix_up 2
await 60 'n1 knows that all is done' batch_is n1 news '.state == "done" and .claimed == 0'
check_batches n2 news
echo "received before n1 went on: $before, ${after:+when it had ended: $after, }then: $(received)"
expect_at_most 'mails that came after n1 went on' 0 "$(($(received) - before))"
expect_at_most 'mails that came twice' "$agents" "$duplicates"
expect_at_most 'mails that came twice, of those resent in doubt' "$doubts" "$duplicates"
