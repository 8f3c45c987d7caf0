#!/bin/bash
# SPDX-License-Identifier: MIT
# An orderly end while the queue manager sleeps, as trivial-rewrite is gone before it. The delivery agents have reported
# what they did, and wait for its thanks. They are not kept waiting, no mail is in doubt, and none is sent twice.
. "$(dirname "$0")/lib.sh"

sink_start
start_sending stop 3000 a.test b.test c.test d.test
await 60 'a part is sent' batch_has stop sent 500

# Master can't start another trivial-rewrite for the queue manager, nor read what its services tell it. Once it is dead the
# queue manager sleeps.
postfix_pids master | xargs kill -STOP
postfix_pids trivial-rewrite | xargs -r kill -KILL
# Only a while without mail tells, whatever it is that stops first: the queue manager, which gets no answer, or the log, as
# postlogd waits for master and all others for postlogd.
delivered() { "$sink" --control "$work/sink.sock" --ask stats | jq -e .messages; }
stands_still() {
	local before
	before=$(delivered) || return 1
	sleep 0.5
	[ "$before" = "$(delivered)" ]
}
await 20 'nothing more is delivered' stands_still
node_end 4
check_goes_on stop
