/*
 * crc64: the checksum of RDB files and DUMP payloads: CRC-64 of Jones's polynomial, reflected, from 0, no final change.
 * [any]
 */
#ifndef STORE_CRC64_H
#define STORE_CRC64_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what crc stands for followed by these bytes; begin with 0. */
uint64_t crc64_update(uint64_t crc, const void *bytes, size_t len);

#endif
