/*
 * shoal-diff: generated command streams go to Shoal and to another server side by side; every reply and the data at the
 * end must agree.
 *
 *   shoal-diff [--count N] [--seed S] [--loops 1,4] [--resp 2|3] [--groups string,keys] [--conns N] [--max N]
 *              [--allow FILE] [--trace] [--schedules N] [--messages N]
 *
 * The stream is cut into chunks of 2000 commands, each with a seed of its own and beginning with empty databases; chunk i
 * has the seed S + i, so that a chunk is replayed by its seed alone. RESP2 and RESP3 take turns.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "tests/diff/fields.h"
#include "tests/diff/messages.h"
#include "tests/diff/schedule.h"

enum { CHUNK = 2000, MAX_BATCH = 512, PRINT = 6000 };

struct item {
	size_t offset, len;
	enum compare compare;
	unsigned replies;
};

struct run {
	struct sides sides;
	struct gen gen;
	/* the batch in the making */
	char *bytes;
	size_t len, cap;
	struct item items[MAX_BATCH];
	size_t n;
	int conn;
	/* the chunk */
	uint64_t seed;
	int resp;
	bool broken, trace;
	const char *schedule; /* which option runs it, or NULL */
	/* all */
	uint64_t commands, mismatches, allowed, max;
	const char *groups;
};

/* The command as a line: words, quoted where they need it. */
static char *command_line(const char *bytes, size_t len)
{
	struct resp_value *v = resp_parse_value(bytes, len);
	char *line = malloc(len * 4 + 16), *at = line;
	for (size_t i = 0; i < v->n; i++) {
		char *word = resp_printable(v->elements[i].text, v->elements[i].len);
		bool quote = !*word || strpbrk(word, " \\\"");
		at += snprintf(at, strlen(word) + 4, quote ? "%s\"%s\"" : "%s%s", i ? " " : "", word);
		free(word);
	}
	*at = 0;
	resp_value_free(v);
	return line;
}

static void cut(char *s)
{
	if (strlen(s) > PRINT)
		memcpy(s + PRINT, "...", 4);
}

static void mismatch(struct run *r, int side, char *command, char *ours, char *theirs)
{
	if (allow_matches(r->sides.side[0].name, command, ours, theirs)) {
		r->allowed++;
		return;
	}
	cut(command);
	cut(ours);
	cut(theirs);
	r->mismatches++;
	r->broken = true;
	printf("MISMATCH  seed %" PRIu64 ", RESP%d, connection %d, %s against %s\n  command %s\n  ours    %s\n  theirs  %s\n"
	       "  replay  make diff SEED=%" PRIu64 " COUNT=%d DIFF_ARGS=\"--resp %d%s%s%s%s\"\n",
	       r->seed, r->resp, r->conn, r->sides.side[side].name, r->sides.side[0].name, command, ours, theirs, r->seed,
	       r->schedule ? 0 : CHUNK, r->resp, r->schedule ? r->schedule : "",
	       r->schedule ? " 1" : "", r->groups ? " --groups " : "", r->groups ? r->groups : "");
	fflush(stdout);
}

static void replies_differ(struct run *r, int side, const struct item *it, struct resp_bytes ours, struct resp_bytes theirs)
{
	char *command = command_line(r->bytes + it->offset, it->len);
	char *a = resp_printable(ours.ptr, ours.len), *b = resp_printable(theirs.ptr, theirs.len);
	char none_a[] = "(closed, or too late)", none_b[] = "(closed, or too late)";
	mismatch(r, side, command, ours.len ? a : none_a, theirs.len ? b : none_b);
	free(command);
	free(a);
	free(b);
}

static void run_batch(struct run *r)
{
	struct sides *s = &r->sides;
	for (int i = 0; i < s->n && r->n; i++)
		resp_send_bytes(s->side[i].conn[r->conn], r->bytes, r->len);
	for (size_t k = 0; k < r->n && !r->broken; k++) {
		const struct item *it = &r->items[k];
		if (r->trace) {
			char *line = command_line(r->bytes + it->offset, it->len);
			cut(line);
			printf("%d> %s\n", r->conn, line);
			free(line);
		}
		for (unsigned n = 0; n < it->replies && !r->broken; n++) {
			struct resp_bytes theirs, ours;
			resp_read(s->side[0].conn[r->conn], &theirs);
			if (r->trace) {
				char *text = resp_printable(theirs.ptr, theirs.len);
				cut(text);
				printf("   %s\n", text);
				free(text);
			}
			for (int i = 1; i < s->n; i++) {
				resp_read(s->side[i].conn[r->conn], &ours);
				if (!replies_agree(it->compare, ours, theirs))
					replies_differ(r, i, it, ours, theirs);
				if (!ours.len || !theirs.len)
					r->broken = true;
			}
		}
	}
	r->n = r->len = 0;
}

static void append(struct run *r, const struct gen_command *cmd)
{
	size_t size = 32;
	for (size_t i = 0; i < cmd->argc; i++)
		size += cmd->argv[i].len + 32;
	if (r->cap - r->len < size) {
		r->cap = (r->cap + size) * 2;
		r->bytes = realloc(r->bytes, r->cap);
		if (!r->bytes)
			abort();
	}
	size_t from = r->len;
	r->len += (size_t)snprintf(r->bytes + r->len, 32, "*%zu\r\n", cmd->argc);
	for (size_t i = 0; i < cmd->argc; i++) {
		r->len += (size_t)snprintf(r->bytes + r->len, 32, "$%zu\r\n", cmd->argv[i].len);
		memcpy(r->bytes + r->len, cmd->argv[i].ptr, cmd->argv[i].len);
		r->len += cmd->argv[i].len;
		memcpy(r->bytes + r->len, "\r\n", 2);
		r->len += 2;
	}
	r->items[r->n++] = (struct item){ from, r->len - from, cmd->compare, cmd->replies };
}

/* ------------------------------------------------------------------ iterations */

struct names {
	struct resp_bytes *v;
	size_t n, cap;
};

static int by_name(const void *a, const void *b)
{
	const struct resp_bytes *x = a, *y = b;
	int d = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);
	return d ? d : (x->len > y->len) - (x->len < y->len);
}

static bool collect(struct names *names, const struct resp_value *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		if (names->n == names->cap) {
			names->cap = names->cap * 2 + 64;
			names->v = realloc(names->v, names->cap * sizeof *names->v);
		}
		char *copy = malloc(keys->elements[i].len + 1);
		memcpy(copy, keys->elements[i].text, keys->elements[i].len);
		names->v[names->n++] = (struct resp_bytes){ copy, keys->elements[i].len };
	}
	return true;
}

/* A whole iteration with the command's options; the keys sorted, each once, as one printable text. Malloc'ed. */
static char *scan_all(struct resp_client *c, const struct gen_command *cmd)
{
	struct gen_command step = *cmd;
	struct names names = { 0 };
	char cursor[32] = "0", *text = NULL;
	size_t size = 1, len = 0;
	for (int calls = 0; calls < 100000; calls++) {
		step.argv[1] = (struct resp_bytes){ cursor, strlen(cursor) };
		struct resp_value *v = resp_send_argv(c, step.argc, step.argv) ? resp_read_value(c) : NULL;
		if (!v || v->n != 2) {
			text = resp_printable(v && v->text ? v->text : "(closed)", v && v->text ? v->len : 8);
			resp_value_free(v);
			goto done;
		}
		snprintf(cursor, sizeof cursor, "%s", v->elements[0].text);
		collect(&names, &v->elements[1]);
		resp_value_free(v);
		if (!strcmp(cursor, "0"))
			break;
	}
	if (names.n)
		qsort(names.v, names.n, sizeof *names.v, by_name);
	for (size_t i = 0; i < names.n; i++)
		size += names.v[i].len * 4 + 2;
	text = malloc(size + 8);
	snprintf(text, 8, "%s", names.n ? "" : "(none)");
	for (size_t i = 0; i < names.n; i++) {
		if (i && !by_name(&names.v[i], &names.v[i - 1]))
			continue;
		char *word = resp_printable(names.v[i].ptr, names.v[i].len);
		len += (size_t)snprintf(text + len, size - len, "%s ", word);
		free(word);
	}
done:
	for (size_t i = 0; i < names.n; i++)
		free((char *)(uintptr_t)names.v[i].ptr);
	free(names.v);
	return text;
}

static void compare_scan(struct run *r, const struct gen_command *cmd)
{
	char *theirs = scan_all(r->sides.side[0].conn[r->conn], cmd);
	for (int i = 1; i < r->sides.n && !r->broken; i++) {
		char *ours = scan_all(r->sides.side[i].conn[r->conn], cmd);
		if (strcmp(ours, theirs)) {
			size_t from = r->len;
			append(r, cmd);
			char *line = command_line(r->bytes + from, r->len - from);
			mismatch(r, i, line, ours, theirs);
			free(line);
			r->n = r->len = 0;
		}
		free(ours);
	}
	free(theirs);
}

static void emit(void *ctx, const struct gen_command *cmd)
{
	struct run *r = ctx;
	r->commands++;
	if (cmd->compare == CMP_SCAN) {
		run_batch(r);
		if (!r->broken)
			compare_scan(r, cmd);
		return;
	}
	if (cmd->unpipelined)
		run_batch(r);
	if (r->broken || (cmd->idle && !sides_idle(&r->sides)))
		return;
	append(r, cmd);
	if (cmd->unpipelined)
		run_batch(r);
}

/* ------------------------------------------------------------------ chunks */

static void data_differs(void *ctx, int side, const char *what, const char *ours, const char *theirs)
{
	struct run *r = ctx;
	char command[700];
	char *a = strdup(ours), *b = strdup(theirs);
	snprintf(command, sizeof command, "at the end: %s", what);
	mismatch(r, side, command, a, b);
	free(a);
	free(b);
}

static int run_chunk(struct run *r, uint64_t seed, int resp, uint64_t count)
{
	r->seed = seed;
	r->resp = resp;
	r->broken = false;
	r->n = r->len = 0;
	if (sides_begin(&r->sides, resp)) {
		printf("a server does not answer at the begin of seed %" PRIu64 "\n", seed);
		return -1;
	}
	if (r->groups && !strcmp(r->groups, "evict") && !sides_idle(&r->sides)) {
		printf("a server does not end a save\n");
		return -1;
	}
	gen_init(&r->gen, seed, resp);
	uint64_t end = r->commands + count;
	while (r->commands < end && !r->broken) {
		size_t size = 1 + gen_below(&r->gen, gen_chance(&r->gen, 50) ? 8 : 100);
		r->conn = (int)gen_below(&r->gen, (uint32_t)r->sides.conns);
		while (r->n < size && r->commands < end && !r->broken)
			gen_next(&r->gen, r->groups);
		run_batch(r);
	}
	r->conn = 0;
	if (!r->broken)
		sides_compare_data(&r->sides, data_differs, r);
	if (!r->broken)
		sides_check_journal(&r->sides, data_differs, r);
	if (!r->broken)
		sides_note_coverage(&r->sides);
	sides_end(&r->sides);
	return 0;
}

static void schedule_differs(void *ctx, int side, const char *what, const char *ours, const char *theirs)
{
	struct run *r = ctx;
	char *command = strdup(what), *a = strdup(ours), *b = strdup(theirs);
	mismatch(r, side, command, a, b);
	free(command);
	free(a);
	free(b);
}

typedef int schedule_fn(struct sides *s, struct gen *g, sides_fail *fail, void *ctx);

/* Clients that wait for each other, or hear of each other; as many connections as there can be. */
static int run_schedule(struct run *r, schedule_fn *schedule, const char *option, uint64_t seed, int resp)
{
	int conns = r->sides.conns;
	r->seed = seed;
	r->resp = resp;
	r->broken = false;
	r->schedule = option;
	r->conn = 0;
	r->sides.conns = MAX_CONNS;
	int result = sides_begin(&r->sides, resp);
	if (!result) {
		gen_init(&r->gen, seed, resp);
		if (!schedule(&r->sides, &r->gen, schedule_differs, r))
			sides_compare_data(&r->sides, data_differs, r);
		if (!r->broken)
			sides_check_journal(&r->sides, data_differs, r);
		sides_end(&r->sides);
	}
	r->sides.conns = conns;
	r->schedule = NULL;
	return result;
}

static bool has_types(struct sides *s)
{
	struct resp_client *c = resp_connect(s->side[1].proc.port);
	struct resp_value *v = c ? resp_ask(c, "COMMAND INFO rpush sadd hset zadd xadd") : NULL;
	bool all = v && v->n == 5;
	for (size_t i = 0; all && i < v->n; i++)
		all = v->elements[i].n > 0;
	resp_value_free(v);
	resp_close(c);
	return all;
}

struct options {
	uint64_t count, seed;
	const char *loops, *allow;
	int resp, conns;
	long schedules, messages; /* -1: one for 5000 commands */
};

static int parse_options(int argc, char **argv, struct options *o, struct run *r)
{
	static const struct option names[] = {
		{ "count", 1, NULL, 'n' }, { "seed", 1, NULL, 's' }, { "loops", 1, NULL, 'l' }, { "resp", 1, NULL, 'r' },
		{ "groups", 1, NULL, 'g' }, { "conns", 1, NULL, 'c' }, { "max", 1, NULL, 'm' }, { "allow", 1, NULL, 'a' },
		{ "trace", 0, NULL, 't' }, { "schedules", 1, NULL, 'S' }, { "messages", 1, NULL, 'M' },
		{ NULL, 0, NULL, 0 },
	};
	for (int ch; (ch = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		switch (ch) {
		case 'n': o->count = strtoull(optarg, NULL, 10); break;
		case 's': o->seed = strtoull(optarg, NULL, 10); break;
		case 'l': o->loops = optarg; break;
		case 'r': o->resp = (int)strtol(optarg, NULL, 10); break;
		case 'g': r->groups = optarg; break;
		case 'c': o->conns = (int)strtol(optarg, NULL, 10); break;
		case 'm': r->max = strtoull(optarg, NULL, 10); break;
		case 'a': o->allow = optarg; break;
		case 't': r->trace = true; break;
		case 'S': o->schedules = strtol(optarg, NULL, 10); break;
		case 'M': o->messages = strtol(optarg, NULL, 10); break;
		default: return -1;
		}
	}
	if (o->conns < 1 || o->conns > MAX_CONNS)
		return -1;
	return 0;
}

int main(int argc, char **argv)
{
	static struct run r = { .max = 20 };
	struct options o = { 1000000, (uint64_t)time(NULL), "1,4", "tests/diff/allow.txt", 0, 3, -1, -1 };
	if (parse_options(argc, argv, &o, &r) || allow_load(o.allow) || sides_start(&r.sides, o.loops, o.conns))
		return 2;
	r.gen.emit = emit;
	r.gen.ctx = &r;
	r.gen.types = has_types(&r.sides);
	printf("diff: %" PRIu64 " commands from seed %" PRIu64 " against %s\n", o.count, o.seed, r.sides.side[0].name);
	fflush(stdout);
	time_t began = time(NULL);
	int result = 0;
	uint64_t chunks = 0;
	for (; r.commands < o.count && r.mismatches < r.max && !result; chunks++) {
		uint64_t left = o.count - r.commands;
		int resp = o.resp ? o.resp : chunks % 2 ? 3 : 2;
		result = run_chunk(&r, o.seed + chunks, resp, left < CHUNK ? left : CHUNK);
	}
	if (o.schedules < 0)
		o.schedules = r.groups ? 0 : (long)(o.count / 5000);
	if (o.messages < 0)
		o.messages = r.groups ? 0 : (long)(o.count / 5000);
	for (long i = 0; i < o.schedules && r.mismatches < r.max && !result; i++)
		result = run_schedule(&r, schedule_run, " --schedules", o.seed + (uint64_t)i, o.resp ? o.resp : i % 2 ? 3 : 2);
	for (long i = 0; i < o.messages && r.mismatches < r.max && !result; i++)
		result = run_schedule(&r, messages_run, " --messages", o.seed + (uint64_t)i, o.resp ? o.resp : i % 2 ? 3 : 2);
	bool all = !r.groups, hashes = all || !strcmp(r.groups, "hash");
	if (all && !result && !(result = sides_begin(&r.sides, 2))) {
		fields_compare(&r.sides, schedule_differs, &r);
		sides_end(&r.sides);
	}
	r.groups = "evict";
	for (uint64_t i = 0; all && i <= o.count / 50000 && r.mismatches < r.max && !result; i++)
		result = run_chunk(&r, o.seed + i, o.resp ? o.resp : i % 2 ? 3 : 2, CHUNK);
	allow_print();
	int missing = 0;
	if (!result && all && r.commands >= 100000 && !r.mismatches)
		missing = sides_print_uncovered(&r.sides);
	if (!result && hashes && r.commands >= 10000 && !r.mismatches)
		missing += sides_print_unshared(&r.sides);
	if (sides_stop(&r.sides))
		result = -1;
	gen_free(&r.gen);
	free(r.bytes);
	printf("diff: %" PRIu64 " commands in %lld s, RESP2 and RESP3, loops %s, %" PRIu64 " intended differences\n", r.commands,
	       (long long)(time(NULL) - began), o.loops, r.allowed);
	uint64_t bad = r.mismatches + (uint64_t)missing + (result != 0);
	printf("diff: %ld schedules of clients that wait for each other, %ld of clients that hear of each other\n", o.schedules,
	       o.messages);
	printf("diff: %" PRIu64 " passed, %" PRIu64 " failed\n", bad ? chunks - (r.mismatches < chunks ? r.mismatches : chunks) : chunks,
	       bad);
	return bad != 0;
}
