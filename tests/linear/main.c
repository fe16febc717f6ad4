/*
 * shoal-linear: records what clients do at the same time, and checks that it could have been done one after the other:
 *
 *     shoal-linear [--histories N] [--ops N] [--clients N] [--loops N]
 *
 * Before that the checks judge small histories whose verdict is known; and each recorded history, once accepted, is
 * spoilt in one place and must then be refused. SEED is printed and taken from the environment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/proc.h"
#include "tests/lib/rng.h"
#include "tests/linear/record.h"
#include "tests/linear/selftest.h"

struct options {
	unsigned histories, clients;
	int loops;
	size_t ops;
};

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool parse(struct options *o, int argc, char **argv)
{
	for (int i = 1; i < argc; i += 2) {
		unsigned long n = i + 1 < argc ? strtoul(argv[i + 1], NULL, 10) : 0;
		if (!n || n > 1000000)
			return false;
		if (!strcmp(argv[i], "--histories"))
			o->histories = (unsigned)n;
		else if (!strcmp(argv[i], "--ops"))
			o->ops = n;
		else if (!strcmp(argv[i], "--clients") && n <= MAX_CLIENTS)
			o->clients = (unsigned)n;
		else if (!strcmp(argv[i], "--loops"))
			o->loops = (int)n;
		else
			return false;
	}
	return o->ops <= 100000; /* the number of lists fits */
}

/* 0: accepted, and refused when spoilt. */
static int one_history(const struct record_spec *spec, struct rng *rng, unsigned long *lost)
{
	struct history h;
	struct verdict v = { "" };
	int result = record(spec, &h, &v);
	if (!result)
		result = history_check(&h, &v);
	if (result)
		fprintf(stderr, "history %u is refused: %s", spec->number, v.why);
	for (size_t i = 0; i < h.ops; i++)
		*lost += h.op[i].kind == REG_CAS_LOST;
	if (!result && h.ops + h.txns > 1000) {
		if (!history_spoil(&h, rng_next(rng))) {
			fprintf(stderr, "history %u: nothing to spoil\n", spec->number);
			result = -1;
		} else if (history_check(&h, &v) == 0) {
			fprintf(stderr, "history %u was spoilt, and is accepted\n", spec->number);
			result = -1;
		}
	}
	history_clear(&h);
	return result;
}

int main(int argc, char **argv)
{
	struct options o = { .histories = 200, .ops = 10000, .clients = 8, .loops = 4 };
	struct proc server;
	struct rng rng;
	unsigned known, passed = 0, failed;
	unsigned long refused = 0;
	if (!parse(&o, argc, argv)) {
		fprintf(stderr, "usage: shoal-linear [--histories N] [--ops N] [--clients N (to %d)] [--loops N]\n", MAX_CLIENTS);
		return 2;
	}
	rng_init(&rng, "linear");
	failed = selftest(&known);
	struct proc_spec spec = { .loops = o.loops };
	if (failed || proc_start(&server, &spec)) {
		printf("linear: 0 passed, %u failed\n", failed ? failed : 1);
		return 1;
	}
	double start = now_s();
	for (unsigned i = 0; i < o.histories && !failed; i++) { /* a server that was wrong once may be gone */
		struct record_spec r = { server.port, o.clients, i, o.ops, rng_next(&rng) };
		if (one_history(&r, &rng, &refused))
			failed++;
		else
			passed++;
	}
	if (proc_stop(&server))
		failed++;
	printf("%u small histories judged; %u of %zu operations by %u clients at %d loops in %.1f s, %lu EXEC refused by WATCH\n",
	       known, o.histories, o.ops, o.clients, o.loops, now_s() - start, refused);
	printf("linear: %u passed, %u failed\n", passed, failed);
	return failed != 0;
}
