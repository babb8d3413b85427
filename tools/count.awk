# Counts the tests in a log of `meson test`: each cmocka test, each TAP line, or one a program that has neither. Prints what failed, with
# its output, and each skip with its reason; last "COUNTS passed failed skipped".
function flush_test() {
	if (name == "")
		return
	if (!subtests) {
		if (result == "exit status 0") passed++
		else if (result == "exit status 77") { skipped++; print "SKIP " name ": " last }
		else failed++
	} else if (result != "exit status 0" && !failed_here && result != "exit status 77")
		failed++
	if (failed > failed_before)
		printf "FAILED %s (%s)\n%s", name, result, output
	name = ""
}
function skip(reason) {
	skipped++
	subtests++
	print "SKIP " name ": " reason
}
/^=+ [0-9]+\/[0-9]+ =+$/ { flush_test(); header = 1; next }
/^=+$/ { header = 1; next }
header && /^test: / { name = substr($0, 15); subtests = failed_here = 0; output = last = ""; failed_before = failed; next }
header && /^result: / { result = substr($0, 15); next }
/^-+ (stdout|stderr) -+$/ { header = 0; next }
header || name == "" { next }
{ output = output "    " $0 "\n" }
/^(not )?ok [0-9]+.*# *(SKIP|skip)/ || /^1\.\.0.*# *(SKIP|skip)/ { skip($0); next }
/^ok [0-9]+/ { passed++; subtests++; next }
/^not ok [0-9]+/ { failed++; failed_here++; subtests++; next }
/^\[       OK \]/ { passed++; subtests++; next }
/^\[  (SKIPPED |FAILED  )\] [0-9]+ test\(s\)/ { next }
/^\[  SKIPPED \] / && !((name, $0) in seen) { seen[name, $0] = 1; skip(substr($0, 14) (last == "" ? "" : " (" last ")")); next }
/^\[  FAILED  \] / && !((name, $0) in seen) { seen[name, $0] = 1; failed++; failed_here++; subtests++; next }
/^\[ RUN / { last = "" }
!/^\[/ && NF { last = $0 }
END { flush_test(); printf "COUNTS %d %d %d\n", passed, failed, skipped }
