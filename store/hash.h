/*
 * hash: the keyed hash of keys (SipHash-1-3, so that nobody who does not know the secret can make keys collide) and the
 * hash slot of cluster mode. [any]
 */
#ifndef STORE_HASH_H
#define STORE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const uint64_t secret[2], const void *ptr, size_t len);
/* CRC16 (XMODEM) of the key, or of what stands between the first { and the next } if that is not empty; mod 16384. */
unsigned hash_slot(const void *ptr, size_t len);

#endif
