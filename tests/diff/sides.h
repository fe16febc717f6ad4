/*
 * sides: the servers that are compared: side 0 is the oracle, the others are Shoal with different numbers of loops.
 */
#ifndef TESTS_DIFF_SIDES_H
#define TESTS_DIFF_SIDES_H

#include "tests/diff/compare.h"
#include "tests/lib/proc.h"

enum { MAX_SIDES = 5, MAX_CONNS = 8 };

struct side {
	struct proc proc;
	char name[64]; /* "redis-7.0.15", "shoal, 4 loops" */
	struct resp_client *conn[MAX_CONNS];
};

struct sides {
	struct side side[MAX_SIDES];
	int n;
	int conns;
};

/* Start the oracle and one Shoal per number in "1,4". 0 or -1. */
int sides_start(struct sides *s, const char *loops, int conns);
/* Stop and check. 0 or -1. */
int sides_stop(struct sides *s);
/* Fresh connections, empty databases, the configuration as at the start. 0 or -1: a server is gone. */
int sides_begin(struct sides *s, int resp);
void sides_end(struct sides *s);
/* Until no server saves in the background; false: not in time. Begun. */
bool sides_idle(struct sides *s);

/* The final state, key by key: type, encoding, time to live, digest, content, and what RESTORE makes of DUMP, from each
 * side to the other; and the digest of all. Differences are reported through fail(). In final.c. */
typedef void sides_fail(void *ctx, int side, const char *what, const char *ours, const char *theirs);
void sides_compare_data(struct sides *s, sides_fail *fail, void *ctx);
/* Replay of the journal into a second store, where the server can: reported as above. */
void sides_check_journal(struct sides *s, sides_fail *fail, void *ctx);
/* Note which commands INFO commandstats has seen, over all chunks. */
void sides_note_coverage(struct sides *s);
/* Rows of Shoal's command table that were never called, printed; their number. */
int sides_print_uncovered(struct sides *s);
/* Whether no hashes have shared their fields anywhere, which is printed. */
int sides_print_unshared(struct sides *s);

#endif
