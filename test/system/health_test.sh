#!/bin/bash
# SPDX-License-Identifier: MIT
# A node that can't send owns nothing: when its Postfix or its Redis is dead and can't be started, or its Redis stands still,
# the others send what was its own within 5 s, and it takes part again by itself when they are back. What a Postfix that stands
# still has not taken yet, goes to the others.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=3000
window=40
# Shards of about 130 mails: what another node takes over does not wait long behind what that one has opened already.

# sick SINCE: the others see that n2 owns nothing, within the 5 s that are promised.
sick() {
	await 20 'n2 owns nothing' sees n1 n2 '.owned == 0'
	expect_at_most 'seconds until n2 owns nothing' 5 "$(seconds_since "$1")"
}
# A new batch has nothing of it.
gets_nothing() {
	recipients "$1" 2000 6000
	send n1 "$1"
	sees n1 n2 '.owned == 0' >/dev/null || fail "n2 was given shards of $1 while it could not send"
	echo "ok: n2 gets nothing of a new batch"
}
takes_part() {
	await 30 'n2 has work again' sees n3 n2 '.state == "up" and .postfix == "up" and .owned > 0 and .in_flight > 0'
	echo 'ok: n2 takes part again'
}
done_all() { batch_is n3 "$1" '.state == "done"'; }

slow_sink 400
control up --nodes 3 --relay "$sink_address" --set "window = $window" --set 'min_backoff = 1s' --set 'max_backoff = 2s'
meet n1 n2 n3

# ---- Postfix's master, which can't be started again
recipients master "$mails" 6000
send n1 master
await 60 'n2 sends' sees n1 n2 '.owned > 0 and .in_flight > 0'
await 60 'some of it is sent' received_more $((mails / 6))
pid=$(postfix_pids n2 master)
mv "$dir/n2/data/postfix/libexec/master" "$dir/n2/data/postfix/libexec/away"
died=$(now)
kill -KILL "$pid"
sick "$died"
gets_nothing master2
mv "$dir/n2/data/postfix/libexec/away" "$dir/n2/data/postfix/libexec/master"
takes_part
await 240 'master is done' done_all master
await 240 'master2 is done' done_all master2
check_batches n3 master master2
taken_over_in 5 n2 "$died" unable
expect_at_most 'mails resent in doubt' "$window" "$doubts"
expect_at_most 'mails that came twice' "$doubts" "$duplicates"

# ---- Redis, which can't be started again
recipients redis "$mails" 6000
send n1 redis
await 60 'n2 sends' sees n1 n2 '.owned > 0 and .in_flight > 0'
before=$(received)
await 60 'some of it is sent' received_more $((before + mails / 6))
pid=$(redis_pid n2)
chmod 0 "$dir/n2/data/redis"
died=$(now)
kill -KILL "$pid"
sick "$died"
gets_nothing redis2
chmod 700 "$dir/n2/data/redis"
takes_part
await 240 'redis is done' done_all redis
await 240 'redis2 is done' done_all redis2
check_batches n3 master master2 redis redis2
taken_over_in 5 n2 "$died" unable
expect_at_most 'mails that came twice' "$doubts" "$duplicates"

# ---- a Redis that stands still: it is there, and does not answer
recipients silent "$mails" 6000
send n1 silent
await 60 'n2 sends' sees n1 n2 '.owned > 0 and .in_flight > 0'
before=$(received)
await 60 'some of it is sent' received_more $((before + mails / 6))
pid=$(redis_pid n2)
stopped=$(now)
kill -STOP "$pid"
sick "$stopped"
gets_nothing silent2
grep -q '^State:[[:space:]]*T' "/proc/$pid/status" || fail 'the Redis of n2 does not stand still any more'
kill -CONT "$pid"
takes_part
expect 'the Redis of n2' "$pid" "$(redis_pid n2)"
await 240 'silent is done' done_all silent
await 240 'silent2 is done' done_all silent2
check_batches n3 master master2 redis redis2 silent silent2
taken_over_in 5 n2 "$stopped" unable
expect_at_most 'mails that came twice' "$doubts" "$duplicates"

# ---- a Postfix that stands still
recipients still "$mails" 6000
send n1 still
await 60 'n2 sends' sees n1 n2 '.owned > 0 and .in_flight > 0'
before=$(received)
await 60 'some of it is sent' received_more $((before + mails / 6))
mapfile -t pids < <(postfix_pids n2 '*')
stopped=$(now)
kill -STOP "${pids[@]}"
await 120 'the others have sent all but what n2 holds' batch_is n1 still ".claimed <= $window and .ready == 0"
echo "all but what n2 holds is sent after $(seconds_since "$stopped") s"
kill -CONT "${pids[@]}"
await 120 'still is done' done_all still
check_batches n3 master master2 redis redis2 silent silent2 still
taken_over_in 30 n2 "$stopped" moved # there is no promised time: the others ask when they have little left
expect_at_most 'mails that came twice in all' "$window" "$duplicates"
