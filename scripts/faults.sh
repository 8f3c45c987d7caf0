# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154 # what they work with belongs to scripts/chaos
# The faults of scripts/chaos, which alone sources this: fault_KIND SECONDS. Each breaks something of the nodes in picked
# (aim_at in scripts/chaos) and leaves a cluster that is whole again. Where there was nothing to break it sets met=no.

# note_fault KIND: for the row, once it is over.
note_fault() {
	happened+=${happened:+ }$1${picked:+:${picked// /+}}
	[ "$met" = yes ] || happened+='(none)'
}

# When it was, and who it is: how long the others need is counted from here.
note_death() {
	local id
	id=$(node_id "$picked")
	echo "$(date +%s%6N) $id" >>"$at/kills"
}

fault_kill() {
	note_death
	control kill "$picked"
	fault_join
}

fault_join() {
	control add >/dev/null
}

fault_destroy() {
	note_death
	control destroy "$picked"
	control start "$picked"
}

fault_crash() {
	control kill "$picked"
	sleep $(($1 % 10))
	control start "$picked"
}

fault_power() {
	control kill "$picked" --power
	sleep $(($1 % 10))
	control start "$picked"
}

fault_restart() {
	control stop "$picked"
	control start "$picked"
}

fault_optimusd() {
	control kill "$picked" --only optimusd
	sleep $(($1 % 8))
	control start "$picked"
}

fault_redis() {
	control kill "$picked" --only redis
}

fault_postfix() {
	control kill "$picked" --only postfix
}

# Where no mail has been fed yet, or Postfix is being started, none runs.
fault_pickup() {
	local said
	said=$("$root/scripts/cluster" kill "$picked" --only pickup --dir "$cluster" 2>&1) && return
	[[ $said == *' runs no pickup' ]] || broken "scripts/cluster: $said" || return 1
	met=no
}

fault_freeze() {
	control freeze "$picked"
	sleep "$1"
	control thaw "$picked"
}

fault_clock() {
	local sign=+
	draw 2
	[ "$drawn" = 0 ] || sign=-
	control clock "$picked" "${sign}3600"
	sleep "$1"
	control clock "$picked" +0
}

# The last node of the first ones has its data on a small tmpfs. It may have died for good, and its folder is still there then.
fault_full() {
	if ! grep -qx "$picked" < <(running); then
		met=no
		return
	fi
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

fault_halves() {
	[ -n "$picked" ] || met=no
	cut_between "$picked" "$others"
	sleep "$1"
	control heal
}

# The last one sees everybody, nobody else sees the other half.
fault_bridge() {
	[ -n "$picked" ] || met=no
	cut_between "$picked" "${others% *}"
	sleep "$1"
	control heal
}

fault_oneway() {
	local other
	met=no
	for other in $(running); do
		[ "$other" != "$picked" ] || continue
		control cut "$picked" "$other" --one-way
		met=yes
	done
	sleep "$1"
	control heal
}

fault_flap() {
	local end=$((SECONDS + $1))
	[ -n "$picked" ] || met=no
	while [ "$SECONDS" -lt "$end" ]; do
		cut_between "$picked" "$others"
		sleep 1.5
		control heal
		sleep 1
	done
}

fault_slow() {
	[ "$(running | wc -l)" -gt 1 ] || met=no
	control slow "$picked" 300 --loss 10
	sleep "$1"
	control heal
}
