# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154 # dir and build belong to those who source this
# Clocks that are wrong, for scripts/cluster: test/system/clock_off.c in front of every program that a node runs. It is
# named in an ld.so.preload that only the node's mount namespace has, because neither optimusd's keeper nor Postfix's
# master hands its environment on.

# share_clock NODE_FOLDER: called by the first process of the namespace.
share_clock() {
	mkdir -p "$1/etc/upper" "$1/etc/work"
	mount -t overlay -o "lowerdir=/etc,upperdir=$1/etc/upper,workdir=$1/etc/work" overlay /etc
	ln -sfn "$1/clock" /etc/optimus-clock
	echo "$dir/libexec/clock_off.so" >/etc/ld.so.preload
}

# set_clock NODE SECONDS: in place, for the file is mapped.
set_clock() {
	[[ $2 =~ ^[+-]?[0-9]{1,9}$ ]] || die "clock takes seconds, such as +3600"
	[ -e "$dir/$1/clock" ] || die "the clocks of this cluster can't be set: scripts/cluster up --clocks"
	printf '%+011d' "$((10#${2#[+-]} * ${2%%[0-9]*}1))" | dd of="$dir/$1/clock" conv=notrunc status=none
}
