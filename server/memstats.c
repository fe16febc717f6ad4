/* memstats: see memstats.h. */
#include "server/memstats.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifndef SHOAL_NO_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

#include "net/net.h"
#include "server/client.h"
#include "server/server.h"
#include "store/memory.h"
#include "store/store.h"

#ifndef SHOAL_NO_JEMALLOC
static uint64_t stat(const char *name)
{
	size_t v = 0, size = sizeof v;
	return mallctl(name, &v, &size, NULL, 0) ? 0 : v;
}

static void ask_allocator(struct memstats *a)
{
	uint64_t epoch = 1;
	const char *version = "";
	size_t size = sizeof epoch, len = sizeof version;
	mallctl("epoch", &epoch, &size, &epoch, size);
	mallctl("version", &version, &len, NULL, 0);
	a->allocated = stat("stats.allocated");
	a->active = stat("stats.active");
	a->resident = stat("stats.resident");
	snprintf(a->name, sizeof a->name, "jemalloc-%.*s", (int)strcspn(version, "-"), version);
}
#else
static void ask_allocator(struct memstats *a)
{
	struct mallinfo2 m = mallinfo2();
	a->allocated = m.uordblks + m.hblkhd;
	a->active = a->resident = m.arena + m.hblkhd;
	snprintf(a->name, sizeof a->name, "libc");
}
#endif

static uint64_t resident_bytes(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f) {
		if (fscanf(f, "%*u %llu", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t client_bytes(void)
{
	uint64_t sum = (uint64_t)client_count() * sizeof(struct client);
	for (int i = 0; i < net_server_loops(server_net()); i++) {
		struct net_loop_stats s;
		net_loop_get_stats(net_server_loop(server_net(), i), &s);
		sum += s.memory;
	}
	return sum;
}

void memstats_get(struct memstats *m)
{
	static uint64_t startup; /* what was in use beside the data when first asked */
	uint64_t unset = 0;
	ask_allocator(m);
	m->data = mem_used();
	m->rss = resident_bytes();
	m->clients = client_bytes();
	m->used = m->allocated > m->data ? m->allocated : m->data;
	m->overhead = m->used - m->data;
	m->peak = mem_peak() > m->data ? mem_peak() + m->overhead : m->used;
	__atomic_compare_exchange_n(&startup, &unset, m->overhead > m->clients ? m->overhead - m->clients : m->overhead, false,
	                            __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	m->startup = __atomic_load_n(&startup, __ATOMIC_RELAXED);
}

uint64_t memstats_overhead(void)
{
	struct memstats m;
	ask_allocator(&m);
	uint64_t data = mem_used();
	return m.allocated > data ? m.allocated - data : 0;
}

#ifndef SHOAL_NO_JEMALLOC
static void write_text(void *ctx, const char *text)
{
	fputs(text, ctx);
}

void memstats_purge(void)
{
	char name[32];
	snprintf(name, sizeof name, "arena.%u.purge", (unsigned)MALLCTL_ARENAS_ALL);
	mallctl(name, NULL, NULL, NULL, 0);
}

char *memstats_allocator_text(size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);
	if (!f)
		return NULL;
	malloc_stats_print(write_text, f, NULL);
	fclose(f);
	return text;
}
#else
void memstats_purge(void)
{
	malloc_trim(0);
}

char *memstats_allocator_text(size_t *len)
{
	static const char none[] = "Stats not supported for the current allocator";
	*len = sizeof none - 1;
	return strdup(none);
}
#endif
