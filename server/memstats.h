/*
 * memstats: where the process's memory is, for INFO, MEMORY and eviction. All in bytes. Threads: any.
 */
#ifndef SERVER_MEMSTATS_H
#define SERVER_MEMSTATS_H

#include <stddef.h>
#include <stdint.h>

struct memstats {
	uint64_t allocated, active, resident; /* as the allocator says */
	uint64_t rss;                         /* as the system says */
	uint64_t used, peak;                  /* data and overhead; the most there ever was */
	uint64_t data, overhead;              /* the store's; all else */
	uint64_t startup, clients;            /* parts of the overhead */
	char name[40];                        /* of the allocator */
};

void memstats_get(struct memstats *m);
/* The overhead alone; some microseconds. */
uint64_t memstats_overhead(void);
/* Give what is free back to the system. */
void memstats_purge(void);
/* The allocator's own report, malloc'ed; NULL: out of memory. */
char *memstats_allocator_text(size_t *len);

#endif
