# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154 # root and dir belong to those who source this
# Network namespaces for scripts/cluster: each node has its own, with one address, on a bridge of the cluster. Links are
# cut by dropping what arrives, so the sender sees silence and no error, and made slow by slow-link.py.
#
# The machine itself is on the bridge as SUBNET.0.1; node n7 is SUBNET.1.7. A receiving server that listens on the
# machine's loopback is reached through SUBNET.0.1 by address translation. All names begin with the cluster's id.

bridge_of() {
	setting id
}

namespace_of() {
	echo "$(setting id)-$1"
}

node_address() {
	echo "$(setting subnet).1.${1#n}"
}

# A 10.X.0.0/16 that no address nor route of this machine is in.
unused_subnet() {
	local subnet
	while :; do
		subnet=10.$((64 + RANDOM % 180))
		ip -4 -o route show table all | grep -E "(^| )${subnet//./\\.}\\." >/dev/null || break
	done
	echo "$subnet"
}

make_bridge() {
	local bridge
	bridge=$(bridge_of)
	ip link add "$bridge" type bridge
	ip address add "$(setting subnet).0.1/16" dev "$bridge"
	ip link set "$bridge" up
}

# reach_loopback PORT: SUBNET.0.1:PORT leads to 127.0.0.1:PORT, for the nodes only.
reach_loopback() {
	local bridge
	bridge=$(bridge_of)
	echo 1 >"/proc/sys/net/ipv4/conf/$bridge/route_localnet"
	nft -f - <<-END
		table ip $bridge {
			chain relay {
				type nat hook prerouting priority dstnat;
				iifname "$bridge" ip daddr $(setting subnet).0.1 tcp dport $1 dnat to 127.0.0.1
			}
		}
	END
}

in_namespace() {
	local node=$1
	shift
	nsenter "--net=/run/netns/$(namespace_of "$node")" "$@"
}

make_namespace() {
	local name outside
	name=$(namespace_of "$1")
	outside=$(setting id)$1
	ip netns add "$name"
	ip link add "$outside" type veth peer name eth0 netns "$name"
	ip link set "$outside" master "$(bridge_of)" up
	ip -n "$name" link set lo up
	ip -n "$name" address add "$(node_address "$1")/16" dev eth0
	ip -n "$name" link set eth0 up
	# A slow link leaves by another device than the one by which answers come.
	in_namespace "$1" sh -c 'echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/eth0/rp_filter'
	in_namespace "$1" nft -f - <<-END
		table inet optimus {
			set deaf_to { type ipv4_addr; }
			chain arrive {
				type filter hook input priority 0;
				ip saddr @deaf_to drop
				iifname "eth0" meta nfproto ipv6 drop
			}
		}
	END
}

# Everything of this cluster, as far as it got.
remove_network() {
	local id name
	id=$(setting id)
	# Namespaces go some time after they were deleted; the links into them go now.
	for name in $(nodes); do
		ip link del "$id$name" 2>/dev/null || true
	done
	for name in $(ip netns list | awk -v id="$id-" 'index($1, id) == 1 { print $1 }'); do
		ip netns del "$name" || true
	done
	ip link del "$id" 2>/dev/null || true
	nft delete table ip "$id" 2>/dev/null || true
}

# deafen NODE OTHER: nothing that OTHER sends reaches NODE any more.
deafen() {
	in_namespace "$1" nft add element inet optimus deaf_to "{ $(node_address "$2") }"
}

undeafen() {
	in_namespace "$1" nft delete element inet optimus deaf_to "{ $(node_address "$2") }" 2>/dev/null || true
}

# slow_down NODE MS LOSS ALL: what it sends to the other nodes is late, and LOSS per cent of it is lost; with yes for ALL so is
# what it sends to the machine, where the relay is.
slow_down() {
	speed_up "$1"
	nsenter "--net=/run/netns/$(namespace_of "$1")" python3 "$root/scripts/slow-link.py" slow eth0 "$2" "$3" </dev/null >>"$dir/$1/log" 2>&1 9>&- &
	remember_pid $! "$dir/$1/slow"
	disown
	wait_for 10 in_namespace "$1" ip link set slow up || die "$1 has no slow link"
	in_namespace "$1" ip route replace "$(setting subnet).1.0/24" dev slow src "$(node_address "$1")"
	[ "$4" = no ] || in_namespace "$1" ip route replace "$(setting subnet).0.0/24" dev slow src "$(node_address "$1")"
}

# The device goes with its process, and the route with the device.
speed_up() {
	kill_remembered "$dir/$1/slow"
}

heal_all() {
	local node
	for node in $(nodes); do
		in_namespace "$node" nft flush set inet optimus deaf_to
		speed_up "$node"
	done
}
