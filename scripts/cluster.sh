# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # root comes from common.sh; the variables are for those who source this
# The nodes of a cluster on one machine. Sourced after common.sh, by scripts/cluster alone; others run that.
#
# A node lives in a process namespace of its own, whose first process (node_init) starts optimusd when asked to, by a
# word through a pipe, and takes in the orphans. So all that a node runs is known, whoever started it, and
# killing that first process is kill -9 of everything at once. The spool's tmpfs is mounted outside, before, and
# so survives the processes, as it does on a machine that stays up.
#
# Below $dir:
#   settings            netns=, relay=, subnet=, id=: of the cluster as a whole
#   key, libexec/       the cluster's key; the programs that Postfix's master runs
#   extra               lines for the configuration of each node
#   sink/               the receiving server, where none was given
#   n1/listen           HOST:PORT of its links, the same after each start
#   n1/init             process id and start time of the first process of the namespace
#   n1/control          the pipe: "start"
#   n1/arguments        of optimusd, one a line
#   n1/data, n1/log, n1/conf

build=$(realpath -m "${BUILD:-$root/build}")

setting() {
	sed -n "s/^$1=//p" "$dir/settings"
}

nodes() {
	find "$dir" -maxdepth 1 -type d -name 'n[1-9]*' -printf '%f\n' 2>/dev/null | sort -V
}

has_node() {
	[[ $1 =~ ^n[1-9][0-9]{0,3}$ ]] && [ -d "$dir/$1" ]
}

api_of() {
	echo "unix:$dir/$1/data/api.sock"
}

ask() {
	local node=$1
	shift
	timeout 10 "$build/daemon/optimus" --api "$(api_of "$node")" "$@"
}

# ---- processes

# start_time PID: in clock ticks; with the id it names a process for good.
start_time() {
	local stat
	{ stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
	# shellcheck disable=SC2086 # words are wanted
	set -- ${stat##*) }
	echo "${20}"
}

# remember_pid PID FILE
remember_pid() {
	echo "$1 $(start_time "$1")" >"$2.new"
	mv "$2.new" "$2"
}

# remembered_pid FILE: prints the id when that very process still runs.
remembered_pid() {
	local pid start
	{ read -r pid start <"$1"; } 2>/dev/null || return 1
	is_running "$pid" && [ "$(start_time "$pid")" = "$start" ] && echo "$pid"
}

forgotten() {
	! remembered_pid "$1" >/dev/null
}

# kill_remembered FILE: kill -9, and waits until it is gone. In a namespace that is when the last one is gone.
kill_remembered() {
	local pid
	if pid=$(remembered_pid "$1"); then
		kill -KILL "$pid" 2>/dev/null || true
		wait_for 30 forgotten "$1" || die "process $pid survives kill -9"
	fi
	rm -f "$1"
}

# pids_of NODE: "PID COMMAND PROGRAM" of each of its processes but the first, oldest first. There may be hundreds: no
# process is started for each.
pids_of() {
	local init space
	init=$(remembered_pid "$dir/$1/init") || return 0
	space=$(readlink "/proc/$init/ns/pid") || return 0
	# Processes end while find looks at them; a zombie has no program.
	{ find /proc/[0-9]*/ns/pid -maxdepth 0 -lname "${space//[\[\]]/?}" -printf '%h\n' 2>/dev/null || true; } |
		sed 's,/ns$,/exe,' | tr '\n' '\0' |
		{ xargs -0 -r sh -c 'find "$@" -maxdepth 0 -printf "%h %l\n"' sh 2>/dev/null || true; } | sort -V |
		while read -r at program; do
			if [ "${at#/proc/}" = "$init" ] || [ -z "$program" ]; then continue; fi
			{ read -r command <"$at/comm"; } 2>/dev/null || continue
			echo "${at#/proc/} $command ${program% (deleted)}"
		done
}

# child_of NODE COMMAND: the id of the process of that name whose parent is the first one. Nearly for free.
child_of() {
	local init pid command children=()
	init=$(remembered_pid "$dir/$1/init") || return 0
	{ read -r -a children <"/proc/$init/task/$init/children"; } 2>/dev/null || true
	for pid in "${children[@]}"; do
		{ read -r command <"/proc/$pid/comm"; } 2>/dev/null || continue
		if [ "$command" = "$2" ] && is_running "$pid"; then
			echo "$pid"
			return
		fi
	done
}

# part_of NODE optimusd|keeper|redis|postfix|pickup|all: process ids.
part_of() {
	pids_of "$1" | awk -v part="$2" -v libexec="$dir/$1/data/postfix/libexec/" '
		part == "all" { print $1 }
		part == "optimusd" && $2 == "optimusd" && !seen++ { print $1 }
		part == "keeper" && $2 == "optimus-keeper" { print $1 }
		part == "redis" && $2 == "redis-server" { print $1 }
		part == "postfix" && index($3, libexec) == 1 { print $1 }
		part == "pickup" && $3 == libexec "optimus-pickup" { print $1 }'
}

is_empty() {
	[ -z "$(part_of "$1" all)" ]
}

runs() {
	[ -n "$(part_of "$1" "$2")" ]
}

are_gone() {
	local pid
	for pid in "$@"; do
		! is_running "$pid" || return 1
	done
}

# kill_part NODE PART: kill -9, and waits until these are gone; others may have taken their place already.
kill_part() {
	local pids
	mapfile -t pids < <(part_of "$1" "$2")
	[ "${#pids[@]}" -gt 0 ] || die "$1 runs no $2"
	kill -KILL "${pids[@]}" 2>/dev/null || true
	wait_for 30 are_gone "${pids[@]}" || die "$2 of $1 survives kill -9"
}

# signal_all NODE SIGNAL: twice, for those that were born meanwhile.
signal_all() {
	local pids i
	for i in 1 2; do
		mapfile -t pids < <(part_of "$1" all)
		[ "${#pids[@]}" -eq 0 ] || kill "-$2" "${pids[@]}" 2>/dev/null || true
	done
}

state_of() {
	local pid
	pid=$(child_of "$1" optimusd)
	if [ -z "$pid" ]; then
		if is_empty "$1"; then echo down; else echo orphaned; fi
	elif grep -q '^State:[[:space:]]*T' "/proc/$pid/status" 2>/dev/null; then
		echo frozen
	else
		echo up
	fi
}

# ---- the processors

# Where Linux shares the processors between sessions first (sched(7), autogroup), and a node is several of them, a node among
# others on one machine does nothing at all for a tenth of a second now and then: what its delivery agents have done waits, and
# is sent again when it dies just then. In a control group the processes of all nodes compete as processes.

# control_group NAME: the folder of that group, which need not be there yet; nothing where none is needed or can be made.
control_group() {
	local at
	[ "$(cat /proc/sys/kernel/sched_autogroup_enabled 2>/dev/null)" = 1 ] || return 0
	for at in /sys/fs/cgroup/cpu /sys/fs/cgroup; do
		[ -w "$at/cgroup.procs" ] || continue
		# Version 2 of cgroups(7), where the controller has to be asked for.
		[ ! -e "$at/cgroup.controllers" ] || { echo +cpu >"$at/cgroup.subtree_control"; } 2>/dev/null || continue
		echo "$at/optimus-$1"
		return
	done
}

# The calling shell, and all that it starts from now on.
enter_control_group() {
	local group count
	group=$(control_group "$(setting id)")
	[ -n "$group" ] || return 0
	count=$(nodes | wc -l)
	{
		mkdir -p "$group"
		# Of each node as much as a session of others has.
		if [ -e "$group/cpu.shares" ]; then
			echo $((1024 * count)) >"$group/cpu.shares"
		else
			echo $((100 * count)) >"$group/cpu.weight"
		fi
		echo 0 >"$group/cgroup.procs"
	} 2>/dev/null || true
}

# And what clusters that were killed have left: only empty ones can be removed.
remove_control_group() {
	local group
	group=$(control_group "$(setting id)")
	[ -n "$group" ] || return 0
	[ ! -d "$group" ] || wait_for 10 rmdir "$group" || say "$group can't be removed: something runs in it"
	rmdir "${group%-*}"-op* 2>/dev/null || true
}

# ---- a node's folder and its life

# The first process of a node's namespace. Ends when it is killed, and everything with it.
node_init() {
	local at=$dir/$1 pid word arguments
	# /proc is still that of the machine, and says what our id is out there.
	read -r pid _ </proc/self/stat
	cd /
	enter_control_group
	exec 3<>"$at/control"
	remember_pid "$pid" "$at/init"
	mount -t proc proc /proc
	[ ! -e "$at/clock" ] || share_clock "$at"
	echo ready >"$at/started"
	while read -r word <&3; do
		[ "$word" = start ] || continue
		mapfile -t arguments <"$at/arguments"
		"$build/daemon/optimusd" "${arguments[@]}" </dev/null >>"$at/log" 2>&1 3>&- &
	done
}

# An address for the links that nobody uses, TCP nor UDP.
choose_listen() {
	local port
	if [ "$(setting netns)" = yes ]; then
		echo "$(node_address "$1"):7400"
		return
	fi
	port=$(unused_port)
	while ss -Htuan | grep ":$port " >/dev/null || grep -qx "127.0.0.1:$port" "$dir"/n*/listen 2>/dev/null; do
		port=$(unused_port)
	done
	echo "127.0.0.1:$port"
}

# make_node NODE [SIZE]: its folder; with a size the data folder is a tmpfs of it.
make_node() {
	local at=$dir/$1
	mkdir "$at"
	mkfifo -m 600 "$at/control"
	if [ "$(setting netns)" = yes ]; then
		make_namespace "$1"
	fi
	choose_listen "$1" >"$at/listen"
	[ "$(setting clocks)" != yes ] || printf %s +0000000000 >"$at/clock"
	{
		echo "relay = $(setting relay)"
		echo "libexec = $dir/libexec"
		echo "hostname = $1.optimus.test"
		cat "$dir/extra"
	} >"$at/conf"
	[ -z "${2:-}" ] || echo "$2" >"$at/size"
	make_data "$1"
}

# Mounted out here, so that it outlives the node's processes.
make_data() {
	local at=$dir/$1 spool=$dir/$1/data/postfix/spool
	mkdir -p "$at/data"
	if [ -e "$at/size" ] && ! mountpoint -q "$at/data"; then
		mount -t tmpfs -o "size=$(<"$at/size"),mode=755" optimus-data "$at/data"
	fi
	mkdir -p "$spool"
	mountpoint -q "$spool" ||
		mount -t tmpfs -o size=50%,mode=755,nosuid,nodev,noexec optimus-spool "$spool"
}

# unmount_below FOLDER: whatever is mounted there, the innermost first.
unmount_below() {
	local point
	awk -v below="$1/" 'index($2, below) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r point; do
		umount "$point" 2>/dev/null || umount -l "$point"
	done
}

# bootstraps NODE: the address of the node of --via, else those of up to two others, those that run first.
bootstraps() {
	local other
	if [ -n "$via" ]; then
		[ "$via" = none ] || cat "$dir/$via/listen"
		return
	fi
	for other in $(nodes); do
		[ "$other" != "$1" ] || continue
		if [ "$(state_of "$other")" = up ]; then printf '0 '; else printf '1 '; fi
		cat "$dir/$other/listen"
	done | sort -s -k 1,1 | awk 'NR <= 2 { print $2 }'
}

# write_arguments NODE [first]: the very first node of a cluster joins nobody.
write_arguments() {
	local at=$dir/$1 address
	{
		printf '%s\n' --data "$at/data" --listen "$(<"$at/listen")" --key "$dir/key" --config "$at/conf"
		if [ "${2:-}" != first ]; then
			for address in $(bootstraps "$1"); do
				printf '%s\n' --bootstrap "$address"
			done
		fi
	} >"$at/arguments"
}

# launch NODE [first]: starts what of it does not run. Does not wait until it is ready.
launch() {
	local at=$dir/$1 enter=()
	[ -z "$(child_of "$1" optimusd)" ] || return 0
	make_data "$1"
	write_arguments "$@"
	if forgotten "$at/init"; then
		rm -f "$at/started"
		[ "$(setting netns)" = no ] || enter=(nsenter "--net=/run/netns/$(namespace_of "$1")")
		BUILD=$build setsid "${enter[@]}" unshare --pid --mount --fork "$root/scripts/cluster" --init "$1" --dir "$dir" \
			</dev/null >>"$at/log" 2>&1 9>&- &
		disown
		wait_for 20 test -e "$at/started" || {
			tail -n 5 "$at/log" >&2
			die "$1 gets no namespaces of its own"
		}
	fi
	echo start >"$at/control"
	wait_for 20 runs "$1" optimusd || {
		tail -n 5 "$at/log" >&2
		die "$1 does not start"
	}
}

# Whether the API answers.
answers() {
	ask "$1" nodes --json >/dev/null 2>&1
}

# cluster_ready NODE COUNT: the one place that knows when a cluster of COUNT running nodes stands, as NODE sees it.
cluster_ready() {
	ask "$1" nodes --json 2>/dev/null | jq -e --argjson count "$2" \
		'[.nodes[] | select((.state == "up" or .state == "draining") and .postfix == "up")] | length >= $count' >/dev/null
}

running_nodes() {
	local node
	for node in $(nodes); do
		[ "$(state_of "$node")" != up ] || echo "$node"
	done
}

# wait_ready SECONDS: until each running node sees all of them.
wait_ready() {
	local end=$((SECONDS + $1)) running node
	mapfile -t running < <(running_nodes)
	for node in "${running[@]}"; do
		until cluster_ready "$node" "${#running[@]}"; do
			if [ "$SECONDS" -ge "$end" ] || [ "$(state_of "$node")" = down ]; then
				tail -n 20 "$dir/$node/log" >&2
				die "$node is not ready"
			fi
			sleep 0.1
		done
	done
}

# stop_in_order NODE: SIGTERM to optimusd, which ends the others.
stop_in_order() {
	local pid
	pid=$(child_of "$1" optimusd)
	if [ -n "$pid" ]; then
		kill -TERM "$pid"
		wait_for 90 are_gone "$pid" || die "$1 does not stop"
	fi
	wait_for 20 is_empty "$1" || say "$1 left something behind: $(pids_of "$1" | tr '\n' ';')"
	kill_remembered "$dir/$1/init"
}

# destroy_data NODE: of one that is down; at the next start it is another, empty node at the same address.
destroy_data() {
	[ "$(state_of "$1")" = down ] || die "$1 runs"
	unmount_below "$dir/$1"
	rm -rf --one-file-system "${dir:?}/$1/data"
}
