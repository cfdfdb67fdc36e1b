# SPDX-License-Identifier: Apache-2.0
# Report functions of more than 100 lines or of a cyclomatic complexity over 20. Relies on the house style: a function's braces
# stand in the first column. A switch counts as one branch (modified McCabe). report=1 lists every function: complexity lines name.
function strip(s)
{
	gsub(/\\./, "", s)
	gsub(/"[^"]*"/, "\"\"", s)
	gsub(/'[^']*'/, "0", s)
	if (in_comment) {
		if (!match(s, /\*\//))
			return ""
		s = substr(s, RSTART + 2)
		in_comment = 0
	}
	while (match(s, /\/\*/)) {
		head = substr(s, 1, RSTART - 1)
		s = substr(s, RSTART + 2)
		if (!match(s, /\*\//)) {
			in_comment = 1
			return head
		}
		s = head " " substr(s, RSTART + 2)
	}
	return s
}
function count(s, re)
{
	return gsub(re, " ", s)
}
FNR == 1 { in_comment = 0; inside = 0 }
{ code = strip($0) }
/^[A-Za-z_].*\(/ && !inside { name = code; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
/^\{/ { inside = 1; begun = FNR; complexity = 1; next }
/^\}/ && inside {
	inside = 0
	long = FNR - begun + 1
	if (report)
		print complexity, long, FILENAME ":" begun ": " name
	if (long > 100) {
		print FILENAME ":" begun ": " name " has " long " lines (at most 100)"
		bad = 1
	}
	if (complexity > 20) {
		print FILENAME ":" begun ": " name " has a complexity of " complexity " (at most 20)"
		bad = 1
	}
	next
}
inside && code !~ /^[ \t]*#/ {
	padded = " " code " "
	complexity += count(padded, "[^A-Za-z0-9_](if|for|while|switch)[^A-Za-z0-9_]")
	complexity += count(padded, "&&") + count(padded, "[|][|]") + count(padded, "[?]")
}
END { exit bad }
