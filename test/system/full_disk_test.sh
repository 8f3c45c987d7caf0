#!/bin/bash
# SPDX-License-Identifier: MIT
# A full disk: new batches are refused with a clear error, what was accepted is delivered and recorded all the same, and when
# there is room again the node takes batches again.
. "$(dirname "$0")/lib.sh"

mkdir "$work/d"
mount -t tmpfs -o size=160m,mode=755 optimus-test "$work/d"
extra_settings='reserve = 24M
ballast = 16M'
echo '* delay-data 20ms' >"$work/rules"
sink_start --rules "$work/rules"
node_start
await 30 'Postfix is up' postfix_is up
recipients 4000 a.test b.test c.test d.test e.test >"$work/rcpt.csv"
expect 'the batch id' before "$(send before)"
await 30 'some are sent' batch_has before sent 200

# Fill it to the last byte: Redis can't append any more.
dd if=/dev/zero of="$work/d/filler" bs=1M 2>/dev/null || true
status=0
send during >"$work/out" 2>"$work/err" || status=$?
[ "$status" -ne 0 ] || fail 'a batch was accepted on a full disk'
grep -qiE 'full|room|space' "$work/err" || fail "the refusal says: $(cat "$work/err")"
say "ok: refused with exit code $status: $(tail -n 1 "$work/err")"
await 120 'the accepted batch is done on a full disk' batch_is before done
check_ledger before
expect 'mails sent' 4000 "$(batch_field before sent)"

rm "$work/d/filler"
"$optimus" status during >/dev/null 2>&1 && fail 'a refused batch exists'
accepted() { send during; }
await 30 'batches are taken again' accepted
await 60 'the new batch is done' batch_is during done
expect 'mails of it' 4000 "$(batch_field during sent)"
