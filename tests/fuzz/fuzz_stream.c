/*
 * Nodes of streams from anywhere: whatever loading accepts can be walked both ways, read, trimmed, deleted from and added
 * to, and stays sound. A byte of the input is an element of a node (a small integer, a larger one, a string) or ends the
 * node; the first says where nodes end and operations begin.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/impl/listpack.h"
#include "store/types/stream.h"
#include "tests/fuzz/target.h"

enum { END_OF_NODE = 0xff };

static void add_element(uint8_t **lp, uint8_t b)
{
	int err;
	if (b < 0x80)
		err = listpack_append_int(lp, b);
	else if (b < 0xa0)
		err = listpack_append_int(lp, 0x90 - (int)b);
	else if (b < 0xb0)
		err = listpack_append_int(lp, INT64_MAX - 0xb0 + b);
	else if (b < 0xc0)
		err = listpack_append_int(lp, INT64_MIN + b - 0xb0);
	else
		err = listpack_append(lp, "strings of some length or other, up to sixty-four bytes of text", b - 0xc0u);
	check(!err, "an element can be added");
}

/* Nodes until one is refused, or the bytes end. */
static void load_nodes(struct stream *s, const uint8_t *p, const uint8_t *end)
{
	uint64_t ms = 0;
	while (p < end) {
		uint8_t *lp = listpack_new(0);
		ms += *p++;
		while (p < end && *p != END_OF_NODE)
			add_element(&lp, *p++);
		p += p < end;
		int err = stream_load_node(s, (struct stream_id){ ms, 0 }, lp, listpack_bytes(lp));
		listpack_free(lp);
		if (err)
			return;
	}
}

static uint64_t walk(struct stream *s, bool reverse)
{
	struct stream_iter it;
	struct stream_id id, before = { 0, 0 };
	struct value_item field, value;
	uint64_t fields, n = 0;
	stream_iter_init(&it, s, STREAM_ID_MIN, STREAM_ID_MAX, reverse);
	for (; stream_iter_next(&it, &id, &fields); n++) {
		check(!n || (stream_id_compare(before, id) > 0) == reverse, "ids are in order");
		before = id;
		while (fields--)
			stream_iter_field(&it, &field, &value);
	}
	return n;
}

static void operate(struct stream *s, uint8_t what, uint8_t how)
{
	static const struct stream_limits limits = { 200, 5 };
	static const struct stream_bytes pairs[] = { { "a", 1 }, { "1", 1 }, { "", 0 }, { "text", 4 } };
	struct stream_id id = s->last_id;
	struct stream_trim_by by = { .approximate = how & 1, .limit = how & 2 ? 3 : 0 };
	uint64_t length = s->length;
	switch (what % 5) {
	case 0:
		if (stream_id_next(&id))
			check(stream_append(s, &limits, id, pairs, 1 + how % 2) == 0 && s->length == length + 1, "adds");
		break;
	case 1:
		id = stream_edge(s, how & 1);
		check((stream_delete(s, id) == 0) == (length > 0), "deletes what is there");
		break;
	case 2:
		stream_delete(s, (struct stream_id){ how, what / 5 });
		break;
	case 3:
		by.how = STREAM_TRIM_LENGTH;
		by.length = how / 4;
		stream_trim(s, &by);
		check(by.approximate || by.limit || s->length <= by.length, "trims to a length");
		break;
	default:
		by.how = STREAM_TRIM_MIN_ID;
		by.min_id = (struct stream_id){ how / 4, 0 };
		stream_trim(s, &by);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	struct stream *s = stream_new();
	size_t nodes = data[0] % size;
	load_nodes(s, data + 1, data + 1 + nodes);
	if (stream_load_check(s, s->length, false) == 0) {
		check(stream_check(s), "what was loaded is sound");
		for (size_t i = 1 + nodes; i + 1 < size; i += 2)
			operate(s, data[i], data[i + 1]);
		check(stream_check(s), "and stays so");
		check(walk(s, false) == s->length && walk(s, true) == s->length, "all entries are found");
		struct stream *copy = stream_type.dup(ENC_STREAM, s);
		check(stream_check(copy) && copy->length == s->length, "a copy is the same");
		stream_free(copy);
	}
	stream_free(s);
	return 0;
}
