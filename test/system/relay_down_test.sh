#!/bin/bash
# SPDX-License-Identifier: MIT
# A relay that is down is asked after seldom, with one mail, however many domains are behind it; what does not go through
# it goes on; and when it is back that is known within a minute, and everything is sent at once.
. "$(dirname "$0")/lib.sh"

mails=2000 routed=400 window=1000

# What stays up is the server of a route; the relay's port is closed until the second one listens on it.
sink_start --listen 127.0.0.1:0
port=$(sed -n 's/^listening .*://p' "$work/sink.out" | sed -n 2p)
kill "$sink_pid"
wait "$sink_pid" || true
rm "$work/sink.out"
sink_start
relay=127.0.0.1:$port
extra_settings="relay = $relay
route = alive.test=$sink_address
window = $window
domain_hold = 5s
min_backoff = 1h
max_backoff = 1h"
node_start
await 30 'Postfix is up' postfix_is up

# Each of them has a claim. A real attempt ends a mail's turn for an hour; what came back untried is ready again.
claims() { grep -c 'cleanup.*message-id=' "$work/d/postfix/log/maillog" || true; }
claimed_more() { [ "$(claims)" -ge "$1" ]; }
none_in_flight() { [ "$("$optimus" nodes --json | jq '.nodes[0].in_flight')" = 0 ]; }
first_arrived() { [ -s "$work/ledger.relay" ]; }
sent_but() { batch_has down sent $((mails + routed - $1)); }

# shellcheck disable=SC2046
{
	recipients "$mails" $(seq -f 'domain%.0f.test' 500)
	recipients "$routed" alive.test | tail -n +2
} >"$work/rcpt.csv"
send down >/dev/null
await 60 'what does not go through the relay is sent' batch_has down sent "$routed"
await 60 'the others came back' none_in_flight
first=$(claims)
from=$SECONDS
await 90 'the relay was asked after three times' claimed_more $((first + 3))
say "after $first claims three more in $((SECONDS - from)) s"
expect_at_most 'claims before the relay counts as down' $((routed + window + 500)) "$first"
# Rests of 10 s and 20 s at least are between them.
[ $((SECONDS - from)) -ge 29 ] || fail 'the relay was asked after too often'
last=$(claims)
expect_at_most 'claims while it was down' $((first + 5)) "$last"
deferred=$(batch_field down retry)
expect_at_most 'attempts that reached no relay' 500 "$deferred"

# It is back. Those with a real attempt behind them wait for their retry, an hour from then.
"$sink" --listen "$relay" --ledger "$work/ledger.relay" >"$work/relay.out" 2>&1 &
relay_pid=$!
from=$SECONDS
await 65 'the first mail went through the relay' first_arrived
say "known after $((SECONDS - from)) s"
await 30 'all that may be sent is sent' sent_but "$(batch_field down retry)"
say "sent after $((SECONDS - from)) s"
expect 'sent and waiting for a retry' $((mails + routed)) $(($(batch_field down sent) + $(batch_field down retry)))
expect_at_most 'claims of all that was sent since' $((mails + 100)) $(($(claims) - last))
expect 'duplicates' 0 "$(batch_field down duplicates)"
kill "$relay_pid"
wait "$relay_pid" || true
