# lint.awk: the rules of the house that one file alone can break. Prints "rule:file:line: text"; lint.sh weighs them
# against the allow-list. The rule's key in the allow-list is "rule file [function]".

function report(rule, text, key) { printf "%s\t%s:%d: %s\n", rule " " (key == "" ? FILENAME : FILENAME " " key), FILENAME, FNR, text }

function folder(path) { return path ~ /^(net|store|server|tests|bench)\// ? substr(path, 1, index(path, "/") - 1) : "" }

# Who may include whom.
function check_include(inc,    mine, theirs, dir) {
	mine = folder(FILENAME)
	theirs = folder(inc)
	if (theirs == "") return
	if (mine == "net" && theirs != "net") report("include", "net includes only net: " inc)
	if (mine == "store" && theirs != "store") report("include", "store includes only store: " inc)
	if (mine == "server" && theirs ~ /^(tests|bench)$/) report("include", "server includes no tests: " inc)
	if (inc ~ /\/impl\//) {
		dir = inc
		sub(/impl\/.*/, "", dir)
		if (substr(FILENAME, 1, length(dir)) != dir && FILENAME !~ /^tests\/(unit|fuzz)\//)
			report("include", "impl/ is private to " dir ": " inc)
	}
	if (FILENAME ~ /^server\/commands\// && (inc ~ /^net\// || inc ~ /^server\/journal\//))
		report("include", "command handlers include neither net nor journal: " inc)
}

FNR == 1 {
	if (last != "" && lines > 1000) printf "length %s\t%s: %d lines, 1000 allowed\n", last, last, lines
	last = FILENAME; name = ""; start = 0; in_comment = 0; inside = 0
	code = FILENAME ~ /\.[ch]$/
}
{ lines = FNR }

/[ \t\r]$/ { report("blank", "trailing blanks or CR") }
{
	# Columns, with tabs of 8; bytes above 127 that continue a character do not count.
	if (code && FILENAME !~ /^tests\//) {
		line = $0
		gsub(/[\200-\277]/, "", line)
		columns = length(line) + 7 * gsub(/\t/, "", line)
		if (columns > 130) report("width", columns " columns; 120 are the aim, 130 the limit")
	}
}
!code { next }

/^ +[^ *]/ && !in_comment { if ($0 ~ /^ ( {3,})[a-z}]/ && FILENAME !~ /\.h$/) report("tab", "indent with tabs") }
/\/\*/ { in_comment = 1 }
/\*\// { in_comment = 0 }

/^[ \t]*#[ \t]*include[ \t]*"/ { split($0, part, "\""); check_include(part[2]) }

{
	text = $0
	gsub(/"([^"\\]|\\.)*"/, "\"\"", text)   # not within strings
	sub(/\/\/.*/, "", text)
	gsub(/\/\*.*\*\//, "", text)
	if (inside) {
		if (text ~ /\*\//) { inside = 0; sub(/.*\*\//, "", text) } else text = ""
	}
	if (match(text, /\/\*/)) { inside = 1; text = substr(text, 1, RSTART - 1) }
	if (match(text, /(^|[^a-zA-Z0-9_>.])(strcpy|strcat|sprintf|vsprintf|atoi|atol|atoll|atof|strtok|gets)[ \t]*\(/))
		report("banned", "banned function: " substr(text, RSTART, RLENGTH))
	if (FILENAME !~ /^net\/examples\// && FILENAME ~ /^(net|store)\// && match(text, /(^|[^a-zA-Z0-9_>.])(exit|_exit|syslog|printf|perror|getenv)[ \t]*\(/))
		report("library", "libraries never log, exit or read configuration: " substr(text, RSTART, RLENGTH))
	if (text ~ /^[ \t]*typedef[ \t]+struct/) report("typedef", "struct x without typedef")
	if (text ~ /^struct server[ \t]+(\*)?server[ \t]*;/) report("global", "no global server struct")
}
/(^|[^A-Za-z])(TODO|FIXME|XXX)([^A-Za-z]|$)/ { report("todo", "unfinished work belongs into an issue") }

# Functions: from a brace in the first column to the next one.
/^[a-zA-Z_].*\(/ && !start { name = $0; sub(/\(.*/, "", name); if ($0 ~ /^START_TEST/) { name = $0; sub(/^START_TEST\(/, "", name); sub(/\).*/, "", name) } sub(/.*[ *]/, "", name) }
/^\{/ { start = FNR }
/^\}/ {
	if (start && FNR - start - 1 > 70) report("function", name "() has " (FNR - start - 1) " lines, 70 allowed", name)
	start = 0
}
END { if (lines > 1000) printf "length %s\t%s: %d lines, 1000 allowed\n", last, last, lines }
