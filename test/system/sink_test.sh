#!/bin/bash
# SPDX-License-Identifier: MIT
#
# sink_test.sh SINK LEDGER
#
# The receiving server, driven by clients that are not ours: what it accepts is in its ledger before the
# client knows, its misbehaviour is what the rules say, and optimus-ledger tells a true report from a false one.
set -euo pipefail
sink=$1
ledger_tool=$2
temp=$(mktemp -d)
sink_pid=

clean_up() {
	[ -z "$sink_pid" ] || kill -KILL "$sink_pid" 2>/dev/null || true
	rm -rf "$temp"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# wait_until COMMAND...: at most 10 seconds.
wait_until() {
	local end=$((SECONDS + 10))
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || fail "waited in vain for: $*"
		sleep 0.02
	done
}

start_sink() {
	: >"$temp/listening"
	"$sink" --listen 127.0.0.1:0 --ledger "$temp/ledger" --rules "$temp/rules" --save "$temp/saved" \
		--control "$temp/control" --max-size 100000 >"$temp/listening" &
	sink_pid=$!
	wait_until grep -q '^listening ' "$temp/listening"
	address=$(awk '{ print $2; exit }' "$temp/listening")
}

stop_sink() {
	kill -TERM "$sink_pid"
	wait "$sink_pid" || fail "the sink ended with status $?"
	sink_pid=
}

# send RECIPIENT [SWAKS OPTION...]: one message; swaks's status (0, or 2x by the stage that failed).
send() {
	local recipient=$1
	shift
	swaks --server "$address" --from sender@example.test --to "$recipient" --helo client.test \
		--timeout 10 "$@" >"$temp/swaks" 2>&1
}

expect_refusal() {
	local recipient=$1 words=$2
	shift 2
	! send "$recipient" "$@" || fail "$recipient was accepted"
	grep -qF -- "$words" "$temp/swaks" || { cat "$temp/swaks"; fail "$recipient was not told '$words'"; }
}

lines_of() {
	awk -F '\t' -v recipient="$1" -v flag="${2:--}" '$3 == recipient && $8 == flag' "$temp/ledger" | wc -l
}

expect_lines() {
	[ "$(lines_of "$2" "${3:--}")" -eq "$1" ] || { cat "$temp/ledger"; fail "not $1 lines for $2 (${3:--})"; }
}

control() {
	"$sink" --control "$temp/control" --ask "$1" || true
}

mkdir "$temp/saved"
cat >"$temp/rules" <<'END'
rcpt bounce*@* reject 550 5.1.1 no such user
domain grey.test tempfail-first 2 451 4.7.1 greylisted
domain before.test drop-before-reply 1
domain after.test drop-after-reply
domain half.test drop-mid-data
domain full.test reject-data 452 4.3.1 full
domain slow.test delay-data 700ms
END
start_sink

# Plain acceptance: the ledger says who, what and how much; the saved file is the message.
printf 'Message-ID: <1@t>\n\n.dot\nlast\n' >"$temp/message"
send plain@ok.test --data "@$temp/message" || { cat "$temp/swaks"; fail "a plain message was refused"; }
expect_lines 1 plain@ok.test
[ "$(awk -F '\t' 'NR == 1 { print $2, $3, $4, $7 }' "$temp/ledger")" = \
	"sender@example.test plain@ok.test <1@t> ${address##*:}" ] || fail "the ledger's line is wrong"
printf 'Message-ID: <1@t>\r\n\r\n.dot\r\nlast\r\n' | cmp -n 31 - "$temp/saved/00000001.eml" ||
	fail "the saved message differs from the one sent"

# Each behaviour.
expect_refusal bounce1@ok.test '550 5.1.1 no such user'
expect_refusal a@grey.test '451 4.7.1 greylisted'
expect_refusal a@grey.test '451 4.7.1 greylisted'
send a@grey.test || fail "greylisting did not end"
expect_lines 1 a@grey.test
expect_refusal a@full.test '452 4.3.1 full'
expect_lines 0 a@full.test
! send a@half.test || fail "a connection to be dropped went on"
expect_lines 0 a@half.test
! grep -q '<-  250 2.0.0 Ok: queued' "$temp/swaks" || fail "a dropped message was confirmed"
! send a@before.test --header 'Message-ID: <b@t>' || fail "an answer came where none should"
expect_lines 1 a@before.test dropped-before
send a@before.test --header 'Message-ID: <b@t>' || fail "the second attempt was dropped too"
expect_lines 1 a@before.test
send a@after.test || grep -q 'queued as' "$temp/swaks" || fail "no answer before the drop"
expect_lines 1 a@after.test
start=$(date +%s%N)
send a@slow.test || fail "a slow message was refused"
[ $(($(date +%s%N) - start)) -ge 690000000 ] || fail "the delay was too short"
printf 'Subject: big\n\n%0120000d\n' 0 >"$temp/big"
expect_refusal big@ok.test '552 5.3.4' --data "@$temp/big"
expect_lines 0 big@ok.test

# A client that goes away between the final dot and the answer: accepted, as a real server would, but flagged.
# shellcheck disable=SC2016 # expanded by the inner shell
printf 'EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<gone@slow.test>\r\nDATA\r\nMessage-ID: <g@t>\r\n\r\nx\r\n.\r\n' |
	timeout 5 bash -c 'exec 3<>"/dev/tcp/${0%:*}/${0##*:}"; cat >&3' "$address"
wait_until grep -q 'gone@slow.test.*gone' "$temp/ledger"

# New rules while it runs, and bad ones that change nothing.
printf '* reject 554 5.7.1 closed\n' >"$temp/closed"
printf 'nonsense\n' >"$temp/nonsense"
[ "$(control "rules $temp/closed")" = ok ] || fail "the rules were not replaced"
expect_refusal plain@ok.test '554 5.7.1 closed'
[[ "$(control "rules $temp/nonsense")" == error:* ]] || fail "bad rules were accepted"
expect_refusal plain@ok.test '554 5.7.1 closed'
[ "$(control "rules $temp/rules")" = ok ] || fail "the rules did not come back"
[ "$(control stats | jq .dropped_before)" = 1 ] || fail "stats did not count the drop"

# Many messages over many connections, and over few: every one that was confirmed is in the ledger.
/usr/sbin/smtp-source -s 50 -m 2000 -l 500 -t many@ok.test "$address" || fail "smtp-source met an error"
/usr/sbin/smtp-source -d -s 5 -m 2000 -l 500 -t many@ok.test "$address" || fail "smtp-source met an error"
expect_lines 4000 many@ok.test
stop_sink
[ ! -e "$temp/control" ] || fail "the control socket was left behind"

# Killed without warning: what was confirmed is in the file.
rm "$temp/ledger"
start_sink
send kill@ok.test || fail "a message was refused"
kill -KILL "$sink_pid"
wait "$sink_pid" 2>/dev/null || true
sink_pid=
expect_lines 1 kill@ok.test

# The audit: a true report passes, each kind of lie is found.
audit() {
	"$ledger_tool" check --ledger "$temp/audit.ledger" --submitted "$temp/submitted" --report "$temp/report" --json \
		>"$temp/result"
}
expect_audit() {
	local status=$1 member=$2 value=$3 got=0
	audit || got=$?
	if [ "$got" -ne "$status" ] || [ "$(jq ".$member" "$temp/result")" != "$value" ]; then
		cat "$temp/result"
		fail "the audit ended with $got; $member is not $value"
	fi
}
entry() {
	printf '1\ts@x.test\t%s\t%s\t10\tabc\t25\t%s\t-\n' "$1" "$2" "${3:--}" >>"$temp/audit.ledger"
}
truth() {
	: >"$temp/audit.ledger"
	printf 'name,email\n"Doe, A",a@X.test\nB,b@x.test\nC,c@x.test\n' >"$temp/submitted"
	printf '%s\n' email,state,dsn,reason,message_id 'a@x.test,sent,2.0.0,"ok, queued",<a@t>' \
		'b@x.test,bounced,5.1.1,no,<b@t>' 'c@x.test,unknown,,,<c@t>' >"$temp/report"
	entry a@x.test '<a@t>'
}
truth
expect_audit 0 submitted 3
expect_audit 0 sent 1
entry a@x.test '<a@t>'
expect_audit 0 duplicates 1
truth
entry a@x.test '<a@t>' dropped-before
expect_audit 0 duplicates 0
expect_audit 0 dropped_before 1
: >"$temp/audit.ledger"
expect_audit 1 missing 1
truth
entry z@x.test '<z@t>'
expect_audit 1 foreign 1
truth
entry a@x.test '<other@t>'
expect_audit 1 foreign 1
truth
entry b@x.test '<b@t>'
expect_audit 1 mismatch 1
truth
sed -i '/^c@/s/unknown/retry/' "$temp/report"
expect_audit 1 lost 1
sed -i '/^c@/d' "$temp/report"
expect_audit 1 lost 1
truth
echo 'd@x.test,sent,,,<d@t>' >>"$temp/report"
expect_audit 1 mismatch 1
truth
echo 'no ledger line' >>"$temp/audit.ledger"
expect_audit 1 malformed 1
echo "the sink keeps its word"
