#!/bin/sh
# SPDX-License-Identifier: MIT
# The optimus command against a faked node (fake_api.c): what it prints where, its exit codes, its requests.
#
#   cli_test.sh OPTIMUS FAKE_API SOURCE
#
# Prints "not ok" and what differed for each failure; the exit code tells whether there were any.
set -u
optimus=$1 fake=$2 source=$3
export LC_ALL=C.UTF-8
unset OPTIMUS_API NO_COLOR
dir=$(mktemp -d) || exit 1
passed=0 failed=0
mkfifo "$dir/hold"
"$fake" "$dir" name city <"$dir/hold" >"$dir/ready" 2>&1 &
fake_pid=$!
# The fake ends when its standard input does.
exec 9>"$dir/hold"
trap 'exec 9>&-; wait "$fake_pid"; rm -rf "$dir"' EXIT
tries=0
until grep -q ready "$dir/ready"; do
	tries=$((tries + 1))
	if [ "$tries" -gt 100 ] || ! kill -0 "$fake_pid"; then
		echo "the fake node did not start"
		cat "$dir/ready"
		exit 1
	fi
	sleep 0.1
done
api=unix:$dir/api.sock
export OPTIMUS_API="$api"

ok() {
	passed=$((passed + 1))
}

not_ok() {
	failed=$((failed + 1))
	echo "not ok: $1"
	sed 's/^/  out: /' "$dir/out"
	sed 's/^/  err: /' "$dir/err"
}

# run EXIT NAME COMMAND...: standard output in $dir/out, standard error in $dir/err.
run() {
	want=$1 name=$2
	shift 2
	got=0
	"$@" >"$dir/out" 2>"$dir/err" </dev/null || got=$?
	if [ "$got" = "$want" ]; then ok; else not_ok "$name: exit code $got, not $want"; fi
}

# same FILE TEXT: the file is exactly that.
same() {
	printf '%b' "$2" >"$dir/want"
	if cmp -s "$1" "$dir/want"; then ok; else
		not_ok "$name: $1 differs"
		diff "$dir/want" "$1"
	fi
}

# has FILE WORDS: the file contains them.
has() {
	if grep -qF -e "$2" "$1"; then ok; else not_ok "$name: no \"$2\" in $1"; fi
}

# yes WORDS / no WORDS COMMAND...: the command succeeds, or fails; the words say what it means when it doesn't.
yes() {
	words=$1
	shift
	if "$@"; then ok; else not_ok "$words"; fi
}

no() {
	words=$1
	shift
	if "$@"; then not_ok "$words"; else ok; fi
}

lacks() {
	if grep -qF -e "$2" "$1"; then not_ok "$name: \"$2\" in $1"; else ok; fi
}

printf 'Subject: Hi {{name}}\n\nIn {{city}}\n' >"$dir/t.eml"
printf 'email,name,city,more\na@x.org,Ann,Rome,1\nb@x.org,"B ""o"" b",Oslo,2\n' >"$dir/good.csv"
printf '{"email":"a@x.org","name":"Ann","city":"Rome","more":[]}\n' >"$dir/good.ndjson"
printf 'email,name,city\na@x.org,Ann,Rome\n\nnobody,No,No\nb@x.org,Bob,Oslo\na@X.org,Ann,Rome\nc@x.org\n' >"$dir/bad.csv"
send() {
	"$optimus" send --from n@x.org --template "$dir/t.eml" "$@"
}

# --- help, version, usage ---
run 0 'help' "$optimus" --help
has "$dir/out" 'Usage: optimus'
same "$dir/err" ''
run 0 'version' "$optimus" --version
has "$dir/out" 'optimus '
for command in send status report pause resume cancel nodes drain undrain forget top keygen; do
	run 0 "help of $command" "$optimus" "$command" --help
	has "$dir/out" "Usage: optimus $command"
	has "$source/docs/man/optimus.1" ".SS optimus $command"
	run 0 'help' "$optimus" --help
	has "$dir/out" "  $command "
done
for option in from template recipients id at expire invalid duplicates replicas priority watch json; do
	run 0 "help of send" "$optimus" send --help
	has "$dir/out" "--$option"
done
run 64 'no command' "$optimus"
run 64 'unknown command' "$optimus" fly
run 64 'unknown option' "$optimus" status --fly
has "$dir/err" '"--fly"'
run 64 'missing value' "$optimus" report x --format
run 64 'no batch' "$optimus" report
run 64 'two batches' "$optimus" status a b
run 64 'bad batch id' "$optimus" status ../etc
run 64 'no template' "$optimus" send --from a@x.org --recipients x
has "$dir/err" '--template'
run 64 'bad api' "$optimus" --api ftp://x status
run 64 'bad only' "$optimus" report x --only 'a&b'
for wrong in '--at tomorrow' '--expire 5' '--expire 0s' '--invalid maybe' '--duplicates fail' '--replicas 0' \
	'--replicas 8' 	'--priority 101' '--priority x' '--id -x' '--id a/b'; do
	# shellcheck disable=SC2086
	run 64 "send $wrong" send --recipients "$dir/good.csv" $wrong
	same "$dir/out" ''
done

# --- keygen ---
run 0 'keygen' "$optimus" keygen
if grep -qE '^optimus-key-1:[A-Za-z0-9+/]{43}=$' "$dir/out"; then ok; else not_ok 'keygen: form of the key'; fi
cp "$dir/out" "$dir/key"
run 0 'keygen again' "$optimus" keygen
if cmp -s "$dir/out" "$dir/key"; then not_ok 'keygen: twice the same key'; else ok; fi

# --- sending ---
run 0 'send' send --recipients "$dir/good.csv" --id plain --at 2026-12-01T09:00:00+01:00 --expire 2d --priority 5 \
	--replicas 2
same "$dir/out" 'plain\n'
same "$dir/err" ''
same "$dir/plain.begin" '{"from":"n@x.org","template":"Subject: Hi {{name}}\\n\\nIn {{city}}\\n","columns":["email","name","city","more"],"expire":172800,"at":"2026-12-01T08:00:00Z","priority":5,"replicas":2}'
same "$dir/plain.rows" '{"email":"a@x.org","name":"Ann","city":"Rome"}\n{"email":"b@x.org","name":"B \\"o\\" b","city":"Oslo"}\n'
same "$dir/plain.commit" '{"rows":2}'
run 0 'NDJSON' send --recipients "$dir/good.ndjson" --id nd
same "$dir/nd.rows" '{"email":"a@x.org","name":"Ann","city":"Rome"}\n'
from_stdin() {
	send --recipients - --id "$1" <"$2"
}
run 0 'CSV on standard input' from_stdin in1 "$dir/good.csv"
yes 'CSV on standard input: rows' cmp -s "$dir/in1.rows" "$dir/plain.rows"
run 0 'NDJSON on standard input' from_stdin in2 "$dir/good.ndjson"
yes 'NDJSON on standard input: rows' cmp -s "$dir/in2.rows" "$dir/nd.rows"
run 0 'random id' send --recipients "$dir/good.csv"
if grep -qE '^[0-9a-f]{32}$' "$dir/out"; then ok; else not_ok 'random id: its form'; fi
yes 'random id: not the one that was used' [ -e "$dir/$(cat "$dir/out").commit" ]
run 0 'JSON' send --recipients "$dir/good.csv" --id js --json
has "$dir/out" '{"id":"js","state":"sending","total":2,'
run 0 'template that is no UTF-8' sh -c "printf 'Subject: \\351\\n' >'$dir/l1.eml'; exec '$optimus' send --from n@x.org \
	--template '$dir/l1.eml' --recipients '$dir/good.csv' --id l1"
has "$dir/l1.begin" '"template_base64":"U3ViamVjdDog6Qo="'

# --- rows that are wrong ---
run 65 'bad rows' send --recipients "$dir/bad.csv" --id bad
same "$dir/out" 'bad\n'
has "$dir/err" 'row 2 (line 4): invalid "nobody"'
has "$dir/err" 'row 4 (line 6): duplicate "a@X.org"'
has "$dir/err" 'row 5 (line 7): invalid'
has "$dir/err" '2 invalid rows; --invalid skip'
no 'bad rows: committed' [ -e "$dir/bad.commit" ]
has "$dir/log" 'DELETE /v1/batches/bad/upload'
run 0 'bad rows left out' send --recipients "$dir/bad.csv" --id skipped --invalid skip
same "$dir/skipped.commit" '{"rows":2}'
has "$dir/err" '2 invalid rows left out'
has "$dir/err" '1 duplicate row left out'
run 0 'duplicates kept' send --recipients "$dir/bad.csv" --id kept --invalid skip --duplicates keep
same "$dir/kept.commit" '{"rows":3}'
lacks "$dir/err" duplicate
awk 'BEGIN { print "email"; for (i = 0; i < 100; i++) print "bad" i; print "a@x.org" }' >"$dir/many.csv"
run 0 'many bad rows' send --recipients "$dir/many.csv" --id many --invalid skip
has "$dir/err" '"bad19"'
lacks "$dir/err" '"bad20"'
has "$dir/err" 'and 80 more rows'
has "$dir/err" '100 invalid rows left out'
printf 'email\n' >"$dir/none.csv"
run 65 'no recipients' send --recipients "$dir/none.csv" --id none
has "$dir/err" 'no recipients'
printf 'name\nx\n' >"$dir/noemail.csv"
run 65 'no column email' send --recipients "$dir/noemail.csv" --id noemail
same "$dir/out" ''
printf 'email,name\na@x.org,"x\nb@x.org,y\n' >"$dir/open.csv"
run 65 'open quote' send --recipients "$dir/open.csv" --id open --invalid skip
has "$dir/err" 'line 2'
no 'open quote: committed' [ -e "$dir/open.commit" ]
awk 'BEGIN { print "email,name,city"; for (i = 1; i <= 30000; i++) printf "u%d@x.org,%0800d,\n", i, i }' >"$dir/large.csv"
run 0 'several parts' send --recipients "$dir/large.csv" --id large
same "$dir/large.commit" '{"rows":30000}'
yes 'several parts: one request' [ "$(grep -c 'POST /v1/batches/large/recipients' "$dir/log")" -ge 2 ]
tail -n 1 "$dir/large.rows" >"$dir/last"
yes 'several parts: the last row' grep -q '"u30000@x.org"' "$dir/last"
yes 'several parts: rows lost' [ "$(wc -l <"$dir/large.rows")" = 30000 ]

# --- what the node refuses: its words and the exit code ---
refused() {
	run "$2" "refused: $1" send --recipients "$dir/good.csv" --id "$1-x"
	has "$dir/err" "the fake says $1"
	same "$dir/out" "$1-x\n"
}
refused invalid 65
refused template 65
has "$dir/err" 't.eml: line 3: the fake'
refused recipient 65
refused denied 77
refused conflict 73
refused again 75
refused full 75
run 66 'no such batch' "$optimus" status not_found-1
run 66 'no report of it' "$optimus" report not_found-1
same "$dir/out" ''
run 77 'denied report' "$optimus" report denied-1
awk 'BEGIN { print "email\n\nnope"; for (i = 1; i < 9; i++) print "u" i "@x.org" }' >"$dir/nine.csv"
run 65 'row of the node' send --recipients "$dir/nine.csv" --id row7 --invalid skip
has "$dir/err" 'row 8 (line 10): it is not nice (field "city")'
has "$dir/log" 'DELETE /v1/batches/row7/upload'
run 0 'again, then accepted' send --recipients "$dir/good.csv" --id againtwice
yes 'again: not three attempts' [ "$(grep -c 'POST /v1/batches/againtwice$' "$dir/log")" = 3 ]
run 75 'commit put off' send --recipients "$dir/good.csv" --id commitagain
has "$dir/err" '--id commitagain is safe'
yes 'commit put off: one commit, for the upload has ended' [ "$(grep -c 'POST /v1/batches/commitagain/commit' "$dir/log")" = 1 ]
run 75 'hang-up at commit' send --recipients "$dir/good.csv" --id hangup
has "$dir/err" 'not known'
has "$dir/err" '--id hangup is safe'
run 76 'nonsense' send --recipients "$dir/good.csv" --id nonsense

# --- files and nodes that aren't there ---
run 66 'no such template' "$optimus" send --from a@x.org --template "$dir/nix" --recipients "$dir/good.csv"
run 66 'no such recipients' send --recipients "$dir/nix"
run 74 'recipients are a folder' send --recipients "$dir"
run 69 'no such socket' "$optimus" --api "unix:$dir/nix.sock" nodes
has "$dir/err" OPTIMUS_API
run 69 'refused port' "$optimus" nodes --api http://127.0.0.1:1
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	mkdir "$dir/closed"
	chmod 711 "$dir"
	chmod 700 "$dir/closed"
	cp "$optimus" "$dir/optimus"
	run 77 'socket that may not be opened' setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$dir/optimus" --api "unix:$dir/closed/x.sock" nodes
fi
full() {
	"$@" >/dev/full
}
run 74 'full disk behind standard output' full "$optimus" report x

# --- looking ---
run 0 'status' "$optimus" status
same "$dir/out" 'BATCH      STATE     MAILS    SENT  BOUNCED  OPEN   DONE  CREATED\nnewer      sending     200      50        0   150   25 %  2026-12-01T08:00:00Z\nolder-one  done     100000  100000        0     0  100 %  2026-12-01T08:00:00Z\n'
run 0 'status of a batch' "$optimus" status x
has "$dir/out" 'state       done, 100 %'
run 0 'status as JSON' "$optimus" status x --json
has "$dir/out" '{"id":"x","state":"done","total":100,'
run 0 'nodes' "$optimus" nodes
has "$dir/out" 'münchen:4000  up          1      5'
has "$dir/out" '612/s'
run 0 'nodes as JSON' "$optimus" nodes --json
has "$dir/out" '"rate":612.5'
run 0 'watch' "$optimus" status moving --watch
yes 'watch: not a line for each of three changes' [ "$(wc -l <"$dir/out")" = 3 ]
has "$dir/out" 'moving state=done total=100 sent=100'
run 1 'watch what is cancelled' "$optimus" status stopped --watch
run 0 'send and watch' send --recipients "$dir/good.csv" --id moving-2 --watch
same "$dir/out" 'moving-2\n'
has "$dir/err" 'state=done'
run 0 'report' "$optimus" report x --format csv --only sent
same "$dir/out" 'email,state\na@example.com,sent\nb@example.com,bounced\n'
run 75 'report that breaks off' "$optimus" report cutreport
has "$dir/err" 'not complete'
run 75 'report that lacks something' "$optimus" report lost
same "$dir/out" 'a@example.com,sent,2.0.0,ok,mx,n1,1,,,\n'
same "$dir/err" 'optimus: shard 2 of 2 (1 mail) is on no node that answers; the report is not complete\n'
closed_pipe() {
	{ "$optimus" report endless; echo "$?" >"$dir/code"; } | head -n 1
}
run 0 'closed pipe' closed_pipe
same "$dir/err" ''
same "$dir/code" '0\n'

# --- commands ---
run 0 'pause' "$optimus" pause x
same "$dir/out" ''
same "$dir/err" 'x is paused\n'
has "$dir/log" 'POST /v1/batches/x/pause'
run 0 'resume' "$optimus" resume x
same "$dir/err" 'x is sending\n'
run 0 'cancel with mails in Postfix' "$optimus" cancel busy-1
same "$dir/err" 'busy-1 is cancelled; 7 of its mails are in Postfix and go on\n'
run 65 'a batch that is over' "$optimus" resume conflict-1
has "$dir/err" 'the fake says conflict'
run 66 'pause what is not there' "$optimus" pause not_found-1
run 77 'cancel denied' "$optimus" cancel denied-1
run 64 'pause nothing' "$optimus" pause
run 64 'pause two' "$optimus" pause a b
run 64 'pause no batch id' "$optimus" pause ../etc
run 0 'drain' "$optimus" drain
same "$dir/err" 'the node is draining\n'
has "$dir/log" 'POST /v1/nodes/self/drain'
run 0 'drain by name' "$optimus" drain self
same "$dir/err" 'self is draining\n'
run 0 'undrain' "$optimus" undrain aaaaaaaaaaaa
same "$dir/err" 'aaaaaaaaaaaa is up\n'
run 66 'forget' "$optimus" forget bbbbbbbbbbbb
run 0 'forget by address' "$optimus" forget '[::1]:4100'
same "$dir/err" '[::1]:4100 is forgotten\n'
run 65 'forget oneself' "$optimus" forget self
run 64 'forget nobody' "$optimus" forget
has "$dir/err" 'forget needs a node'
run 64 'drain no node id' "$optimus" drain n1
run 64 'drain too few digits' "$optimus" drain aaa
run 64 'drain no address' "$optimus" drain 'host:1/../x'
run 64 'top without a terminal' "$optimus" top
has "$dir/err" 'top needs a terminal'

# --- a terminal ---
if command -v script >/dev/null; then
	# script gives what comes on its standard input to the terminal: the view is left once it stands there.
	top_until_seen() {
		rm -f "$dir/screen"
		{
			tries=0
			until grep -q older-one "$dir/screen" 2>/dev/null || [ "$tries" -gt 100 ]; do
				tries=$((tries + 1))
				sleep 0.1
			done
			printf q
		} | TERM=xterm timeout 60 script -qefc "stty rows 24 cols 100; $optimus top" "$dir/screen"
	}
	run 0 'top' top_until_seen
	has "$dir/screen" 'münchen:4000'
	has "$dir/screen" older-one
	no_terminfo() {
		TERM=nonsense script -qec "$optimus top" /dev/null
	}
	run 64 'top on a terminal that it does not know' no_terminfo
	on_terminal() {
		TERM=xterm script -qec "$optimus send --from n@x.org --template $dir/t.eml --recipients $dir/large.csv --id tty" \
			/dev/null
	}
	run 0 'on a terminal' on_terminal
	has "$dir/out" 'uploading ['
	has "$dir/out" '30000 mails accepted'
	no_colour() {
		NO_COLOR=1 TERM=xterm script -qec "$optimus nodes" /dev/null
	}
	run 0 'NO_COLOR' no_colour
	lacks "$dir/out" "$(printf '\033')"
	colour() {
		TERM=xterm script -qec "$optimus nodes" /dev/null
	}
	run 0 'colour' colour
	has "$dir/out" "$(printf '\033[1m')"
fi

# --- the manual ---
for page in optimus.1 optimusd.8 optimus-templates.5; do
	run 0 "manual $page" groff -man -Tutf8 -ww -z "$source/docs/man/$page"
	same "$dir/err" ''
done
for code in 0 1 64 65 66 69 71 73 74 75 76 77; do
	name='exit codes in the manual'
	if sed -n '/^.SH EXIT STATUS/,/^.SH ENV/p' "$source/docs/man/optimus.1" | grep -qx "$code"; then ok; else
		not_ok "exit code $code is not in optimus.1"
	fi
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
