#!/bin/bash
# SPDX-License-Identifier: MIT
# Every kind of outcome, from the receiving server to the report: sent, deferred and then sent, bounced, nobody there
# until the mail expires, a connection that breaks before the final 250 and one that breaks after it.
. "$(dirname "$0")/lib.sh"

cat >"$work/rules" <<'END'
domain bounce.test reject 550 5.1.1 no such user here
domain grey.test tempfail-first 2 451 4.7.1 greylisted, come again
domain late.test reject-data 552 5.2.2 mailbox full
domain before.test drop-before-reply 1
domain after.test drop-after-reply
domain mid.test drop-mid-data 1
END
# Port 9 of loopback: nobody listens there.
extra_settings='route = dead.test=127.0.0.1:9'
sink_start --rules "$work/rules"
node_start
await 30 'Postfix is up' postfix_is up
each=40
recipients $((each * 8)) fine.test bounce.test grey.test late.test before.test after.test mid.test dead.test >"$work/rcpt.csv"
expect 'the batch id' mixed "$(send mixed --expire 25s)"
await 60 "the batch is done" batch_is mixed done
"$optimus" status mixed
"$optimus" report mixed >"$work/report.csv"

# count DOMAIN STATE: lines of the report
count() { grep -c "@$1,$2," "$work/report.csv" || true; }
expect 'sent at once' $each "$(count fine.test sent)"
expect 'bounced at RCPT' $each "$(count bounce.test bounced)"
expect 'bounced at the final dot' $each "$(count late.test bounced)"
expect 'sent after greylisting' $each "$(count grey.test sent)"
expect 'sent after a connection that broke before the reply' $each "$(count before.test sent)"
expect 'sent although the connection broke after the reply' $each "$(count after.test sent)"
expect 'sent after a connection that broke in the middle' $each "$(count mid.test sent)"
expect 'expired where nobody listens' $each "$(count dead.test expired)"

# What the report says about them.
says() { grep "@$1," "$work/report.csv" | grep -c -- "$2" || true; }
expect 'code and words of a 5xx' $each "$(says bounce.test ',bounced,5.1.1,.*no such user here')"
expect 'words of a 5xx at the final dot' $each "$(says late.test ',bounced,5.2.2,.*mailbox full')"
expect 'three attempts for greylisted mails' $each "$("$optimus" report mixed --format jsonl |
	jq -r 'select((.email | endswith("@grey.test")) and .attempts == 3) | .email' | wc -l)"
expect 'relay of a sent mail' $each "$(says fine.test "127.0.0.1\[127.0.0.1\]:${sink_address##*:}")"
check_ledger mixed
expect 'copies' 0 "$(jq .duplicates "$work/check.json")"
expect 'copies after a broken reply' $each "$(jq .dropped_before "$work/check.json")"
expect 'files left in the spool' '' "$("$build/postfix-glue/optimus-spool" -c "$work/d/postfix/etc")"

# The same batch again is the same batch; the same id with other content is refused and changes nothing.
expect 'the same batch again' mixed "$(send mixed --expire 25s)"
head -n 20 "$work/rcpt.csv" >"$work/other.csv"
mv "$work/other.csv" "$work/rcpt.csv"
if send mixed --expire 25s >/dev/null 2>"$work/err"; then
	fail 'other content under the same id was accepted'
fi
grep -q mixed "$work/err" || fail "the refusal does not name the batch: $(cat "$work/err")"
expect 'total after both' $((each * 8)) "$(batch_field mixed total)"
