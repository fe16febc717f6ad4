/*
 * shoal-compat: prints the compatibility table of README.md from the command table that is linked in.
 *
 *   shoal-compat            print the table
 *   shoal-compat README.md  check that the file holds it between its marks; exit status 1 if not
 *   shoal-compat -w README.md  write it there
 *
 * tests/compat/commands.txt names every command of Redis 7.2, tests/compat/differs.txt those that differ, and how.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/command.h"

enum { MAX_GROUPS = 32, MAX_LINE = 1024 };

static const char begin_mark[] = "<!-- commands: made by `make readme` -->\n", end_mark[] = "<!-- end of commands -->\n";

struct group {
	char name[64];
	char *works, *missing;
	size_t works_len, missing_len;
	FILE *works_out, *missing_out;
	unsigned works_n, missing_n;
};

static struct group groups[MAX_GROUPS];
static size_t group_count;

static struct group *group_of(const char *name)
{
	for (size_t i = 0; i < group_count; i++)
		if (!strcmp(groups[i].name, name))
			return &groups[i];
	if (group_count == MAX_GROUPS)
		abort();
	struct group *g = &groups[group_count++];
	snprintf(g->name, sizeof g->name, "%s", name);
	g->works_out = open_memstream(&g->works, &g->works_len);
	g->missing_out = open_memstream(&g->missing, &g->missing_len);
	return g;
}

static bool is_there(const char *name)
{
	char word[64];
	snprintf(word, sizeof word, "%s", name);
	char *bar = strchr(word, '|');
	struct arg argv[2] = { { word, strlen(word) }, { NULL, 0 } };
	struct command *container = NULL;
	if (bar) {
		argv[0].len = (size_t)(bar - word);
		argv[1] = (struct arg){ bar + 1, strlen(bar + 1) };
	}
	struct command *cmd = command_lookup(argv, bar ? 2 : 1, &container);
	return cmd && (!bar || cmd->parent);
}

static void print_name(FILE *out, const char *name, bool first)
{
	fputs(first ? "" : ", ", out);
	for (; *name; name++)
		fputc(*name == '|' ? ' ' : toupper((unsigned char)*name), out);
}

static int read_commands(const char *path)
{
	char line[MAX_LINE], group[64], name[64];
	FILE *f = fopen(path, "r");
	if (!f) {
		perror(path);
		return -1;
	}
	while (fgets(line, sizeof line, f)) {
		if (*line == '#' || sscanf(line, "%63s %63s", group, name) != 2)
			continue;
		struct group *g = group_of(group);
		if (is_there(name))
			print_name(g->works_out, name, g->works_n++ == 0);
		else
			print_name(g->missing_out, name, g->missing_n++ == 0);
	}
	fclose(f);
	return 0;
}

static bool differs_applies(char *line)
{
	char name[64];
	size_t n = strcspn(line, "|");
	snprintf(name, sizeof name, "%.*s", (int)n, line);
	for (n = strlen(name); n && isspace((unsigned char)name[n - 1]); n--)
		name[n - 1] = 0;
	for (char *s = name; *s; s++)
		*s = (char)(*s == ' ' ? '|' : tolower((unsigned char)*s));
	return is_there(name);
}

static int print_differs(FILE *out, const char *path)
{
	char line[MAX_LINE];
	bool any = false;
	FILE *f = fopen(path, "r");
	if (!f) {
		perror(path);
		return -1;
	}
	while (fgets(line, sizeof line, f)) {
		if (*line == '#' || !strchr(line, '|') || !differs_applies(line))
			continue;
		if (!any)
			fprintf(out, "\n| works, and differs | how |\n|---|---|\n");
		any = true;
		line[strcspn(line, "\n")] = 0;
		fprintf(out, "| %s |\n", line);
	}
	fclose(f);
	return 0;
}

/* The whole table; malloc'ed. */
static char *make_table(void)
{
	char *text = NULL;
	size_t size;
	unsigned works = 0, all = 0;
	if (read_commands("tests/compat/commands.txt"))
		return NULL;
	FILE *out = open_memstream(&text, &size);
	for (size_t i = 0; i < group_count; i++) {
		works += groups[i].works_n;
		all += groups[i].works_n + groups[i].missing_n;
	}
	fprintf(out, "%u of the %u commands and subcommands of Redis 7.2 work.\n\n| group | works | not yet |\n|---|---|---|\n", works, all);
	for (size_t i = 0; i < group_count; i++) {
		struct group *g = &groups[i];
		fclose(g->works_out);
		fclose(g->missing_out);
		fprintf(out, "| %s | %s | %s |\n", g->name, g->works, g->missing);
		free(g->works);
		free(g->missing);
	}
	int bad = print_differs(out, "tests/compat/differs.txt");
	fclose(out);
	if (!bad)
		return text;
	free(text);
	return NULL;
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size, n;
	char buf[4096];
	if (!f) {
		perror(path);
		return NULL;
	}
	FILE *out = open_memstream(&text, &size);
	while ((n = fread(buf, 1, sizeof buf, f)) > 0)
		fwrite(buf, 1, n, out);
	fclose(out);
	fclose(f);
	return text;
}

/* Check or write the part between the marks. 0, or -1. */
static int place(const char *path, const char *table, bool writing)
{
	char *text = read_file(path);
	char *begin = text ? strstr(text, begin_mark) : NULL, *end = begin ? strstr(begin, end_mark) : NULL;
	int result = -1;
	if (!end) {
		fprintf(stderr, "%s: the marks of the command table are missing\n", path);
		goto done;
	}
	begin += sizeof begin_mark - 1;
	bool same = strlen(table) == (size_t)(end - begin) && !memcmp(begin, table, strlen(table));
	result = same ? 0 : -1;
	if (same || !writing)
		goto done;
	FILE *f = fopen(path, "w");
	if (f) {
		fwrite(text, 1, (size_t)(begin - text), f);
		fputs(table, f);
		fputs(end, f);
		result = fclose(f);
	}
done:
	free(text);
	return result;
}

int main(int argc, char **argv)
{
	if (command_init())
		return 2;
	char *table = make_table();
	int result = 0;
	if (!table)
		return 2;
	if (argc < 2) {
		fputs(table, stdout);
	} else {
		bool writing = argc > 2 && !strcmp(argv[1], "-w");
		result = place(argv[argc - 1], table, writing);
		if (!writing)
			printf("README: %d passed, %d failed%s\n", !result, result != 0, result ? ": run `make readme`" : "");
	}
	free(table);
	return result ? 1 : 0;
}
