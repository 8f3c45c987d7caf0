#!/bin/bash
# SPDX-License-Identifier: MIT
# An operator's commands hold, on a whole node, also when optimusd is killed right after the answer: a paused batch
# and a draining node send nothing while others go on, a cancelled batch ends by itself, and in the end the report
# is what the receiving server has.
. "$(dirname "$0")/lib.sh"

half=3000

# Killed without a word, and started again over what is there.
restart() {
	kill -KILL "$node_pid"
	wait "$node_pid" 2>/dev/null || true
	node_start
	await 30 'Postfix is up' postfix_is up
}
received() { grep -c "@$1" "$work/ledger" || true; }
nothing_in_postfix() { [ "$(batch_field "$1" claimed)" = 0 ]; }
finished() { [ "$(batch_field "$1" finished)" != null ]; }
# A batch of its own goes through: the node feeds, so what stands still does so because it was told to.
passer_by() {
	recipients 20 passer.test >"$work/passer.csv"
	"$optimus" send --from a@example.com --template "$work/t.eml" --recipients "$work/passer.csv" --id "$1" >/dev/null
	await 60 "$1 is sent past it" batch_is "$1" done
}

echo 'domain slow.test delay-data 20ms' >"$work/rules"
sink_start --rules "$work/rules"
node_start
await 30 'Postfix is up' postfix_is up
recipients "$half" slow.test >"$work/rcpt.csv"

send news >/dev/null
await 60 'some mails are sent' batch_has news sent 20
"$optimus" pause news 2>/dev/null
restart
expect 'state after pause and kill' paused "$(batch_field news state)"
await 60 'what Postfix had is reported' nothing_in_postfix news
sent=$(batch_field news sent)
expect_at_most 'sent when it was paused' $((half - 1)) "$sent"
passer_by passer1
expect 'sent while paused' "$sent" "$(batch_field news sent)"
"$optimus" resume news 2>/dev/null
await 60 'it goes on' batch_has news sent $((sent + 20))
"$optimus" cancel news 2>/dev/null
restart
await 60 'the cancelled batch has ended' finished news
expect 'state after cancel and kill' cancelled "$(batch_field news state)"
sent=$(batch_field news sent)
expect 'every mail is sent, cancelled or unknown' "$half" \
	$((sent + $(batch_field news cancelled) + $(batch_field news unknown)))
expect_at_most 'sent in all' $((half - 1)) "$sent"
passer_by passer2
expect 'received of the cancelled batch' "$sent" "$(received slow.test)"
! "$optimus" resume news 2>/dev/null || fail 'a cancelled batch was resumed'

"$optimus" drain 2>/dev/null
restart
expect 'state of the node after drain and kill' draining "$("$optimus" nodes --json | jq -r '.nodes[0].state')"
recipients 20 drained.test >"$work/drained.csv"
"$optimus" send --from a@example.com --template "$work/t.eml" --recipients "$work/drained.csv" --id waits >/dev/null
"$optimus" cancel waits 2>/dev/null
await 30 'a draining node still cancels' finished waits
expect 'mails that the draining node kept back' 20 "$(batch_field waits cancelled)"
"$optimus" send --from a@example.com --template "$work/t.eml" --recipients "$work/drained.csv" --id waits2 >/dev/null
expect 'received while draining' 0 "$(received drained.test)"
"$optimus" undrain 2>/dev/null
await 30 'it goes out when the node is undrained' batch_is waits2 done
expect 'received of it' 20 "$(received drained.test)"
