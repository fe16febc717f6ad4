/* digest_values: what the elements of each type add to a digest. */
#include "server/digest_values.h"

#include <inttypes.h>
#include <stdio.h>

#include "store/types/hash.h"
#include "store/types/list.h"
#include "store/types/set.h"
#include "store/types/stream.h"
#include "store/types/zset.h"

static void mix_item(struct digest *d, const struct value_item *item)
{
	char buf[NUMBER_MAX];
	size_t len;
	const char *text = value_text(item, buf, &len);
	digest_mix(d, text, len);
}

void digest_list(struct digest *d, const struct entry *e)
{
	struct value v = value_of(e);
	struct list_iter it;
	struct value_item item;
	for (list_iter_init(&it, &v, 0, false); list_iter_next(&it, &item) > 0;)
		mix_item(d, &item);
	list_iter_clear(&it);
}

void digest_hash(struct digest *d, const struct entry *e)
{
	struct value v = value_of(e);
	struct hash_iter it;
	struct value_item field, val;
	for (hash_begin(&it, &v); hash_next(&it, &field, &val);) {
		struct digest pair = { { 0 } };
		mix_item(&pair, &field);
		mix_item(&pair, &val);
		digest_xor(d, pair.b, DIGEST_LEN);
	}
}

void digest_zset(struct digest *d, const struct entry *e)
{
	struct value v = value_of(e);
	struct zset_iter it;
	struct zset_item item;
	zset_iter_init(&it, &v, 0, false);
	while (zset_iter_next(&it, &item)) {
		struct digest pair = { { 0 } };
		char text[NUMBER_DOUBLE_MAX];
		digest_mix(&pair, item.ptr, item.len);
		digest_mix(&pair, text, number_print_shortest(text, item.score));
		digest_xor(d, pair.b, DIGEST_LEN);
	}
}

void digest_set(struct digest *d, const struct entry *e)
{
	struct value v = value_of(e);
	struct set_iter it;
	struct value_item item;
	char buf[NUMBER_MAX];
	size_t len;
	for (set_begin(&it, &v); set_next(&it, &item);) {
		const char *text = value_text(&item, buf, &len);
		digest_xor(d, text, len);
	}
}

/* Entries in their order, without groups. */
void digest_stream(struct digest *d, const struct entry *e)
{
	struct stream_iter it;
	struct stream_id id;
	struct value_item field, value;
	uint64_t fields;
	char text[2 * NUMBER_MAX + 2];
	stream_iter_init(&it, entry_value(e), STREAM_ID_MIN, STREAM_ID_MAX, false);
	while (stream_iter_next(&it, &id, &fields)) {
		digest_mix(d, text, (size_t)snprintf(text, sizeof text, "%" PRIu64 ".%" PRIu64, id.ms, id.seq));
		while (fields--) {
			stream_iter_field(&it, &field, &value);
			mix_item(d, &field);
			mix_item(d, &value);
		}
	}
}
