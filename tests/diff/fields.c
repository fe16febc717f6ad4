/* fields: see fields.h. */
#include "tests/diff/fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Their lines are named after what was called, not after what there is. */
static bool counts_calls(const char *section)
{
	return !strcmp(section, "Commandstats") || !strcmp(section, "Errorstats") || !strcmp(section, "Latencystats");
}

/* The section's text within all of INFO, up to the next one. NULL: there is no such section. */
static const char *find_section(const char *info, const char *section, size_t *len)
{
	char head[80];
	snprintf(head, sizeof head, "# %s\r\n", section);
	const char *at = strstr(info, head), *end = at ? strstr(at + 2, "\r\n# ") : NULL;
	if (at)
		*len = end ? (size_t)(end - at) + 2 : strlen(at);
	return at;
}

static bool has_field(const char *info, const char *section, const char *name)
{
	char line[160];
	size_t len;
	const char *at = find_section(info, section, &len);
	int n = snprintf(line, sizeof line, "\r\n%s:", name);
	return at && memmem(at, len, line, (size_t)n);
}

/* theirs is changed. */
static void compare_info(int side, const char *ours, char *theirs, sides_fail *fail, void *ctx)
{
	char section[64] = "", *rest;
	for (char *line = theirs; *line; line = rest) {
		char what[256];
		size_t len = strcspn(line, "\r\n");
		rest = line + len + strspn(line + len, "\r\n");
		line[len] = 0;
		if (!strncmp(line, "# ", 2)) {
			snprintf(section, sizeof section, "%s", line + 2);
			if (find_section(ours, section, &len))
				continue;
			snprintf(what, sizeof what, "INFO everything: # %s", section);
		} else {
			line[strcspn(line, ":")] = 0;
			if (counts_calls(section) || has_field(ours, section, line))
				continue;
			snprintf(what, sizeof what, "INFO everything: # %s: %s", section, line);
		}
		fail(ctx, side, what, "(missing)", "(there)");
	}
}

/* Names in their order. */
static void list_names(const char *list, char *names, size_t size)
{
	size_t n = 0;
	for (const char *at = list; *at && *at != '\n' && n + 40 < size; at += strcspn(at, " \n"), at += *at == ' ')
		n += (size_t)snprintf(names + n, size - n, "%.*s ", (int)strcspn(at, "= \n"), at);
	names[n] = 0;
}

static void compare_list(int side, const char *ours, const char *theirs, sides_fail *fail, void *ctx)
{
	char a[1024], b[1024];
	list_names(ours, a, sizeof a);
	list_names(theirs, b, sizeof b);
	if (strcmp(a, b))
		fail(ctx, side, "CLIENT LIST: names of fields", a, b);
}

static void compare_answers(struct sides *s, const char *question, sides_fail *fail, void *ctx)
{
	bool info = !strncmp(question, "INFO", 4);
	for (int i = 1; i < s->n; i++) {
		struct resp_value *theirs = resp_ask(s->side[0].conn[0], question), *ours = resp_ask(s->side[i].conn[0], question);
		const char *text = ours && ours->text ? ours->text : "";
		if (!theirs || !theirs->text)
			fail(ctx, i, question, text, "(closed)");
		else if (info)
			compare_info(i, text, theirs->text, fail, ctx);
		else
			compare_list(i, text, theirs->text, fail, ctx);
		resp_value_free(theirs);
		resp_value_free(ours);
	}
}

void fields_compare(struct sides *s, sides_fail *fail, void *ctx)
{
	for (int i = 0; i < s->n; i++)
		resp_value_free(resp_ask(s->side[i].conn[0], "SET fields v EX 1000")); /* for the section of keys */
	compare_answers(s, "INFO everything", fail, ctx);
	compare_answers(s, "CLIENT LIST", fail, ctx);
}
