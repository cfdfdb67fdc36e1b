# SPDX-License-Identifier: Apache-2.0
# Judge one test program from its TAP, one file per rank: a test passed if it did on every rank. Prints a report and writes
# "passed failed skipped" to the file named by count. Variables: rc, limit, label, count, seconds.
# Understands cmocka ("not ok 1 # SKIP name", the reason printed before) and bats ("ok 1 name # skip reason").
FNR == 1 { nfiles++; ord = 0; said = "" }
/^1\.\.[0-9]+/ { planned[nfiles] += substr($1, 4); has_plan = 1; next }
/^(not )?ok [0-9]+/ {
	ord++
	failed_here = /^not/
	line = $0
	sub(/^(not )?ok [0-9]+ */, "", line)
	if (match(line, /# *[Ss][Kk][Ii][Pp]/)) {
		why = substr(line, RSTART + RLENGTH)
		sub(/^ */, "", why)
		name = substr(line, 1, RSTART - 1)
		if (name == "") {     # cmocka
			name = why
			why = said
		}
		if (state[ord] != "fail") {
			state[ord] = "skip"
			reason[ord] = name ": " (why == "" ? "no reason given" : why)
		}
	} else if (failed_here) {
		state[ord] = "fail"
		reason[ord] = line
	} else if (!(ord in state)) {
		state[ord] = "pass"
	}
	if (ord > tests)
		tests = ord
	seen[nfiles] = ord
	said = ""
	if (failed_here && state[ord] == "fail")
		text[nfiles, ++lines[nfiles]] = $0
	next
}
{
	if ($0 !~ /^#/ && $0 != "")
		said = $0
	text[nfiles, ++lines[nfiles]] = $0
}
END {
	for (i = 1; i <= tests; i++)
		n[state[i]]++
	trouble = ""
	for (f = 1; f <= nfiles; f++)
		if (seen[f] + 0 != planned[f] + 0)
			trouble = sprintf("%d of %d tests reported", seen[f], planned[f])
	if (rc == 124 || rc == 137)
		trouble = "did not end within " limit " s"
	else if (rc != 0 && n["fail"] == 0)
		trouble = "exit code " rc (trouble == "" ? "" : ", " trouble)
	else if (tests == 0 && !has_plan)     # a bats file whose every test is left out says 1..0
		trouble = "reported no test"
	if (trouble != "")
		n["fail"]++
	printf "%s  %s (%d tests, %d s)%s\n", n["fail"] ? "FAIL" : (n["pass"] + 0 == 0 ? "SKIP" : "PASS"), label, tests, seconds,
	    trouble == "" ? "" : ": " trouble
	for (i = 1; i <= tests; i++)
		if (state[i] == "fail")
			print "      failed " reason[i]
	if (n["fail"])
		for (f = 1; f <= nfiles; f++) {
			from = lines[f] > 300 ? lines[f] - 299 : 1     # the end of a long story
			for (i = from; i <= lines[f]; i++)
				print "      | " text[f, i]
		}
	for (i = 1; i <= tests; i++)
		if (state[i] == "skip")
			print "      skipped " reason[i]
	print n["pass"] + 0, n["fail"] + 0, n["skip"] + 0 >count
}
