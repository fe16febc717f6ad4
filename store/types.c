#include "store/types.h"

#include "store/types/hash.h"
#include "store/types/list.h"
#include "store/types/set.h"
#include "store/types/stream.h"
#include "store/types/zset.h"

/* Strings live in their entries: nothing to free apart from blobs, which entry.c does. */
static const struct store_type string_row = { .name = "string" };

const struct store_type *const store_types[STORE_TYPES] = {
	[STORE_STRING] = &string_row, [STORE_LIST] = &list_type, [STORE_SET] = &set_type,
	[STORE_ZSET] = &zset_type,    [STORE_HASH] = &hash_type, [STORE_STREAM] = &stream_type,
};
