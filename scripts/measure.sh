# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154 # results belongs to those who source this
# Measurements of the bench scripts: written down one a line, read back as medians. Sourced after common.sh; $results is the
# file.

# record NAME VALUE: one measurement.
record() {
	printf '%s %s\n' "$1" "$2" >>"$results"
	say "$1: $2"
}

# of NAME: the median of its measurements, "-" when there is none.
of() {
	awk -v name="$1" '$1 == name && $2 != "-" { print $2 }' "$results" | sort -n | awk '{ v[NR] = $1 }
		END { if (NR == 0) print "-"; else if (NR % 2) print v[(NR + 1) / 2]; else print (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# sum_of NAME: of all its measurements.
sum_of() {
	awk -v name="$1" '$1 == name { sum += $2 } END { print sum + 0 }' "$results"
}

# ratio A B: A/B with two digits.
ratio() {
	awk -v a="$1" -v b="$2" 'BEGIN { if (a == "-" || b == "-" || b == 0) print "-"; else printf "%.2f\n", a / b }'
}

now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

# rate COUNT START END, in milliseconds: per second, with one digit.
rate() {
	awk -v n="$1" -v ms=$(($3 - $2)) 'BEGIN { printf "%.1f\n", n * 1000 / (ms > 0 ? ms : 1) }'
}

# goal VALUE LEAST
goal() {
	awk -v value="$1" -v least="$2" 'BEGIN { print (value == "-") ? "not measured" : (value + 0 >= least) ? "met" : "missed" }'
}

# Processors and memory, for the head of a page.
this_machine() {
	printf '%s cores (%s), %s of memory, Postfix %s' "$(nproc)" \
		"$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)" \
		"$(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)" "$(postconf -d -h mail_version)"
}

# write_recipients COUNT [FIRST [DOMAINS]]
write_recipients() {
	awk -v n="$1" -v first="${2:-1}" -v domains="${3:-1}" 'BEGIN {
		print "email,name"
		for (i = first; i < first + n; i++)
			printf "reader%d@mail%s.test,Reader %d\n", i, (domains > 1) ? i % domains : "", i
	}'
}

# write_template SIZE: messages of about so many bytes once it is merged.
write_template() {
	printf '%s\n' 'From: Bench <bench@node.test>' 'To: {{name}} <{{email}}>' 'Subject: For {{name}}' '' 'Dear {{name}},' ''
	awk -v size="$1" 'BEGIN { for (n = 400; n < size; n += 64) print "a line of sixty-three letters, to fill the message to its size.." }'
}

# save_section PAGE: in that page the section on standard input, from its "## " line on, takes the place of the one with the same
# heading, or the last place. All else in the page stays.
save_section() {
	awk 'NR == FNR { if (NR == 1) heading = $0; section = section $0 "\n"; next }
		/^## / { if (inside) print ""; inside = 0 }
		$0 == heading && !placed { printf "%s", section; inside = placed = 1 }
		!inside
		END { if (!placed) printf "\n%s", section }' - "$1" >"$1.new"
	mv "$1.new" "$1"
}
