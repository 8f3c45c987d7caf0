#!/bin/bash
# SPDX-License-Identifier: MIT
# What scripts/common.sh says of processes: one whose first thread has ended still runs, and holds its locks, for as long as
# it has another thread. Then it is a zombie, until it is waited for, and does not run any more.
# usage: common_test.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source-path=SCRIPTDIR source=../../scripts/common.sh
. scripts/common.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# holds WHAT COMMAND...
holds() {
	local what=$1
	shift
	if "$@"; then echo "ok: $what"; else echo "not ok: $what" && bad=1; fi
}

mkfifo "$work/end"
# The second thread ends when the pipe does; the process is nobody's to wait for but this shell's.
python3 -c 'import ctypes, sys, threading
threading.Thread(target=lambda: open(sys.argv[1]).read()).start()
ctypes.CDLL(None).pthread_exit(None)' "$work/end" &
pid=$!
exec 3>"$work/end"
wait_for 30 grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" || die 'the first thread does not end'
holds 'one whose first thread has ended still runs' is_running "$pid"
exec 3>&-
holds 'it ends with the last thread' wait_for 30 has_ended "$pid"
wait "$pid" || true
holds 'one that was waited for does not run' has_ended "$pid"
exit "$bad"
