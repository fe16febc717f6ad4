#include "tests/diff/sides.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void describe(struct side *side, int loops)
{
	struct resp_client *c = resp_connect(side->proc.port);
	struct resp_value *v = c ? resp_ask(c, "INFO server") : NULL;
	const char *text = v && v->text ? v->text : "";
	const char *valkey = strstr(text, "valkey_version:"), *redis = strstr(text, "redis_version:");
	const char *at = valkey ? valkey + 15 : redis ? redis + 14 : "?\r";
	if (loops)
		snprintf(side->name, sizeof side->name, "shoal, %d loop%s", loops, loops == 1 ? "" : "s");
	else
		snprintf(side->name, sizeof side->name, "%s-%.*s", valkey ? "valkey" : "redis", (int)strcspn(at, "\r\n"), at);
	resp_value_free(v);
	resp_close(c);
}

static int start(struct sides *s, int loops)
{
	struct side *side = &s->side[s->n];
	struct proc_spec spec = { .oracle = !loops, .loops = loops };
	if (proc_start(&side->proc, &spec)) {
		char *log = proc_output(&side->proc, false), *err = proc_output(&side->proc, true);
		fprintf(stderr, "diff: %s does not start\n%s\n%s\n", loops ? "shoal-server" : "the oracle", log, err);
		free(log);
		free(err);
		proc_clean(&side->proc);
		return -1;
	}
	describe(side, loops);
	s->n++;
	return 0;
}

int sides_start(struct sides *s, const char *loops, int conns)
{
	memset(s, 0, sizeof *s);
	s->conns = conns;
	if (start(s, 0))
		return -1;
	for (char *rest = (char *)(uintptr_t)loops; *rest && s->n < MAX_SIDES; rest += *rest == ',') {
		char *from = rest;
		int n = (int)strtol(from, &rest, 10);
		if (rest == from || n < 1 || start(s, n)) {
			sides_stop(s);
			return -1;
		}
	}
	return 0;
}

int sides_stop(struct sides *s)
{
	int result = 0;
	for (int i = 0; i < s->n; i++)
		if (proc_stop(&s->side[i].proc) && i)
			result = -1;
	s->n = 0;
	return result;
}

void sides_end(struct sides *s)
{
	for (int i = 0; i < s->n; i++) {
		for (int k = 0; k < s->conns; k++) {
			resp_close(s->side[i].conn[k]);
			s->side[i].conn[k] = NULL;
		}
	}
}

static bool saves(struct resp_client *c)
{
	static const char *const busy[] = { "rdb_bgsave_in_progress:1", "aof_rewrite_in_progress:1", "aof_rewrite_scheduled:1" };
	struct resp_value *v = resp_ask(c, "INFO persistence");
	bool any = false;
	for (size_t k = 0; k < sizeof busy / sizeof *busy; k++)
		any = any || (v && v->text && strstr(v->text, busy[k]));
	resp_value_free(v);
	return any;
}

/* On connections of its own: those of the streams may be in any state. */
bool sides_idle(struct sides *s)
{
	bool idle = true;
	for (int i = 0; i < s->n; i++) {
		struct resp_client *c = resp_connect(s->side[i].proc.port);
		time_t late = time(NULL) + 300;
		while (c && saves(c) && time(NULL) < late)
			;
		idle = idle && c && time(NULL) < late;
		resp_close(c);
	}
	return idle;
}

int sides_begin(struct sides *s, int resp)
{
	/* What the streams change (gen_admin.c), set back. */
	static const char *const restore[] = {
		"FLUSHALL", "FUNCTION FLUSH", "CLIENT UNPAUSE", "DEBUG SET-ACTIVE-EXPIRE 1",
		"CONFIG SET maxmemory 0 maxmemory-policy noeviction maxmemory-eviction-tenacity 10 lfu-log-factor 10",
		"CONFIG SET maxmemory-samples 5 timeout 0 slowlog-max-len 128 slowlog-log-slower-than 10000 lfu-decay-time 1 "
		"lazyfree-lazy-expire no list-max-listpack-size -2 hz 10 tcp-keepalive 300 loglevel notice "
		"notify-keyspace-events \"\" proto-max-bulk-len 512mb latency-tracking yes repl-backlog-size 1mb "
		"hash-max-listpack-entries 512 hash-max-listpack-value 64 list-compress-depth 0 set-max-intset-entries 512",
		"CONFIG SET set-max-listpack-entries 128 set-max-listpack-value 64", /* not known to 7.0 */
	};
	for (int i = 0; i < s->n; i++) {
		for (int k = 0; k < s->conns; k++) {
			struct resp_client *c = s->side[i].conn[k] = resp_connect(s->side[i].proc.port);
			if (!c)
				return -1;
			for (size_t r = 0; k == 0 && r < sizeof restore / sizeof *restore; r++)
				resp_value_free(resp_ask(c, restore[r]));
			if (k == 0 && i > 0)
				resp_value_free(resp_ask(c, "DEBUG JOURNAL START"));
			struct resp_value *v = resp_ask(c, resp == 3 ? "HELLO 3" : "HELLO 2");
			bool ok = v && v->type == (resp == 3 ? '%' : '*');
			resp_value_free(v);
			if (!ok)
				return -1;
		}
	}
	return 0;
}

void sides_check_journal(struct sides *s, sides_fail *fail, void *ctx)
{
	for (int i = 1; i < s->n; i++) {
		struct resp_value *v = resp_ask(s->side[i].conn[0], "DEBUG JOURNAL CHECK");
		bool unknown = v && v->type == '-' && (strstr(v->text, "unknown subcommand") || strstr(v->text, "DEBUG subcommand"));
		if (!v || (v->type == '-' && !unknown))
			fail(ctx, i, "DEBUG JOURNAL CHECK", v ? v->text : "(closed)", "OK");
		resp_value_free(v);
		resp_value_free(resp_ask(s->side[i].conn[0], "DEBUG JOURNAL STOP"));
	}
}

/* ------------------------------------------------------------------ coverage */

enum { MAX_NAMES = 1000 };
static char *covered[MAX_NAMES];
static size_t covered_count;

static bool is_covered(const char *name)
{
	for (size_t i = 0; i < covered_count; i++)
		if (!strcasecmp(covered[i], name))
			return true;
	return false;
}

void sides_note_coverage(struct sides *s)
{
	for (int i = 1; i < s->n; i++) {
		struct resp_value *v = resp_ask(s->side[i].conn[0], "INFO commandstats");
		for (char *at = v && v->text ? strstr(v->text, "cmdstat_") : NULL; at; at = strstr(at + 1, "cmdstat_")) {
			char name[64];
			long calls = 0;
			if (sscanf(at, "cmdstat_%63[^:]:calls=%ld", name, &calls) == 2 && calls > 0 && !is_covered(name) &&
			    covered_count < MAX_NAMES)
				covered[covered_count++] = strdup(name);
		}
		resp_value_free(v);
	}
}

/* Not for streams, with the tests that have them instead. */
static bool is_elsewhere(const char *name)
{
	static const char *const names[] = { "quit", "monitor" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcasecmp(name, names[i]))
			return true;
	return strstr(name, "|help") != NULL;
}

static int note_uncovered(const char *name)
{
	if (is_covered(name) || is_elsewhere(name))
		return 0;
	printf("never called: %s\n", name);
	return 1;
}

int sides_print_uncovered(struct sides *s)
{
	int missing = 0;
	struct resp_client *c = resp_connect(s->side[1].proc.port);
	struct resp_value *info = c ? resp_ask(c, "COMMAND") : NULL;
	for (size_t i = 0; info && i < info->n; i++) {
		const struct resp_value *row = &info->elements[i];
		const struct resp_value *subs = row->n >= 10 ? &row->elements[9] : NULL;
		if (!row->n)
			continue;
		if (!subs || !subs->n)
			missing += note_uncovered(row->elements[0].text);
		for (size_t k = 0; subs && k < subs->n; k++)
			missing += subs->elements[k].n ? note_uncovered(subs->elements[k].elements[0].text) : 0;
	}
	resp_value_free(info);
	resp_close(c);
	return missing;
}

int sides_print_unshared(struct sides *s)
{
	int missing = 0;
	for (int i = 1; i < s->n; i++) {
		struct resp_client *c = resp_connect(s->side[i].proc.port);
		struct resp_value *info = c ? resp_ask(c, "INFO memory") : NULL;
		const char *at = info && info->text ? strstr(info->text, "hash_shapes:") : NULL;
		long shapes = at ? strtol(at + 12, NULL, 10) : 0;
		if (shapes < 5) {
			printf("%ld lists of fields are shared by hashes of %s\n", shapes, s->side[i].name);
			missing++;
		}
		resp_value_free(info);
		resp_close(c);
	}
	return missing;
}
