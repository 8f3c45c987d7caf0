#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon's manners: SIGTERM in the middle of a batch ends it cleanly and quickly and the batch goes on after the next
# start; a second start on the same folder is refused; a wrong key, a wrong option, a folder too deep are explained; a user
# sees only what is his own.
. "$(dirname "$0")/lib.sh"

sink_start
node_start
await 30 'Postfix is up' postfix_is up
recipients 3000 a.test b.test c.test d.test >"$work/rcpt.csv"
expect 'the batch id' stop "$(send stop)"
await 60 'a third is sent' batch_has stop sent 1000

# A second one on the same folder.
status=0
"$optimusd" --data "$work/d" --listen 127.0.0.1:0 --key "$work/key" 2>"$work/err" || status=$?
expect 'exit code of a second start (EX_TEMPFAIL)' 75 "$status"
grep -q 'another optimusd runs' "$work/err" || fail "the refusal says: $(cat "$work/err")"

# Least privilege: optimusd, Redis and the Postfix daemons are not root; the master and the keeper are.
expect 'user of optimusd' optimus "$(ps -o user= -p "$node_pid" | tr -d ' ')"
expect 'user of redis-server' optimus "$(ps -o user= -p "$(redis_pid)" | tr -d ' ')"
expect 'mode of the data folder' 750 "$(stat -c %a "$work/d")"
expect 'mode of the API socket' 660 "$(stat -c %a "$work/d/api.sock")"
expect 'mode of the identity' 600 "$(stat -c %a "$work/d/identity")"
# Another user reaches the socket only through the group; and does not see the batch of root.
if runuser -u nobody -- "$optimus" status >/dev/null 2>&1; then
	fail 'a stranger could open the API socket'
fi
say 'ok: a stranger can not open the API socket'
if runuser -u nobody -g nogroup -G optimus -- "$optimus" status stop >/dev/null 2>"$work/err"; then
	fail "another user sees the batch of root"
fi
say 'ok: another user of the group does not see the batch'

# SIGTERM.
from=$SECONDS
kill -TERM "$node_pid"
status=0
wait "$node_pid" || status=$?
expect 'exit code after SIGTERM' 0 "$status"
expect_at_most 'seconds that it took to end' 12 $((SECONDS - from))
expect 'redis-server after the end' 0 "$(redis_pid)"
expect 'Postfix after the end' down "$("$instance" status --dir "$work/d/postfix" || true)"
node_pid=''
node_start
await 90 'the batch is done' batch_is stop done
check_ledger stop
expect 'copies' 0 "$(jq .duplicates "$work/check.json")"
expect 'mails in doubt after an orderly end' 0 "$(batch_field stop in_doubt_resent)"

# Mistakes are explained.
refused() {
	local code=$1 words=$2 status=0
	shift 2
	"$optimusd" "$@" >/dev/null 2>"$work/err" || status=$?
	expect "exit code of: $words" "$code" "$status"
	grep -qi -- "$words" "$work/err" || fail "it says: $(cat "$work/err")"
}
refused 64 'are needed' --data "$work/e"
refused 64 'listen can.t be' --data "$work/e" --listen nonsense --key "$work/key"
refused 78 'no cluster key' --data "$work/e" --listen 127.0.0.1:0 --key "$work/none"
cp "$work/key" "$work/open-key"
chmod 644 "$work/open-key"
refused 78 'chmod 600' --data "$work/e" --listen 127.0.0.1:0 --key "$work/open-key"
echo 'windo = 5' >"$work/bad.conf"
refused 64 'line 1: there is no such setting' --data "$work/e" --listen 127.0.0.1:0 --key "$work/key" --config "$work/bad.conf"
refused 78 'too long' --data "/tmp/$(printf 'x%.0s' {1..100})" --listen 127.0.0.1:0 --key "$work/key"
