/*
 * memory: the store's allocator, counted. jemalloc underneath; tests may replace it and fail the n-th call.
 *
 * Each thread counts for itself and publishes in steps of 64 KiB, so mem_used() is within threads * 64 KiB of the truth.
 * All functions [any]. Allocation returns NULL when memory is out (or a fault is injected); nothing aborts.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t n);
void *mem_calloc(size_t n);
/* Aligned to a cache line. */
void *mem_alloc_aligned(size_t n);
void *mem_realloc(void *p, size_t n); /* NULL: p is unchanged */
void mem_free(void *p);               /* NULL is welcome */
/* Cheaper when the size passed to mem_alloc() is known. */
void mem_free_sized(void *p, size_t n);
/* Bytes that an allocation of n really takes: its size class. */
size_t mem_class(size_t n);
size_t mem_size(const void *p);

/* Bytes in use by all threads. */
size_t mem_used(void);
size_t mem_peak(void);

/* Fault seam: let the n-th allocation from now on fail (0: none), on this thread. */
void mem_fail_after(uint64_t n);

#endif
