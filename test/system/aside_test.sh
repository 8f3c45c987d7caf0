#!/bin/bash
# SPDX-License-Identifier: MIT
# A message that Postfix puts aside (as it does when the clock is set back while it delivers) is found at once, taken out of
# the spool, counted as in doubt and sent again: it neither stays there for ever nor is tried by Postfix on its own.
. "$(dirname "$0")/lib.sh"

echo 'domain hold.test delay-data 3s' >"$work/rules"
sink_start --rules "$work/rules"
node_start
await 30 'Postfix is up' postfix_is up
recipients 1 hold.test >"$work/rcpt.csv"
expect 'the batch id' aside "$(send aside)"

active() { find "$work/d/postfix/spool/active" -type f -printf '%f\n' | grep .; }
await 20 'the mail is in the active queue' active
file=$(active)
mv "$work/d/postfix/spool/active/$file" "$work/d/postfix/spool/deferred/$file"
emptied() { [ ! -e "$work/d/postfix/spool/deferred/$file" ]; }
await 20 'the file is taken out of deferred/' emptied
await 60 'the batch is done' batch_is aside done
"$optimus" status aside
expect 'sent' 1 "$(batch_field aside sent)"
expect 'resent in doubt' 1 "$(batch_field aside in_doubt_resent)"
check_ledger aside
expect_at_most 'copies' 1 "$(jq .duplicates "$work/check.json")"

# Many at once, as when the clock is set back while the relay is down: their outcomes are known, and the files must go. The
# folder is closed until all are there, and nothing can be removed meanwhile: that takes few processes, not one for each file.
many=300
folder=$work/d/postfix/spool/deferred
recipients 1 hold.test >"$work/rcpt.csv"
expect 'the batch id' many "$(send many)"
await 20 'the mail is in the active queue' active
file=$(active)
cp -p "$work/d/postfix/spool/active/$file" "$work/copy"
await 60 'the batch is done' batch_is many done
chmod 500 "$folder"
for ((i = 0; i < many; i++)); do cp -p "$work/copy" "$folder/copy$i"; done
failures() { grep -c -E 'event=spool_(removal|listing)_failed' "$work/log"; }
await 30 'they can not be removed' failures
chmod 700 "$folder"
none_left() { [ -z "$(ls -A "$folder")" ]; }
await 60 'all are taken out of deferred/' none_left
expect_at_most 'processes that could not remove' $((many / 10)) "$(failures)"
