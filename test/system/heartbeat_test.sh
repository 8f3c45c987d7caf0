#!/bin/bash
# SPDX-License-Identifier: MIT
# Two batches with a template of 10 MB and 100,000 rows are uploaded to one of three nodes, of which each keeps a copy; that
# node's way to the others is narrow. Meanwhile the heartbeats of all go on: none of them is opened more than 100 ms after it
# was composed, what the two processes waited for a processor apart (test/system/beat_probe.c), and nobody doubts anybody.
# What else a busy machine does is in no figure, so one round of several has to be good.
# shellcheck source-path=SCRIPTDIR source=cluster_lib.sh
. "$(dirname "$0")/cluster_lib.sh"

rows=100000
limit=100000 # microseconds
tries=4

all_up() { same_picture 'length == 3 and all(.[]; .[2] == "up")' n1 n2 n3; }
lines() { wc -l <"$work/beats"; }
beats_more() { [ "$(lines)" -ge "$1" ]; }
# judge FROM TO: of these lines of the probe: heartbeats opened, those that shared their link with bulk, the bulk in MB, and the
# worst delay of any without what was waited for a processor, and with it.
judge() {
	sed -n "$(($1 + 1)),$2p" "$work/beats" | awk '
		$1 == "sealed" { late[$7, ++sealed[$7]] = $4; waited[$7, sealed[$7]] = $5 }
		$1 == "opened" {
			by_sender = 0
			for (i = 1; i <= sealed[$7]; i++)
				if (late[$7, i] <= $4 && waited[$7, i] > by_sender) by_sender = waited[$7, i]
			own = $4 - $5 - by_sender
			opened++
			shared += $6 > 0
			bulk += $6
			if (own > worst) worst = own
			if ($4 > worst_of_all) worst_of_all = $4
		}
		END { printf "%d %d %d %d %d\n", opened, shared, bulk / 1e6, worst, worst_of_all }'
}

export OPTIMUS_BEATS=$work/beats
: >"$OPTIMUS_BEATS"
chmod 666 "$OPTIMUS_BEATS"
slow_sink 0
LD_PRELOAD=$BUILD/test/system/beat_probe.so control up --netns --nodes 3 --relay "$sink_address"
meet n1 n2 n3
await 20 'all are up' all_up
recipients big "$rows"
for ((i = 1; i <= tries; i++)); do
	ln -s big.csv "$work/big-$i.csv"
	ln -s big.csv "$work/again-$i.csv"
done
{
	printf 'From: a@example.com\nTo: {{email}}\nSubject: x\n\nDear {{name}}\n'
	head -c 7800000 /dev/urandom | base64
} >"$work/t.eml"
# Where the kernel has this: a path with 60 Mbit/s, so that there is bulk under way for some seconds. It loses nothing, and holds
# what the receivers have room for, which is as little as can be: that comes on top of what nodes can do about it.
inside() { nsenter "--net=/run/netns/$(sed -n 's/^id=//p' "$dir/settings")-$1" "${@:2}"; }
for node in n2 n3; do inside "$node" sh -c 'echo 4096 65536 65536 >/proc/sys/net/ipv4/tcp_rmem'; done
if inside n1 tc qdisc add dev eth0 root tbf rate 60mbit burst 32k latency 500ms 2>"$work/words"; then
	narrow=yes
else
	narrow="no: $(<"$work/words")"
fi
from=$(lines)
await 60 'heartbeats at rest' beats_more $((from + 24))
to=$(lines)
echo "at rest (opened, with bulk, MB, worst delay in us, with the wait for processors): $(judge "$from" "$to")"

declare -A log_at
for node in n1 n2 n3; do log_at[$node]=$(wc -l <"$dir/$node/log"); done
for ((i = 1; i <= tries; i++)); do
	from=$(lines)
	began=$(now)
	patience=300 send n1 "big-$i" --replicas 3 --at +1h
	patience=300 send n1 "again-$i" --replicas 3 --at +1h
	echo "accepted after $(seconds_since "$began") s; a narrow path: $narrow"
	await 60 'heartbeats behind the bulk' beats_more $(($(lines) + 24))
	read -r opened shared bulk worst with_wait < <(judge "$from" "$(lines)")
	echo "opened $opened, with bulk $shared, $bulk MB, the worst after $worst us, with the wait for processors $with_wait us"
	expect_at_least 'heartbeats that shared their link with bulk' 2 "$shared"
	expect_at_least 'MB of bulk' 24 "$bulk"
	[ "$worst" -gt "$limit" ] || break
done
expect_at_most 'microseconds from a heartbeat to its reception' "$limit" "$worst"
for node in n1 n2 n3; do
	expect "lines in which $node lost or doubted another" 0 \
		"$(tail -n "+$((log_at[$node] + 1))" "$dir/$node/log" | grep -cE ' event=(link_down|node_suspect|node_gone) ' || true)"
done
