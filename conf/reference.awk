# reference.awk: man pages from the public headers of libshoalnet: one page for each header, and for each function a page
# that leads there.
#
#     awk -f conf/reference.awk -v dir=DIR -v version=0.1.0 net/*.h
#
# A header begins with a comment "name: what it is". Then each comment at the left margin speaks of the declarations that
# follow it, up to an empty line or the next comment. A comment of one line with dashes begins a section. The program fails
# if a function has no comment.

function fail(text) { print text >"/dev/stderr"; bad = 1 }

function escape(s) {
	gsub(/\\/, "\\e", s)
	gsub(/-/, "\\-", s)
	if (s ~ /^[.']/)
		s = "\\&" s
	return s
}

function put(s) { body = body s "\n" }

# The lines of a comment: paragraphs, items that begin with a dash, and what is indented as it stands.
function put_text(n,   i, s, plain, item) {
	plain = item = 0
	for (i = 1; i <= n; i++) {
		s = text[i]
		if (s !~ /^ /) item = 0
		if (s ~ /^(    |\t)/ && !plain && !item) { put(".PP\n.nf"); plain = 1 }
		else if (s !~ /^(    |\t)/ && plain) { put(".fi"); plain = 0 }
		if (s == "") { if (i < n && text[i + 1] !~ /^(    |\t)/) put(".PP") }
		else if (s ~ /^ *- /) { sub(/^ *- /, "", s); item = 1; put(".IP \\(bu 2\n" escape(s)) }
		else if (plain) put("\\&" escape(s))
		else { if (s ~ /^(Ownership|Threads): /) put(".PP"); sub(/^ */, "", s); put(escape(s)) }
	}
	if (plain) put(".fi")
}

function take_line(s) {
	sub(/^[ \t]*\/\*+ ?/, "", s)
	sub(/[ \t]*\*\/[ \t]*$/, "", s)
	sub(/^ \* ?/, "", s)
	return s
}

function end_group(   i) {
	if (decls) {
		put(".PP\n.nf")
		for (i = 1; i <= decls; i++) put("\\fB" escape(decl[i]) "\\fP")
		put(".fi")
		if (texts) { put(".RS 4"); put_text(texts); put(".RE") }
	}
	decls = texts = group_open = 0
}

# The name that a declaration of a function declares; empty for others.
function function_name(s) {
	if (s ~ /^(typedef|struct [a-z_]+ \{|enum|#|static)/ || !match(s, /[a-z_0-9]+\(/))
		return ""
	return substr(s, RSTART, RLENGTH - 1)
}

function end_declaration(   name) {
	name = function_name(whole)
	if (name != "") {
		if (!texts && whole_line !~ /\/\*/) fail(FILENAME ": " name "() has no comment")
		names[++functions] = name
	}
	whole = ""
}

function begin_page() {
	page = FILENAME
	sub(/.*\//, "", page)
	sub(/\.h$/, "", page)
	page = "shoalnet_" page
	body = brief = whole = ""
	functions = decls = texts = depth = in_comment = begun = cpp = 0
}

function end_page(   f, i, list) {
	end_group()
	f = dir "/" page ".3"
	list = page
	for (i = 1; i <= functions; i++) list = list ", " names[i]
	printf ".TH %s 3 \"\" \"libshoalnet %s\"\n.SH NAME\n%s \\- %s\n", toupper(page), version, list, escape(brief) >f
	printf ".SH SYNOPSIS\n.nf\n\\fB#include \"net/%s.h\"\\fP\n", substr(page, 10) >f
	printf "cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs libshoalnet)\n.fi\n.SH DESCRIPTION\n%s", body >f
	close(f)
	for (i = 1; i <= functions; i++) {
		f = dir "/" names[i] ".3"
		print ".so man3/" page ".3" >f
		close(f)
	}
}

FNR == 1 { if (page) end_page(); begin_page() }

/^#if(def)? .*cplusplus/ { cpp = 1; next }
cpp { if (/^#endif/) cpp = 0; next }
/^#(if|endif|include)/ || /^#define [A-Z_]+_H$/ { next }

# Comments at the left margin.
!depth && whole == "" && (in_comment || /^\/\*/) {
	if (!in_comment) end_group()
	in_comment = !/\*\//
	s = take_line($0)
	if (!in_comment && s ~ /^----/) {
		sub(/^-+ */, "", s)
		put(".SH " escape(toupper(substr(s, 1, 1)) substr(s, 2)))
		next
	}
	if (s != "" || (texts && in_comment)) text[++texts] = s
	if (in_comment || begun) next
	begun = 1 # the comment of the whole header is over
	brief = text[1]
	sub(/^[a-z]+: /, "", brief)
	text[1] = toupper(substr(brief, 1, 1)) substr(brief, 2)
	put_text(texts)
	sub(/\. .*|\.$|, as a .*/, "", brief)
	texts = 0
	next
}

/^[ \t]*$/ && !depth { end_group(); next }

{
	line = $0
	gsub(/\t/, "    ", line)
	decl[++decls] = line
	bare = $0
	gsub(/\/\*.*(\*\/|$)/, "", bare)
	if (open_comment) { if (bare ~ /\*\//) open_comment = 0; bare = "" }
	else if ($0 ~ /\/\*/ && $0 !~ /\*\//) open_comment = 1
	whole = whole bare
	whole_line = $0
	depth += gsub(/\{/, "{", bare) - gsub(/\}/, "}", bare)
	if (!depth && (bare ~ /;[ \t]*$/ || bare ~ /^#/)) end_declaration()
}

END { if (page) end_page(); exit bad }
