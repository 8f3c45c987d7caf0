# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What a measurement may come to, for scripts/chaos, demo and bench-cluster alike: each function prints what is wrong with its figures,
# a sentence a line, and nothing where they keep what is promised (README.md). Sourced; tested in test/system/judge_test.sh.

# wrong_mails LOST [TWICE DOUBTS]: of one death. Each mail that came twice has to be one that was sent again in doubt.
wrong_mails() {
	[ "$1" -eq 0 ] || echo "$1 mails are lost"
	[ $# -lt 3 ] || [ "$2" -le "$3" ] || echo "$2 mails came twice, but only $3 were sent again in doubt"
}

# wrong_share TWICE MAILS: 0.1 % may come twice at most, and that only nearly.
wrong_share() {
	[ $(($1 * 1000)) -lt "$2" ] || echo "$1 of $2 mails came twice: that is 0.1 % or more"
}

# wrong_takeovers MEDIAN WORST: seconds, "-" where none was measured.
wrong_takeovers() {
	awk -v median="$1" -v worst="$2" 'BEGIN {
		if (median != "-" && median >= 2) print "takeovers took " median " s in the median: that is 2 s or more"
		if (worst != "-" && worst >= 10) print "a takeover took " worst " s: that is 10 s or more"
	}'
}
