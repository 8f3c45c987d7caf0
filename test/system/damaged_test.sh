#!/bin/bash
# SPDX-License-Identifier: MIT
# Postfix's master dies, and a file in its active queue is damaged: whose mail it was can't be told any more. That mail may have
# been on the wire, so it is sent again as in doubt, and not as one that was never fed.
. "$(dirname "$0")/lib.sh"

echo 'domain hold.test delay-data 600s' >"$work/rules"
sink_start --rules "$work/rules"
node_start
await 30 'Postfix is up' postfix_is up
recipients 1 hold.test >"$work/rcpt.csv"
expect 'the batch id' damaged "$(send damaged)"

active() { find "$work/d/postfix/spool/active" -type f -printf '%f\n' | grep .; }
await 20 'the mail is in the active queue' active
file=$(active)
truncate -s 0 "$work/d/postfix/spool/active/$file"
kill -KILL "$(master_pid)"
await 60 'it is sent again' batch_has damaged in_doubt_resent 1
grep -q 'event=spool_file_damaged' "$work/log" || fail 'the damaged file was not found'
