#!/bin/bash
# SPDX-License-Identifier: MIT
# An orderly end while the queue manager sleeps, as trivial-rewrite is gone before it. The delivery agents have reported what they did, and wait for its
# thanks. They are not kept waiting, no mail is in doubt, and none is sent twice.
. "$(dirname "$0")/lib.sh"

sink_start
node_start
await 30 'Postfix is up' postfix_is up
recipients 3000 a.test b.test c.test d.test >"$work/rcpt.csv"
expect 'the batch id' stop "$(send stop)"
await 60 'a part is sent' batch_has stop sent 500

# programs NAME: the ids of the instance's processes that run it.
programs() {
	find /proc/[0-9]*/exe -maxdepth 0 -lname "$work/d/postfix/libexec/$1" -printf '%h\n' 2>/dev/null | sed 's,.*/,,' || true
}
# The queue manager waits for a trivial-rewrite that master can't start any more. Once master is dead it sleeps.
programs master | xargs kill -STOP
programs trivial-rewrite | xargs -r kill -KILL
stands_still() {
	local before
	before=$(sink_count "$work/ledger")
	sleep 0.5
	[ "$before" = "$(sink_count "$work/ledger")" ]
}
await 20 'nothing more is delivered' stands_still
from=$SECONDS
kill -TERM "$node_pid"
status=0
wait "$node_pid" || status=$?
expect 'exit code after SIGTERM' 0 "$status"
expect_at_most 'seconds that it took to end' 4 $((SECONDS - from))
expect 'Postfix after the end' down "$("$instance" status --dir "$work/d/postfix" || true)"
node_pid=''
node_start
await 90 'the batch is done' batch_is stop done
check_ledger stop
expect 'copies' 0 "$(jq .duplicates "$work/check.json")"
expect 'mails in doubt after an orderly end' 0 "$(batch_field stop in_doubt_resent)"
