/* Values of the types apart from keys: limits that no configuration can lift, and what is left when memory is out. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "store/memory.h"
#include "store/types/hash.h"
#include "store/types/list.h"
#include "store/types/set.h"
#include "tests/lib/suite.h"

static const struct value_limits unlimited = { INT64_MAX, INT64_MAX, INT64_MAX, true };
static const struct value_limits tight = { 8, 20, 8, true };

/* Bytes that cost no memory as long as they are only read. */
static char *zeros(size_t n)
{
	char *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* intset/listpack size (CVE-2021-29478, -32687, -32627, -32628): whatever the limits say, a listpack ends below 1 GB. */
START_TEST(test_listpack_limit)
{
	enum { LARGE = 600 << 20 };
	struct value v;
	struct value_item item;
	char *bytes = zeros(LARGE);
	ck_assert_int_eq(hash_new(&v), 0);
	ck_assert_int_eq(hash_grow(&v, &unlimited, 1, LARGE, LARGE), 0);
	ck_assert_int_eq(hash_set(&v, &unlimited, "a", 1, bytes, LARGE), 1);
	ck_assert_uint_eq(v.encoding, ENC_LISTPACK);
	ck_assert_int_eq(hash_set(&v, &unlimited, "b", 1, bytes, LARGE - 1), 1);
	ck_assert_uint_eq(v.encoding, ENC_HASHTABLE);
	ck_assert(hash_get(&v, "a", 1, &item) && item.len == LARGE);
	ck_assert(hash_get(&v, "b", 1, &item) && item.len == LARGE - 1);
	hash_type.free(v.encoding, v.ptr);
	munmap(bytes, LARGE);
}
END_TEST

static size_t name(char buf[24], int i)
{
	return (size_t)snprintf(buf, 24, i % 2 ? "%d" : "m%d", i);
}

/* Fail each allocation in turn while a value grows through all its forms: nothing that was in it is lost. */
START_TEST(test_set_out_of_memory)
{
	char buf[24];
	for (uint64_t fail = 1; fail < 60; fail++) {
		struct value v;
		size_t added = 0;
		ck_assert_int_eq(set_new_any(&v), 0);
		for (int i = 0; i < 40; i++) {
			size_t len = name(buf, i < 4 ? 2 * i + 1 : i + 10);
			if (i == (int)fail % 40)
				mem_fail_after(1 + fail / 40);
			int got = set_add(&v, &tight, buf, len);
			mem_fail_after(0);
			ck_assert(got == 1 || got == -ENOMEM);
			ck_assert(set_has(&v, buf, len) == (got == 1));
			added += got == 1;
			ck_assert_uint_eq(set_len(&v), added);
		}
		set_free(&v);
	}
}
END_TEST

START_TEST(test_hash_out_of_memory)
{
	char buf[24];
	struct value_item item;
	for (uint64_t fail = 1; fail < 60; fail++) {
		struct value v;
		size_t added = 0;
		ck_assert_int_eq(hash_new(&v), 0);
		for (int i = 0; i < 40; i++) {
			size_t len = name(buf, i);
			if (i == (int)fail % 40)
				mem_fail_after(1 + fail / 40);
			int got = hash_set(&v, &tight, buf, len, buf, len);
			mem_fail_after(0);
			ck_assert(got == 1 || got == -ENOMEM);
			ck_assert(hash_get(&v, buf, len, &item) == (got == 1));
			added += got == 1;
			ck_assert_uint_eq(hash_len(&v), added);
		}
		hash_type.free(v.encoding, v.ptr);
	}
}
END_TEST

START_TEST(test_list_out_of_memory)
{
	static const struct list_limits limits = { 4, 0 };
	char buf[24];
	for (uint64_t fail = 1; fail < 60; fail++) {
		struct value v;
		size_t added = 0;
		ck_assert_int_eq(list_new(&v), 0);
		for (int i = 0; i < 40; i++) {
			size_t len = name(buf, i);
			if (i == (int)fail % 40)
				mem_fail_after(1 + fail / 40);
			int got = list_grow(&v, &limits, 1, len);
			got = got ? got : list_push(&v, i % 3, buf, len);
			mem_fail_after(0);
			ck_assert(got == 0 || got == -ENOMEM);
			added += got == 0;
			ck_assert_uint_eq(list_len(&v), added);
		}
		list_free(&v);
	}
}
END_TEST

/* A choice that finds no memory leaves the set as it was. */
START_TEST(test_choice_out_of_memory)
{
	char buf[24];
	for (int size = 6; size <= 600; size *= 10) {
		for (uint64_t fail = 1; fail < 6; fail++) {
			struct value v;
			struct set_choice choice;
			struct value_item item;
			ck_assert_int_eq(set_new_any(&v), 0);
			for (int i = 0; i < size; i++)
				ck_assert_int_eq(set_add(&v, &tight, buf, name(buf, i)), 1);
			mem_fail_after(fail);
			int err = set_choice_init(&choice, &v, 3, true);
			mem_fail_after(0);
			if (!err) {
				while (set_choice_next(&choice, &item))
					;
				set_choice_commit(&choice);
			}
			set_choice_clear(&choice);
			ck_assert_uint_eq(set_len(&v), (size_t)(err ? size : size - 3));
			set_free(&v);
		}
	}
}
END_TEST

/* Looking up many at once finds what looking up one by one finds, in a table whose chains overflow, too. */
START_TEST(test_find_batch)
{
	struct hashtab *t = hashtab_new(0);
	static char members[3000][24];
	char missing[HASHTAB_BATCH][24];
	for (int i = 0; i < 3000; i++) {
		char text[16];
		size_t len = (size_t)snprintf(text, sizeof text, "member-%d", i);
		lenbytes_put(members[i], text, len);
		ck_assert_int_eq(hashtab_insert(t, hashtab_hash(text, len), members[i]), 0);
	}
	for (int from = 0; from < 3000; from += HASHTAB_BATCH / 2) {
		struct hashtab_key keys[HASHTAB_BATCH];
		uint64_t hashes[HASHTAB_BATCH];
		void *found[HASHTAB_BATCH];
		size_t n = 0;
		for (int i = from; i < from + HASHTAB_BATCH / 2 && i < 3000; i++) {
			keys[n].ptr = lenbytes_get(members[i], &keys[n].len);
			n++;
			keys[n].len = (size_t)snprintf(missing[n], sizeof missing[n], "other-%d", i);
			keys[n].ptr = missing[n];
			n++;
		}
		hashtab_find_batch(t, n, keys, hashes, found);
		for (size_t i = 0; i < n; i++) {
			ck_assert_ptr_eq(found[i], i % 2 ? NULL : members[from + (int)i / 2]);
			ck_assert_uint_eq(hashes[i], hashtab_hash(keys[i].ptr, keys[i].len));
		}
	}
	hashtab_free(t, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("types");
	TCase *tc = tcase_create("types");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_listpack_limit);
	tcase_add_test(tc, test_set_out_of_memory);
	tcase_add_test(tc, test_hash_out_of_memory);
	tcase_add_test(tc, test_list_out_of_memory);
	tcase_add_test(tc, test_choice_out_of_memory);
	tcase_add_test(tc, test_find_batch);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
