# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154 # what they work with belongs to scripts/chaos
# The faults of scripts/chaos, which alone sources this: fault_KIND SECONDS. Each picks its node, breaks something, and leaves
# a cluster that is whole again. What a fault meets is in picked.

fault_kill() {
	until_or_broken "$limit" "every batch has its replicas again" is_replicated
	pick
	echo "$(date +%s%6N) $(node_id "$picked")" >>"$at/kills"
	control kill "$picked"
	fault_join
}

fault_join() {
	control add >/dev/null
}

fault_destroy() {
	until_or_broken "$limit" "every batch has its replicas again" is_replicated
	pick
	control destroy "$picked"
	control start "$picked"
}

fault_crash() {
	pick
	control kill "$picked"
	sleep $(($1 % 10))
	control start "$picked"
}

fault_power() {
	pick
	control kill "$picked" --power
	sleep $(($1 % 10))
	control start "$picked"
}

fault_restart() {
	pick
	control stop "$picked"
	control start "$picked"
}

fault_optimusd() {
	pick
	control kill "$picked" --only optimusd
	sleep $(($1 % 8))
	control start "$picked"
}

fault_redis() {
	pick
	control kill "$picked" --only redis
}

fault_postfix() {
	pick
	control kill "$picked" --only postfix
}

# Where no mail has been fed yet, or Postfix is being started, none runs.
fault_pickup() {
	pick
	"$root/scripts/cluster" kill "$picked" --only pickup --dir "$cluster" 2>/dev/null ||
		say "seed $run_seed: $picked runs no pickup"
}

fault_freeze() {
	pick
	control freeze "$picked"
	sleep "$1"
	control thaw "$picked"
}

fault_clock() {
	local sign=+
	pick
	draw 2
	[ "$drawn" = 0 ] || sign=-
	control clock "$picked" "${sign}3600"
	sleep "$1"
	control clock "$picked" +0
}

# The last node of the first ones has its data on a small tmpfs.
fault_full() {
	picked=n$nodes
	[ -d "$cluster/$picked/data" ] || return 0
	dd if=/dev/zero of="$cluster/$picked/data/filler" bs=1M 2>/dev/null || true
	sleep "$1"
	rm -f "$cluster/$picked/data/filler"
}

# cut_between "A..." "B..."
cut_between() {
	local a b
	for a in $1; do
		for b in $2; do
			control cut "$a" "$b"
		done
	done
}

# Sets shuffled to the running nodes in any order, half to the number of the smaller half.
two_halves() {
	local names
	mapfile -t names < <(running)
	shuffle "${names[@]}"
	half=$((${#shuffled[@]} / 2))
	picked=${shuffled[*]:0:half}
}

fault_halves() {
	two_halves
	cut_between "${shuffled[*]:0:half}" "${shuffled[*]:half}"
	sleep "$1"
	control heal
}

# The last one sees everybody, nobody else sees the other half.
fault_bridge() {
	two_halves
	cut_between "${shuffled[*]:0:half}" "${shuffled[*]:half:${#shuffled[@]}-half-1}"
	sleep "$1"
	control heal
}

fault_oneway() {
	local other
	pick
	for other in $(running); do
		[ "$other" = "$picked" ] || control cut "$picked" "$other" --one-way
	done
	sleep "$1"
	control heal
}

fault_flap() {
	local end=$((SECONDS + $1))
	two_halves
	while [ "$SECONDS" -lt "$end" ]; do
		cut_between "${shuffled[*]:0:half}" "${shuffled[*]:half}"
		sleep 1.5
		control heal
		sleep 1
	done
}

fault_slow() {
	pick
	control slow "$picked" 300 --loss 10
	sleep "$1"
	control heal
}
