/* info_memory: INFO's section Memory. */
#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "server/config.h"
#include "server/info_text.h"
#include "server/memstats.h"
#include "server/script/functions.h"
#include "server/server.h"
#include "store/store.h"
#include "store/types/shape.h"

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static void fragmentation(struct info_text *t, const struct memstats *a)
{
	info_add(t, "allocator_frag_ratio:%.2f\r\nallocator_frag_bytes:%lld\r\n", ratio(a->active, a->allocated),
	         (long long)(a->active - a->allocated));
	info_add(t, "allocator_rss_ratio:%.2f\r\nallocator_rss_bytes:%lld\r\n", ratio(a->resident, a->active),
	         (long long)(a->resident - a->active));
	info_add(t, "rss_overhead_ratio:%.2f\r\nrss_overhead_bytes:%lld\r\n", ratio(a->rss, a->resident),
	         (long long)(a->rss - a->resident));
	info_add(t, "mem_fragmentation_ratio:%.2f\r\nmem_fragmentation_bytes:%lld\r\n", ratio(a->rss, a->allocated),
	         (long long)(a->rss - a->allocated));
}

static void scripts(struct info_text *t)
{
	int64_t vm = (int64_t)script_vm_memory(), sources = (int64_t)script_memory();
	int64_t function_vm = (int64_t)functions_vm_memory(), libraries = (int64_t)functions_memory();
	info_bytes(t, "used_memory_lua", (uint64_t)vm);
	info_num(t, "used_memory_vm_eval", vm);
	info_num(t, "used_memory_scripts_eval", sources);
	info_num(t, "number_of_cached_scripts", (int64_t)script_count());
	info_num(t, "number_of_functions", functions_count());
	info_num(t, "number_of_libraries", functions_libraries());
	info_num(t, "used_memory_vm_functions", function_vm);
	info_bytes(t, "used_memory_vm_total", (uint64_t)(vm + function_vm));
	info_num(t, "used_memory_functions", libraries);
	info_bytes(t, "used_memory_scripts", (uint64_t)(sources + libraries));
}

void info_memory(struct info_text *t)
{
	struct memstats m;
	struct store_stats st;
	char policy[64] = "noeviction";
	memstats_get(&m);
	store_get_stats(server_store(), &st);
	uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	info_add(t, "# Memory\r\n");
	info_bytes(t, "used_memory", m.used);
	info_bytes(t, "used_memory_rss", m.rss);
	info_bytes(t, "used_memory_peak", m.peak);
	info_add(t, "used_memory_peak_perc:%.2f%%\r\n", ratio(m.used, m.peak) * 100);
	info_num(t, "used_memory_overhead", (int64_t)m.overhead);
	info_num(t, "used_memory_startup", (int64_t)m.startup);
	info_num(t, "used_memory_dataset", (int64_t)m.data);
	info_add(t, "used_memory_dataset_perc:%.2f%%\r\n", m.used > m.startup ? ratio(m.data, m.used - m.startup) * 100 : 0);
	info_num(t, "allocator_allocated", (int64_t)m.allocated);
	info_num(t, "allocator_active", (int64_t)m.active);
	info_num(t, "allocator_resident", (int64_t)m.resident);
	info_bytes(t, "total_system_memory", total);
	scripts(t);
	info_bytes(t, "maxmemory", config()->maxmemory);
	config_get("maxmemory-policy", policy, sizeof policy);
	info_add(t, "maxmemory_policy:%s\r\n", policy);
	fragmentation(t, &m);
	info_num(t, "mem_not_counted_for_evict", 0);
	info_num(t, "mem_replication_backlog", 0);
	info_num(t, "mem_total_replication_buffers", 0);
	info_num(t, "mem_clients_slaves", 0);
	info_num(t, "mem_clients_normal", (int64_t)m.clients);
	info_num(t, "mem_cluster_links", 0);
	info_num(t, "mem_aof_buffer", 0);
	info_add(t, "mem_allocator:%s\r\n", m.name);
	info_num(t, "active_defrag_running", 0);
	info_num(t, "hash_shapes", (int64_t)shape_count());
	info_num(t, "lazyfree_pending_objects", (int64_t)st.lazyfree_pending);
	info_num(t, "lazyfreed_objects", (int64_t)st.lazyfreed);
}
