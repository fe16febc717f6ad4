/* info_memory: INFO's section Memory. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#ifndef SHOAL_NO_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

#include "net/net.h"
#include "server/client.h"
#include "server/config.h"
#include "server/info_text.h"
#include "server/server.h"
#include "store/memory.h"
#include "store/store.h"

struct allocator {
	uint64_t allocated, active, resident;
	char name[40];
};

#ifndef SHOAL_NO_JEMALLOC
static uint64_t stat(const char *name)
{
	size_t v = 0, size = sizeof v;
	return mallctl(name, &v, &size, NULL, 0) ? 0 : v;
}

static void ask_allocator(struct allocator *a)
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
static void ask_allocator(struct allocator *a)
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

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static void fragmentation(struct info_text *t, const struct allocator *a, uint64_t rss)
{
	info_add(t, "allocator_frag_ratio:%.2f\r\nallocator_frag_bytes:%lld\r\n", ratio(a->active, a->allocated),
	         (long long)(a->active - a->allocated));
	info_add(t, "allocator_rss_ratio:%.2f\r\nallocator_rss_bytes:%lld\r\n", ratio(a->resident, a->active),
	         (long long)(a->resident - a->active));
	info_add(t, "rss_overhead_ratio:%.2f\r\nrss_overhead_bytes:%lld\r\n", ratio(rss, a->resident),
	         (long long)(rss - a->resident));
	info_add(t, "mem_fragmentation_ratio:%.2f\r\nmem_fragmentation_bytes:%lld\r\n", ratio(rss, a->allocated),
	         (long long)(rss - a->allocated));
}

static void later_services(struct info_text *t)
{
	static const char *const before[] = { "used_memory_lua", "used_memory_vm_eval" };
	for (size_t i = 0; i < sizeof before / sizeof *before; i++)
		info_num(t, before[i], 0);
	info_human(t, "used_memory_lua", 0);
	info_num(t, "used_memory_scripts_eval", 0);
	info_num(t, "number_of_cached_scripts", 0);
	info_num(t, "number_of_functions", 0);
	info_num(t, "number_of_libraries", 0);
	info_num(t, "used_memory_vm_functions", 0);
	info_bytes(t, "used_memory_vm_total", 0);
	info_num(t, "used_memory_functions", 0);
	info_bytes(t, "used_memory_scripts", 0);
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

void info_memory(struct info_text *t)
{
	static uint64_t startup; /* what was in use beside the data when first asked */
	struct allocator a;
	struct store_stats st;
	char policy[64] = "noeviction";
	ask_allocator(&a);
	store_get_stats(server_store(), &st);
	uint64_t data = mem_used(), rss = resident_bytes(), clients = client_bytes();
	uint64_t used = a.allocated > data ? a.allocated : data, rest = used - data;
	uint64_t peak = mem_peak() > data ? mem_peak() + rest : used, total = (uint64_t)sysconf(_SC_PHYS_PAGES) *
	                                                                    (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t unset = 0;
	__atomic_compare_exchange_n(&startup, &unset, rest > clients ? rest - clients : rest, false, __ATOMIC_RELAXED,
	                            __ATOMIC_RELAXED);
	uint64_t start = __atomic_load_n(&startup, __ATOMIC_RELAXED);
	info_add(t, "# Memory\r\n");
	info_bytes(t, "used_memory", used);
	info_bytes(t, "used_memory_rss", rss);
	info_bytes(t, "used_memory_peak", peak);
	info_add(t, "used_memory_peak_perc:%.2f%%\r\n", ratio(used, peak) * 100);
	info_num(t, "used_memory_overhead", (int64_t)rest);
	info_num(t, "used_memory_startup", (int64_t)start);
	info_num(t, "used_memory_dataset", (int64_t)data);
	info_add(t, "used_memory_dataset_perc:%.2f%%\r\n", used > start ? ratio(data, used - start) * 100 : 0);
	info_num(t, "allocator_allocated", (int64_t)a.allocated);
	info_num(t, "allocator_active", (int64_t)a.active);
	info_num(t, "allocator_resident", (int64_t)a.resident);
	info_bytes(t, "total_system_memory", total);
	later_services(t);
	info_bytes(t, "maxmemory", config()->maxmemory);
	config_get("maxmemory-policy", policy, sizeof policy);
	info_add(t, "maxmemory_policy:%s\r\n", policy);
	fragmentation(t, &a, rss);
	info_num(t, "mem_not_counted_for_evict", 0);
	info_num(t, "mem_replication_backlog", 0);
	info_num(t, "mem_total_replication_buffers", 0);
	info_num(t, "mem_clients_slaves", 0);
	info_num(t, "mem_clients_normal", (int64_t)clients);
	info_num(t, "mem_cluster_links", 0);
	info_num(t, "mem_aof_buffer", 0);
	info_add(t, "mem_allocator:%s\r\n", a.name);
	info_num(t, "active_defrag_running", 0);
	info_num(t, "lazyfree_pending_objects", (int64_t)st.lazyfree_pending);
	info_num(t, "lazyfreed_objects", (int64_t)st.lazyfreed);
}
