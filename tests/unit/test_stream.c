/* Streams against a simple model: entries, trimming, walks; groups; saving and loading; damaged nodes; memory that is out. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/memory.h"
#include "store/types/stream.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

enum { MAX_ENTRIES = 4000, MAX_FIELDS = 4 };

struct model_entry {
	struct stream_id id;
	unsigned fields, seed;
	bool gone;
};
static struct model_entry model[MAX_ENTRIES];
static size_t model_n;

static const struct stream_limits small_nodes = { 400, 7 };

static struct stream_id make_id(uint64_t ms, uint64_t seq)
{
	return (struct stream_id){ ms, seq };
}

/* Fields and values that follow from the seed: texts, numbers, empty ones, long ones. */
static size_t make_text(char *out, unsigned seed, bool field)
{
	static const char *const names[] = { "a", "b", "7", "" };
	if (field)
		return (size_t)snprintf(out, 100, "%s", names[seed % 4]);
	switch (seed % 5) {
	case 0: return (size_t)snprintf(out, 100, "%u", seed * 977);
	case 1: return (size_t)snprintf(out, 100, "-%u", seed);
	case 2: return 0;
	case 3: memset(out, 'x', 90); return 90;
	default: return (size_t)snprintf(out, 100, "v%u", seed);
	}
}

static int append(struct stream *s, struct stream_id id, unsigned fields, unsigned seed)
{
	char text[2 * MAX_FIELDS][100];
	struct stream_bytes pairs[2 * MAX_FIELDS];
	for (unsigned i = 0; i < 2 * fields; i++)
		pairs[i] = (struct stream_bytes){ text[i], make_text(text[i], (seed % 3 ? 0 : seed) + i, !(i % 2)) };
	return stream_append(s, &small_nodes, id, pairs, fields);
}

static void check_text(const struct value_item *item, unsigned seed, bool field)
{
	char want[100], buf[NUMBER_MAX];
	size_t len, n = make_text(want, seed, field);
	const char *text = value_text(item, buf, &len);
	ck_assert_uint_eq(len, n);
	ck_assert(!memcmp(text, want, n));
}

static void check_walk(struct stream *s, struct stream_id from, struct stream_id to, bool reverse)
{
	struct stream_iter it;
	struct stream_id id;
	struct value_item field, value;
	uint64_t fields;
	stream_iter_init(&it, s, from, to, reverse);
	for (size_t k = 0; k < model_n; k++) {
		const struct model_entry *m = &model[reverse ? model_n - 1 - k : k];
		if (m->gone || stream_id_compare(m->id, from) < 0 || stream_id_compare(m->id, to) > 0)
			continue;
		ck_assert(stream_iter_next(&it, &id, &fields));
		ck_assert_int_eq(stream_id_compare(id, m->id), 0);
		ck_assert_uint_eq(fields, m->fields);
		for (unsigned i = 0; i < 2 * fields; i += 2) {
			stream_iter_field(&it, &field, &value);
			check_text(&field, (m->seed % 3 ? 0 : m->seed) + i, true);
			check_text(&value, (m->seed % 3 ? 0 : m->seed) + i + 1, false);
		}
	}
	ck_assert(!stream_iter_next(&it, &id, &fields));
}

static struct stream_id random_id(struct rng *rng)
{
	return make_id(rng_below(rng, 700), rng_below(rng, 4));
}

static void model_trim(struct stream *s, struct rng *rng)
{
	struct stream_trim_by by = { .how = rng_below(rng, 2) ? STREAM_TRIM_LENGTH : STREAM_TRIM_MIN_ID,
		                         .approximate = rng_below(rng, 2) };
	uint64_t before = s->length, live = 0, gone = 0;
	by.length = rng_below(rng, (uint32_t)before + 5);
	by.min_id = make_id(rng_below(rng, 300), 1);
	by.limit = by.approximate && rng_below(rng, 2) ? 10 : 0;
	uint64_t trimmed = stream_trim(s, &by);
	ck_assert_uint_eq(s->length, before - trimmed);
	for (size_t i = 0; i < model_n && gone < trimmed; i++) {
		gone += !model[i].gone;
		model[i].gone = true;
	}
	for (size_t i = 0; i < model_n; i++) {
		if (model[i].gone)
			continue;
		live++;
		if (!by.approximate && by.how == STREAM_TRIM_MIN_ID)
			ck_assert_int_ge(stream_id_compare(model[i].id, by.min_id), 0);
	}
	ck_assert_uint_eq(live, s->length);
	if (by.how == STREAM_TRIM_LENGTH && !by.approximate)
		ck_assert_uint_eq(s->length, before < by.length ? before : by.length);
	if (by.limit)
		ck_assert_uint_le(trimmed, by.limit);
}

static void model_step(struct stream *s, struct rng *rng)
{
	uint32_t what = rng_below(rng, 100);
	if (what < 60 && model_n < MAX_ENTRIES) {
		struct stream_id id = s->last_id;
		if (rng_below(rng, 2))
			id.seq++;
		else
			id = make_id(id.ms + 1 + rng_below(rng, 3), rng_below(rng, 3));
		struct model_entry *m = &model[model_n++];
		*m = (struct model_entry){ id, 1 + rng_below(rng, MAX_FIELDS), rng_below(rng, 20), false };
		ck_assert_int_eq(append(s, id, m->fields, m->seed), 0);
		ck_assert(stream_has(s, id));
	} else if (what < 85 && model_n) {
		struct model_entry *m = &model[rng_below(rng, (uint32_t)model_n)];
		ck_assert_int_eq(stream_delete(s, m->id), m->gone ? -ENOENT : 0);
		ck_assert(!stream_has(s, m->id));
		m->gone = true;
	} else if (what < 88) {
		model_trim(s, rng);
	} else {
		struct stream_id a = random_id(rng), b = random_id(rng);
		check_walk(s, a, b, rng_below(rng, 2));
	}
}

START_TEST(test_model)
{
	struct rng rng;
	rng_init(&rng, "stream");
	for (int round = 0; round < 10; round++) {
		struct stream *s = stream_new();
		model_n = 0;
		for (int i = 0; i < 1500; i++) {
			model_step(s, &rng);
			if (i % 50 == 0)
				ck_assert(stream_check(s));
		}
		ck_assert(stream_check(s));
		check_walk(s, STREAM_ID_MIN, STREAM_ID_MAX, false);
		check_walk(s, STREAM_ID_MIN, STREAM_ID_MAX, true);
		stream_free(s);
	}
}
END_TEST

/* The bytes of a node are those of other servers. */
START_TEST(test_node_bytes)
{
	static const uint8_t want[] = {
		45, 0, 0, 0, 17, 0, 2, 1, 0, 1, 1, 1, 0x81, 'a', 2, 0, 1, /* 2 live, 0 deleted, 1 field: a */
		2, 1, 0, 1, 0, 1, 0x81, 'x', 2, 4, 1,                       /* the fields of the master */
		0, 1, 1, 1, 0xdf, 0xff, 2, 1, 1, 0x81, 'b', 2, 5, 1, 6, 1, 0xff, /* another field, seq one less */
	};
	struct stream *s = stream_new();
	struct stream_node_iter it;
	struct stream_id master;
	const uint8_t *bytes;
	size_t len;
	const struct stream_bytes one[] = { { "a", 1 }, { "x", 1 } }, two[] = { { "b", 1 }, { "5", 1 } };
	ck_assert_int_eq(stream_append(s, &small_nodes, make_id(5, 1), one, 1), 0);
	ck_assert_int_eq(stream_append(s, &small_nodes, make_id(6, 0), two, 1), 0);
	stream_node_iter_init(&it, s);
	ck_assert(stream_node_iter_next(&it, &master, &bytes, &len));
	ck_assert_int_eq(stream_id_compare(master, make_id(5, 1)), 0);
	ck_assert_uint_eq(len, sizeof want);
	ck_assert_uint_eq(want[0], sizeof want);
	ck_assert(!memcmp(bytes, want, len));
	ck_assert(!stream_node_iter_next(&it, &master, &bytes, &len));
	stream_free(s);
}
END_TEST

/* ------------------------------------------------------------------ groups */

static void fill(struct stream *s, int n)
{
	for (int i = 1; i <= n; i++)
		ck_assert_int_eq(append(s, make_id((uint64_t)i, 0), 2, (unsigned)i), 0);
}

static struct stream *with_groups(void)
{
	struct stream *s = stream_new();
	struct stream_group *g;
	struct stream_consumer *a, *b;
	fill(s, 60);
	ck_assert_int_eq(stream_group_add(s, "two", 3, make_id(9, 0), 9, &g), 0);
	ck_assert_int_eq(stream_group_add(s, "one", 3, STREAM_ID_MIN, STREAM_READ_UNKNOWN, &g), 0);
	ck_assert_int_eq(stream_group_add(s, "one", 3, STREAM_ID_MIN, 0, &g), -EEXIST);
	g = stream_group_find(s, "one", 3);
	ck_assert_int_eq(stream_consumer_add(g, "b", 1, 200, &b), 0);
	ck_assert_int_eq(stream_consumer_add(g, "a", 1, 100, &a), 0);
	ck_assert_int_eq(stream_consumer_add(g, "a", 1, 100, &a), -EEXIST);
	a = stream_consumer_find(g, "a", 1);
	for (uint64_t i = 1; i <= 50; i++) {
		struct stream_nack *n = stream_pel_give(g, i % 3 ? a : b, make_id(i, 0));
		n->delivered_ms = (int64_t)i;
		n->deliveries = i;
	}
	ck_assert(stream_check(s));
	return s;
}

START_TEST(test_groups)
{
	struct stream *s = with_groups();
	struct stream_group *g = stream_group_find(s, "one", 3);
	struct stream_consumer *a = stream_consumer_find(g, "a", 1), *b = stream_consumer_find(g, "b", 1);
	ck_assert_ptr_null(stream_group_find(s, "on", 2));
	ck_assert_str_eq(s->groups[0]->name_len == 3 ? "one" : "", "one");
	ck_assert(!memcmp(s->groups[0]->name, "one", 3) && !memcmp(s->groups[1]->name, "two", 3));
	ck_assert_ptr_eq(g->consumers[0], a);
	ck_assert_uint_eq(stream_pel_count(b->pel), 16);
	/* another owner */
	ck_assert_ptr_eq(stream_pel_give(g, a, make_id(3, 0))->consumer, a);
	ck_assert_uint_eq(stream_pel_find(g->pel, make_id(3, 0))->deliveries, 3);
	ck_assert_uint_eq(stream_pel_count(b->pel), 15);
	ck_assert(stream_pel_ack(g, make_id(3, 0)));
	ck_assert(!stream_pel_ack(g, make_id(3, 0)));
	ck_assert(stream_check(s));
	ck_assert_uint_eq(stream_consumer_remove(g, b), 15);
	ck_assert_uint_eq(stream_pel_count(g->pel), 34);
	ck_assert(stream_check(s));
	stream_group_remove(s, g);
	ck_assert_uint_eq(s->group_count, 1);
	ck_assert(stream_check(s));
	stream_free(s);
}
END_TEST

/* ------------------------------------------------------------------ saving and loading */

static int load_group(struct stream *to, const struct stream_group *g)
{
	struct stream_pel_iter it;
	struct stream_id id;
	struct stream_group *copy;
	struct stream_consumer *c;
	int err = stream_group_add(to, g->name, g->name_len, g->last_id, g->entries_read, &copy);
	stream_pel_iter_init(&it, g->pel, STREAM_ID_MIN);
	for (const struct stream_nack *n; !err && (n = stream_pel_iter_next(&it, &id));)
		err = stream_load_pending(copy, id, n->delivered_ms, n->deliveries);
	for (uint32_t i = 0; !err && i < g->consumer_count; i++) {
		err = stream_consumer_add(copy, g->consumers[i]->name, g->consumers[i]->name_len, g->consumers[i]->seen_ms, &c);
		stream_pel_iter_init(&it, g->consumers[i]->pel, STREAM_ID_MIN);
		while (!err && stream_pel_iter_next(&it, &id))
			err = stream_load_owner(copy, c, id);
	}
	return err ? err : stream_load_group_check(copy);
}

static int load(struct stream *to, const struct stream *s)
{
	struct stream_node_iter it;
	struct stream_id master;
	const uint8_t *bytes;
	size_t len;
	int err = 0;
	stream_node_iter_init(&it, s);
	while (!err && stream_node_iter_next(&it, &master, &bytes, &len))
		err = stream_load_node(to, master, bytes, len);
	to->last_id = s->last_id;
	to->max_deleted_id = s->max_deleted_id;
	to->entries_added = s->entries_added;
	if (!err)
		err = stream_load_check(to, s->length, true);
	for (uint32_t i = 0; !err && i < s->group_count; i++)
		err = load_group(to, s->groups[i]);
	return err;
}

static void check_same(struct stream *a, struct stream *b)
{
	ck_assert(stream_check(b));
	ck_assert_uint_eq(a->length, b->length);
	ck_assert_uint_eq(a->entries_added, b->entries_added);
	ck_assert_int_eq(stream_id_compare(a->first_id, b->first_id), 0);
	ck_assert_int_eq(stream_id_compare(a->last_id, b->last_id), 0);
	ck_assert_int_eq(stream_id_compare(a->max_deleted_id, b->max_deleted_id), 0);
	ck_assert_uint_eq(stream_node_count(a), stream_node_count(b));
	ck_assert_uint_eq(a->group_count, b->group_count);
	for (uint32_t i = 0; i < a->group_count; i++) {
		ck_assert_uint_eq(a->groups[i]->consumer_count, b->groups[i]->consumer_count);
		ck_assert_uint_eq(stream_pel_count(a->groups[i]->pel), stream_pel_count(b->groups[i]->pel));
		ck_assert_int_eq(a->groups[i]->entries_read, b->groups[i]->entries_read);
	}
}

START_TEST(test_load_and_copy)
{
	struct stream *s = with_groups(), *to = stream_new();
	stream_delete(s, make_id(1, 0));
	stream_delete(s, make_id(30, 0));
	ck_assert_int_eq(load(to, s), 0);
	check_same(s, to);
	stream_free(to);
	to = stream_type.dup(ENC_STREAM, s);
	check_same(s, to);
	ck_assert_uint_eq(stream_pel_find(to->groups[0]->pel, make_id(7, 0))->deliveries, 7);
	ck_assert_uint_gt(stream_type.memory(ENC_STREAM, s, 0), 1000);
	ck_assert_uint_gt(stream_type.free_cost(ENC_STREAM, s), 60);
	/* what does not fit together */
	struct stream_group *g = stream_group_find(to, "one", 3);
	ck_assert_int_eq(stream_load_owner(g, g->consumers[0], make_id(7, 0)), -EINVAL);
	ck_assert_int_eq(stream_load_owner(g, g->consumers[0], make_id(99, 0)), -EINVAL);
	ck_assert_int_eq(stream_load_pending(g, make_id(7, 0), 1, 1), -EINVAL);
	ck_assert_int_eq(stream_load_pending(g, make_id(99, 0), 1, 1), 0);
	ck_assert_int_eq(stream_load_group_check(g), -EINVAL);
	ck_assert_int_eq(stream_load_check(to, to->length + 1, true), -EINVAL);
	to->last_id = make_id(59, 0);
	ck_assert_int_eq(stream_load_check(to, to->length, true), -EINVAL);
	stream_free(to);
	stream_type.free(ENC_STREAM, s);
}
END_TEST

/* COPY, RESTORE, DUMP of damaged payloads (CVE-2026-25243): whatever is accepted can be used. */
START_TEST(test_damaged_nodes)
{
	struct rng rng;
	struct stream *s = with_groups();
	struct stream_node_iter it;
	struct stream_id master, id;
	struct stream_iter walk;
	struct value_item field, value;
	const uint8_t *bytes;
	size_t len, accepted = 0, refused = 0;
	uint64_t fields;
	rng_init(&rng, "damaged nodes");
	stream_delete(s, make_id(2, 0));
	stream_node_iter_init(&it, s);
	ck_assert(stream_node_iter_next(&it, &master, &bytes, &len));
	for (int i = 0; i < 60000; i++) {
		uint8_t *copy = malloc(len);
		struct stream *to = stream_new();
		memcpy(copy, bytes, len);
		for (uint32_t n = 1 + rng_below(&rng, 2); n; n--)
			copy[6 + rng_below(&rng, (uint32_t)len - 6)] = (uint8_t)rng_below(&rng, 256);
		if (stream_load_node(to, master, copy, len) == 0) {
			accepted++;
			to->entries_added = to->length;
			ck_assert_int_eq(stream_load_check(to, to->length, true), 0);
			ck_assert(stream_check(to));
			stream_iter_init(&walk, to, STREAM_ID_MIN, STREAM_ID_MAX, i % 2);
			while (stream_iter_next(&walk, &id, &fields))
				while (fields--)
					stream_iter_field(&walk, &field, &value);
			if (to->last_id.ms < UINT64_MAX)
				ck_assert_int_eq(append(to, make_id(to->last_id.ms + 1, 0), 1, 1), 0);
			while (to->length)
				ck_assert_int_eq(stream_delete(to, stream_edge(to, false)), 0);
			ck_assert(stream_check(to));
		} else {
			refused++;
		}
		stream_free(to);
		free(copy);
	}
	ck_assert_uint_gt(accepted, 0);
	ck_assert_uint_gt(refused, accepted / 10);
	stream_free(s);
}
END_TEST

/* ------------------------------------------------------------------ memory */

START_TEST(test_out_of_memory)
{
	for (uint64_t fail = 1; fail < 120; fail++) {
		struct stream *s = with_groups(), *copy;
		uint64_t length = s->length;
		struct stream_trim_by by = { .how = STREAM_TRIM_LENGTH, .length = 35 };
		mem_fail_after(fail);
		for (uint64_t i = 0; i < 20; i++)
			length += append(s, make_id(100 + i, 0), 3, (unsigned)i) == 0;
		for (uint64_t i = 1; i < 20; i += 2)
			length -= stream_delete(s, make_id(i, 0)) == 0;
		length -= stream_trim(s, &by);
		struct stream_group *g = stream_group_find(s, "two", 3);
		struct stream_consumer *c;
		if (stream_consumer_add(g, "c", 1, 1, &c) == 0)
			for (uint64_t i = 1; i < 60; i++)
				stream_pel_give(g, c, make_id(i, 0));
		copy = stream_type.dup(ENC_STREAM, s);
		mem_fail_after(0);
		ck_assert_uint_eq(s->length, length);
		ck_assert(stream_check(s));
		if (copy)
			check_same(s, copy);
		stream_free(copy);
		stream_free(s);
	}
}
END_TEST

START_TEST(test_limits)
{
	struct stream *s = stream_new();
	const struct stream_limits none = { 0, 0 };
	const struct stream_bytes huge[] = { { "a", 1 }, { "x", (size_t)2 << 30 } }, small[] = { { "a", 1 }, { "x", 1 } };
	ck_assert_int_eq(stream_append(s, &none, make_id(1, 1), huge, 1), -EFBIG);
	ck_assert_uint_eq(s->length, 0);
	/* one node of more elements than a listpack counts */
	for (uint64_t i = 1; i <= 40000; i++)
		ck_assert_int_eq(stream_append(s, &none, make_id(i, 0), small, 1), 0);
	ck_assert_uint_eq(stream_node_count(s), 1);
	ck_assert_int_eq(stream_delete(s, make_id(39999, 0)), 0);
	ck_assert(stream_check(s));
	ck_assert_int_eq(stream_id_compare(stream_edge(s, true), make_id(40000, 0)), 0);
	stream_free(s);
	struct stream_id id = STREAM_ID_MAX;
	ck_assert(!stream_id_next(&id));
	id = STREAM_ID_MIN;
	ck_assert(!stream_id_prev(&id));
	id = make_id(4, 0);
	ck_assert(stream_id_prev(&id) && id.ms == 3 && id.seq == UINT64_MAX);
	ck_assert(stream_id_next(&id) && id.ms == 4 && id.seq == 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream");
	TCase *t = tcase_create("stream");
	tcase_add_test(t, test_model);
	tcase_add_test(t, test_node_bytes);
	tcase_add_test(t, test_groups);
	tcase_add_test(t, test_load_and_copy);
	tcase_add_test(t, test_damaged_nodes);
	tcase_add_test(t, test_out_of_memory);
	tcase_add_test(t, test_limits);
	tcase_set_timeout(t, 30);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}
