#!/bin/bash
# SPDX-License-Identifier: MIT
# scripts/cluster does what it says: nodes come up, each part can be killed alone, a killed node leaves no process and
# comes back on its data, links are cut in one direction, clocks go wrong alone, and down leaves nothing behind.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
# In namespaces of its own, where there are any: a test that is killed leaves no bridge behind.
if [ "${1:-}" != fenced ] && unshare --mount --net true 2>/dev/null; then
	exec unshare --mount --net "$0" fenced
fi
if [ "${1:-}" = fenced ]; then
	ip link set lo up
	mkdir -p /run/netns
	mount -t tmpfs tmpfs /run/netns
fi
BUILD=$(realpath "${BUILD:?BUILD is not set: the build folder}")
export BUILD
cluster=$(dirname "$(realpath "$0")")/../../scripts/cluster
work=$(mktemp -d /tmp/optimus.XXXXXX)
chmod 755 "$work"
dir=$work/c

control() { "$cluster" "$@" --dir "$dir"; }
fail() {
	echo "FAILED: $*"
	control status || true
	exit 1
}
cleanup() {
	local status=$?
	trap - EXIT
	control down || true
	rm -rf "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

line_of() { control status | grep "^$1 "; }
is() { [[ $(line_of "$1") == "$1 state=$2 "* ]] || fail "$1 is not $2"; }
field() { line_of "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"; }
nodes() { "$BUILD/daemon/optimus" --api "$(field "$1" api)" nodes --json; }
await() {
	local end=$((SECONDS + $1))
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || fail "waited too long: $*"
		sleep 0.05
	done
}
ready() { nodes "$1" | jq -e --arg address "$(field "$1" listen)" 'any(.nodes[]; .address == $address and .postfix == "up")'; }
# From the processes' own point of view, whoever started them.
processes() { find /proc/[0-9]*/exe -maxdepth 0 -lname "$dir/$1/*" 2>/dev/null | wc -l; }

options=()
if unshare --net true 2>/dev/null; then options=(--netns); fi
control up --nodes 2 --clocks "${options[@]}"
is n1 up
is n2 up
[ "$(processes n2)" -gt 3 ] || fail 'n2 runs no Postfix'
id=$(sed -n 's/^id=//p' "$dir/settings")
# Sessions share the processors only where the system says so, and only whom it lets may make a group.
groups=$(find /sys/fs/cgroup -maxdepth 2 -type d -name "optimus-$id" 2>/dev/null)
if [ "$(cat /proc/sys/kernel/sched_autogroup_enabled 2>/dev/null)" = 1 ] && [ -w /sys/fs/cgroup/cpu/cgroup.procs ]; then
	[ "$groups" = "/sys/fs/cgroup/cpu/optimus-$id" ] || fail "the nodes have no control group, but: $groups"
	for node in n1 n2; do
		# cgroup.procs names processes by their ids here, and so does status.
		grep -qx "$(field $node pid)" "$groups/cgroup.procs" || fail "$node is not in the control group"
	done
	echo 'ok: the nodes share the processors as processes do'
fi

for part in redis pickup postfix; do
	control kill n1 --only "$part"
	await 60 "n1 is ready without its $part" ready n1
done
pid=$(field n1 pid)
control kill n1 --only optimusd
is n1 orphaned
control start n1
is n1 up
[ "$(field n1 pid)" != "$pid" ] || fail 'the killed optimusd runs'
echo 'ok: parts were killed alone'

control freeze n2
is n2 frozen
control thaw n2
is n2 up
control clock n2 -3600
printf 'email\na@b.test\n' >"$work/rcpt.csv"
printf 'From: a@b.test\nSubject: x\n\nx\n' >"$work/t.eml"
batch=$("$BUILD/daemon/optimus" --api "$(field n2 api)" send --from a@b.test --template "$work/t.eml" --recipients "$work/rcpt.csv")
created=$("$BUILD/daemon/optimus" --api "$(field n2 api)" status "$batch" --json | jq -r .created)
off=$(($(date +%s) - $(date -d "$created" +%s)))
((off > 3500 && off < 3700)) || fail "the clock of n2 is off by $off s, not by an hour"
echo 'ok: a clock went wrong'

identity=$(cksum <"$dir/n2/data/identity")
address=$(field n2 listen)
control kill n2
is n2 down
[ "$(processes n2)" = 0 ] || fail 'kill left processes'
control start n2
is n2 up
[ "$(cksum <"$dir/n2/data/identity")" = "$identity" ] || fail 'n2 came back as another node'
[ "$(field n2 listen)" = "$address" ] || fail 'n2 came back at another address'
control stop n2
is n2 down
[ "$(control add --set 'window = 17')" = n3 ] || fail 'the third node is not n3'
is n3 up
grep -qx 'window = 17' "$dir/n3/conf" || fail 'n3 has no setting of its own'
! grep -q window "$dir/n1/conf" || fail 'n1 has the setting of n3'
echo 'ok: kill, start, stop, add'

if [ "${#options[@]}" -gt 0 ]; then
	# refused FROM TO [SECONDS]: an answer came back, if only a refusal. There is no listener at that port.
	refused() {
		local answer
		answer=$(nsenter "--net=/run/netns/$(sed -n 's/^id=//p' "$dir/settings")-$1" timeout "${3:-20}" \
			bash -c "exec 3<>/dev/tcp/$(field "$2" listen | sed 's,:.*,,')/9" 2>&1 || true)
		[[ $answer == *refused* ]]
	}
	heard() {
		nsenter "--net=/run/netns/$(sed -n 's/^id=//p' "$dir/settings")-$1" nft list set inet optimus deaf_to
	}
	refused n1 n3 || fail 'n1 does not reach n3'
	control cut n1 n3 --one-way
	! refused n1 n3 1 || fail 'n1 reaches n3 after the cut'
	# Not grep -q: nft writes in pieces, and ends in an error when nobody reads the last.
	heard n3 | grep elements >/dev/null || fail 'n3 is not deaf'
	! heard n1 | grep elements >/dev/null || fail 'n1 is deaf too'
	control heal
	refused n1 n3 || fail 'n1 does not reach n3 after healing'
	control slow n1 300 --loss 0
	start=$(date +%s%3N)
	refused n1 n3 || fail 'a slow link carries nothing'
	[ $(($(date +%s%3N) - start)) -ge 300 ] || fail 'the link is not slow'
	# The way to the machine itself, where relays are.
	machine=$(field n1 listen | cut -d . -f 1-2).0.1
	way() { nsenter "--net=/run/netns/$(sed -n 's/^id=//p' "$dir/settings")-n1" ip route get "$machine" | grep -o 'dev [^ ]*'; }
	[ "$(way)" = 'dev eth0' ] || fail 'the way to the machine is slow'
	control slow n1 300 --loss 0 --all
	[ "$(way)" = 'dev slow' ] || fail 'the way to the machine is not slow'
	control heal
	[ "$(way)" = 'dev eth0' ] || fail 'the way to the machine is slow after healing'

	inside() { nsenter "--net=/run/netns/$(sed -n 's/^id=//p' "$dir/settings")-$1" "${@:2}"; }
	# arrived FROM TO: how many of 40 datagrams, each a packet, come through. They are small and slow enough that no buffer loses one.
	arrived() {
		local host
		host=$(field "$2" listen | sed 's,:.*,,')
		: >"$work/arrived"
		inside "$2" timeout 60 python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 9))
print("listening", flush=True)
seen = set()
while True:
    word = s.recv(100)
    if word == b"end":
        break
    seen.add(word)
print(len(seen))' "$host" >"$work/arrived" &
		await 20 listening grep -q listening "$work/arrived"
		inside "$1" python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(40):
    s.sendto(b"%d" % i, (sys.argv[1], 9))
    time.sleep(0.01)
for i in range(30):
    time.sleep(0.02)
    s.sendto(b"end", (sys.argv[1], 9))' "$host"
		wait "$!"
		tail -n 1 "$work/arrived"
	}
	control slow n1 0 --loss 50
	count=$(arrived n1 n3)
	((count >= 8 && count <= 32)) || fail "$count of 40 packets arrive where half of them are to be lost"
	lossy=$count
	count=$(arrived n3 n1)
	((count == 40)) || fail "$count of 40 packets arrive that the slow node did not send"
	control heal
	count=$(arrived n1 n3)
	((count == 40)) || fail "$count of 40 packets arrive after healing"

	# One pair heals alone.
	control cut n1 n3
	control cut n1 n2
	! refused n1 n3 1 || fail 'n1 reaches n3 after the second cut'
	! refused n3 n1 1 || fail 'n3 reaches n1 after the second cut'
	control heal n1 n3
	refused n1 n3 || fail 'n1 does not reach n3 after they healed'
	refused n3 n1 || fail 'n3 does not reach n1 after they healed'
	! refused n1 n2 1 || fail 'n1 reaches n2 although that pair was not healed'
	control heal
	echo "ok: cut, heal, heal of a pair, slow, lossy ($lossy of 40 packets)"
fi

control down
[ ! -e "$dir" ] || fail 'down left the folder'
[ "$(processes '')" = 0 ] || fail 'down left processes'
! grep -q " $dir/" /proc/self/mounts || fail 'down left mounts'
! ip link | grep "$id" >/dev/null || fail 'down left links'
! ip netns list | grep "$id" >/dev/null || fail 'down left namespaces'
[ -z "$(find /sys/fs/cgroup -maxdepth 2 -name "optimus-$id" 2>/dev/null)" ] || fail 'down left a control group'
control down
echo 'ok: down leaves nothing'
