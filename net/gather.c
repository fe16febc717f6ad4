/*
 * gather: a busy loop that serves one or two connections per turn pays for a sleep, a wake-up and a look at the poller
 * with nearly every request. Sleeping a moment longer gathers more of them into one turn, as network cards gather
 * interrupts: about a fifth less CPU per request, at no loss of throughput, because the peers get work in batches too.
 *
 * It pays while turns are small, and it harms where all peers wait for us: then nothing arrives during the sleep. So a
 * loop gathers only while it is busy, many connections are active, and the last turn had few events; the fewer are active,
 * the shorter it sleeps. Time is cut into windows; what one window showed decides for the next.
 */
#include <time.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "net/internal.h"

#define WINDOW_NS 2000000
#define LULL_NS (8 * WINDOW_NS)
#define CONNS_ACTIVE 16 /* in one window: with fewer there is little to gather */
#define CONNS_FULL 48   /* from here on a sleep has its full length */
#define TURN_SHARE 3    /* a turn that served a third of the active connections has little left to save */
/* Gathering begins at a share of time that is busy (or waited for the core): below it a sleep would only delay replies. It
 * ends at a lower one, as what is gathered costs less. */
#define BUSY_ON 0.6
#define BUSY_OFF 0.4

void gather_start(struct net_loop *l)
{
	l->gather = (struct gather){ .window = 1, .begin_ns = l->woke_ns, .busy_ns = l->stats.busy_ns };
#ifdef __linux__
	if (l->server->o.gather_us > 0)
		prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* else the kernel adds 50 us to each sleep */
#endif
}

void net_loop_gather(struct net_loop *l, bool on)
{
	l->gather.off = !on;
}

void gather_wait(struct net_loop *l)
{
	const struct gather *g = &l->gather;
	if (!g->active || g->off || g->last_events < 1 || g->last_events >= (int)g->active / TURN_SHARE)
		return;
	struct timespec t = { .tv_nsec = (long)l->server->o.gather_us * 1000 * g->active / CONNS_FULL };
	nanosleep(&t, NULL);
}

void gather_turn(struct net_loop *l, int events)
{
	struct gather *g = &l->gather;
	g->last_events = events;
	int64_t took = l->woke_ns - g->begin_ns;
	if (took < WINDOW_NS)
		return;
	double busy = (double)(l->stats.busy_ns - g->busy_ns) / (double)took;
	bool pays = took < LULL_NS && g->conns >= CONNS_ACTIVE && busy > (g->active ? BUSY_OFF : BUSY_ON);
	g->active = !pays ? 0 : g->conns < CONNS_FULL ? g->conns : CONNS_FULL;
	g->begin_ns = l->woke_ns;
	g->busy_ns = l->stats.busy_ns;
	g->conns = 0;
	g->window++;
}
