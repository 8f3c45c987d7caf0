#!/bin/bash
# SPDX-License-Identifier: MIT
# A node dies for good, with all that it ran, in the middle of a batch that it had accepted: the others know the batch,
# send the rest of it, and report each mail; nothing is lost, and no more mails came twice than are said to be resent in doubt.
#
#   cluster_test.sh refused   its machine lives on, and refuses what comes for it
#   cluster_test.sh silent    its machine is gone from the network: nobody answers
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

mails=4000
window=40

options=()
[ "$1" = refused ] || options=(--netns)

slow_sink 200
control up "${options[@]}" --nodes 3 --relay "$sink_address" --set "window = $window" --set 'doubt_hold = 5s' --set 'min_backoff = 1s'
meet n1 n2 n3
recipients news "$mails" 6000 # shards of about 130 mails
# A second one that n1 accepts, for commands alone: it would start long after the test.
recipients later 20
send n1 later --at +1h
send n1 news
await 120 'some of it is sent' received_more $((mails / 4))
[ "$(shows n1 n1 owned)" -gt 0 ] || fail 'n1 had nothing to send any more'
killed=$(now)
[ "$1" = refused ] || nsenter "--net=/run/netns/$(sed -n 's/^id=//p' "$dir/settings")-n1" ip link set eth0 down
control kill n1
before=$(received)

for node in n2 n3; do
	batch_is "$node" news ".state == \"sending\" and .total == $mails and .unavailable == 0 and ($adds_up)" >/dev/null ||
		fail "$node: $(at "$node" status news --json)"
	at "$node" report news >"$work/half"
	cut -d, -f1 "$work/half" | cmp -s - <(cut -d, -f1 "$work/news.csv") || fail "$node: the report lacks mails"
done
echo 'ok: status and report on the others'

# commands STATE NODE OTHER COMMAND: what the one is told holds on the other.
commands() {
	at "$2" "$4" later 2>/dev/null || fail "$2: $4 of a batch that the dead node had accepted: exit code $?"
	batch_is "$3" later ".state == \"$1\"" >/dev/null || fail "$3 after $4 on $2: $(at "$3" status later --json)"
}
commands paused n2 n3 pause
commands scheduled n3 n2 resume
commands paused n3 n2 pause
commands cancelled n2 n3 cancel
echo 'ok: pause, resume and cancel on the others'

await 240 'the batch is done' batch_is n3 news '.state == "done"'
echo "sent by the two that were left: $(($(received) - before))"
check_batches n2 news
taken_over_in 10 n1 "$killed"
expect_at_most 'mails resent in doubt' "$window" "$doubts"
expect_at_most 'mails that came twice' "$doubts" "$duplicates"
expect_at_most 'duplicates that the report knows of' "$duplicates" "$(batch_field n3 news duplicates)"
for field in sent duplicates in_doubt_resent; do
	expect "$field on both" "$(batch_field n2 news "$field")" "$(batch_field n3 news "$field")"
done
