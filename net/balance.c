/* balance: which loop gets a new connection. */
#include <netinet/in.h>
#include <string.h>

#include "net/internal.h"

/* FNV-1a over the address without the port, so that a client keeps its loop; mixed, so that neighbours are spread. */
static unsigned hash_source(const struct sockaddr_storage *a)
{
	const unsigned char *p;
	size_t n;
	if (a->ss_family == AF_INET) {
		p = (const unsigned char *)&((const struct sockaddr_in *)a)->sin_addr;
		n = 4;
	} else if (a->ss_family == AF_INET6) {
		p = (const unsigned char *)&((const struct sockaddr_in6 *)a)->sin6_addr;
		n = 16;
	} else {
		return 0;
	}
	uint64_t h = 14695981039346656037ull;
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 1099511628211ull;
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdull;
	return (unsigned)(h >> 32);
}

static uint64_t next_random(struct net_server *s)
{
	uint64_t x = atomic_fetch_add_explicit(&s->random, 0x9e3779b97f4a7c15ull, memory_order_relaxed);
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static struct net_loop *least_connections(struct net_server *s)
{
	unsigned n = (unsigned)s->o.loops, start = atomic_fetch_add_explicit(&s->next_loop, 1, memory_order_relaxed);
	struct net_loop *best = s->loops[start % n];
	for (unsigned i = 1; i < n; i++) {
		struct net_loop *l = s->loops[(start + i) % n];
		if (atomic_load_explicit(&l->conn_count, memory_order_relaxed) <
		    atomic_load_explicit(&best->conn_count, memory_order_relaxed))
			best = l;
	}
	return best;
}

struct net_loop *balance_choose(struct net_server *s, const struct sockaddr_storage *peer)
{
	unsigned n = (unsigned)s->o.loops;
	switch (s->o.balance) {
	case NET_LEAST_CONNECTIONS:
		return least_connections(s);
	case NET_RANDOM:
		return s->loops[next_random(s) % n];
	case NET_SOURCE_HASH:
		return s->loops[hash_source(peer) % n];
	case NET_ROUND_ROBIN:
		break;
	}
	return s->loops[atomic_fetch_add_explicit(&s->next_loop, 1, memory_order_relaxed) % n];
}
