/* digest_values: see digest.h; one function for each type with elements. */
#ifndef SERVER_DIGEST_VALUES_H
#define SERVER_DIGEST_VALUES_H

#include "server/digest.h"

digest_value digest_list, digest_hash, digest_set, digest_zset, digest_stream;

#endif
