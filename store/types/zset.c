/* zset: see zset.h. */
#include "store/types/zset.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "store/impl/listpack.h"
#include "store/memory.h"

/* The value of ENC_SKIPLIST. Items belong to both. */
struct ztree {
	struct hashtab *by_member;
	struct bptree *by_score;
};

static inline struct ztree *tree_of(const struct value *z)
{
	return z->ptr;
}

static inline bool is_listpack(const struct value *z)
{
	return z->encoding == ENC_LISTPACK;
}

/* ------------------------------------------------------------------ trees */

static void free_item(void *item)
{
	mem_free(item);
}

static void *item_new(const void *member, size_t len, double score)
{
	if (len >= UINT32_MAX)
		return NULL;
	void *item = mem_alloc(bptree_item_size(len));
	if (item)
		bptree_item_init(item, score, member, len);
	return item;
}

static void tree_free(struct ztree *t, bool items)
{
	if (t->by_member)
		hashtab_free(t->by_member, NULL);
	if (t->by_score)
		bptree_free(t->by_score, items ? free_item : NULL);
	mem_free(t);
}

static struct ztree *tree_new(size_t n)
{
	struct ztree *t = mem_alloc(sizeof *t);
	if (!t)
		return NULL;
	t->by_member = hashtab_new(BPTREE_MEMBER);
	t->by_score = bptree_new();
	if (!t->by_member || !t->by_score) {
		tree_free(t, false);
		return NULL;
	}
	hashtab_expect(t->by_member, n);
	return t;
}

static uint64_t item_hash(const void *item)
{
	size_t len;
	const char *member = bptree_item_member(item, &len);
	return hashtab_hash(member, len);
}

/* A tree of sorted items, which it takes; NULL: out of memory, the items stay the caller's. */
static struct ztree *tree_of_items(void **items, size_t n)
{
	struct ztree *t = tree_new(n);
	if (!t)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (hashtab_insert(t->by_member, item_hash(items[i]), items[i])) {
			tree_free(t, false);
			return NULL;
		}
	}
	if (bptree_build(t->by_score, items, n)) {
		tree_free(t, false);
		return NULL;
	}
	return t;
}

/* ------------------------------------------------------------------ listpacks: member, score, member, score, ... */

/* The element of a score: an integer where it is one. buf keeps its text. */
static struct listpack_item score_element(double score, char buf[static NUMBER_DOUBLE_MAX])
{
	if (score > -4e18 && score < 4e18 && (double)(int64_t)score == score)
		return (struct listpack_item){ .num = (int64_t)score };
	size_t len = number_print_double(buf, score);
	return (struct listpack_item){ .str = buf, .len = (uint32_t)len };
}

static double item_score(const struct listpack_item *item)
{
	double v = 0;
	if (!item->str)
		return (double)item->num;
	number_parse_double(item->str, item->len, &v);
	return v;
}

static double read_score(const uint8_t *p)
{
	struct listpack_item item;
	listpack_get(p, &item);
	return item_score(&item);
}

static void read_pair(const uint8_t *lp, const uint8_t *p, struct zset_item *item)
{
	struct listpack_item member;
	listpack_get(p, &member);
	if (member.str) {
		item->ptr = member.str;
		item->len = member.len;
	} else {
		item->ptr = item->buf;
		item->len = number_print(item->buf, member.num);
	}
	item->score = read_score(listpack_next(lp, p));
}

static int compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return c ? c : (a_len > b_len) - (a_len < b_len);
}

/* Where the first pair behind (score, member) begins, or the end mark stands. */
static const uint8_t *pair_behind(const uint8_t *lp, double score, const void *member, size_t len)
{
	const uint8_t *p = lp + LISTPACK_EMPTY_BYTES - 1, *next;
	for (; *p != LISTPACK_END; p = next) {
		struct listpack_item name, value;
		char buf[NUMBER_MAX];
		size_t n;
		next = listpack_read(listpack_read(p, &name), &value);
		double s = item_score(&value);
		if (s < score)
			continue;
		if (s > score)
			break;
		const char *text = value_text(&name, buf, &n);
		if (compare_bytes(text, n, member, len) > 0)
			break;
	}
	return p;
}

static void pair_items(const void *member, size_t len, double score, struct listpack_item pair[static 2],
                       char buf[static NUMBER_DOUBLE_MAX])
{
	int64_t num;
	pair[0] = (struct listpack_item){ .str = member, .len = (uint32_t)len };
	pair[1] = score_element(score, buf);
	if (len <= NUMBER_MAX && number_parse(member, len, &num))
		pair[0] = (struct listpack_item){ .num = num };
}

static int pair_put(uint8_t **lp, const uint8_t *at, const void *member, size_t len, double score)
{
	char buf[NUMBER_DOUBLE_MAX];
	struct listpack_item pair[2];
	pair_items(member, len, score, pair, buf);
	return listpack_insert_items(lp, at, pair, 2);
}

static int to_tree(struct value *z, size_t expected)
{
	uint8_t *lp = z->ptr;
	size_t n = zset_count(z), done = 0;
	if (n == 0) {
		struct ztree *t = tree_new(expected);
		if (!t)
			return -ENOMEM;
		listpack_free(lp);
		*z = (struct value){ ENC_SKIPLIST, t };
		return 0;
	}
	void **items = mem_alloc(n * sizeof *items);
	struct ztree *t = NULL;
	struct zset_iter it;
	struct zset_item item;
	zset_iter_init(&it, z, 0, false);
	while (items && zset_iter_next(&it, &item)) {
		if (!(items[done] = item_new(item.ptr, item.len, item.score)))
			break;
		done++;
	}
	if (items && done == n)
		t = tree_of_items(items, n);
	for (size_t i = 0; !t && i < done; i++)
		mem_free(items[i]);
	mem_free(items);
	if (!t)
		return -ENOMEM;
	listpack_free(lp);
	*z = (struct value){ ENC_SKIPLIST, t };
	return 0;
}

/* ------------------------------------------------------------------ life cycle */

static bool beyond(const struct value_limits *limits, size_t n, size_t len)
{
	return (int64_t)n > limits->entries || (int64_t)len > limits->bytes;
}

int zset_new(struct value *z, const struct value_limits *limits, size_t n, size_t max_len)
{
	if (beyond(limits, n, max_len))
		*z = (struct value){ ENC_SKIPLIST, tree_new(n) };
	else
		*z = (struct value){ ENC_LISTPACK, listpack_new(0) };
	return z->ptr ? 0 : -ENOMEM;
}

static void value_free(unsigned encoding, void *value)
{
	if (encoding == ENC_LISTPACK)
		listpack_free(value);
	else
		tree_free(value, true);
}

void zset_free(struct value *z)
{
	if (z->ptr)
		value_free(z->encoding, z->ptr);
	z->ptr = NULL;
}

size_t zset_count(const struct value *z)
{
	return is_listpack(z) ? listpack_count(z->ptr) / 2 : hashtab_count(tree_of(z)->by_member);
}

int zset_prepare(struct value *z, const struct value_limits *limits, size_t n, size_t max_len)
{
	return is_listpack(z) && beyond(limits, n, max_len) ? to_tree(z, n) : 0;
}

/* ------------------------------------------------------------------ one member */

bool zset_find(const struct value *z, const void *member, size_t len, struct zset_hit *hit)
{
	if (is_listpack(z)) {
		uint8_t *first = listpack_first(z->ptr);
		hit->at = first ? listpack_find(z->ptr, first, member, len, 1) : NULL;
		hit->hash = 0;
		if (hit->at)
			hit->score = read_score(listpack_next(z->ptr, hit->at));
	} else {
		hit->hash = hashtab_hash(member, len);
		hit->at = hashtab_find(tree_of(z)->by_member, hit->hash, member, len);
		if (hit->at)
			hit->score = bptree_item_score(hit->at);
	}
	return hit->at != NULL;
}

static int tree_insert(struct ztree *t, uint64_t hash, const void *member, size_t len, double score)
{
	void *item = item_new(member, len, score);
	if (!item)
		return -ENOMEM;
	if (hashtab_insert(t->by_member, hash, item)) {
		mem_free(item);
		return -ENOMEM;
	}
	if (bptree_insert(t->by_score, item)) {
		hashtab_remove(t->by_member, hash, member, len);
		mem_free(item);
		return -ENOMEM;
	}
	return 0;
}

int zset_insert(struct value *z, const struct value_limits *limits, const struct zset_hit *hit, const void *member,
                size_t len, double score)
{
	if (!is_listpack(z))
		return tree_insert(z->ptr, hit->hash, member, len, score);
	size_t n = zset_count(z) + 1;
	if (beyond(limits, n, len) || !listpack_fits(z->ptr, len + 64)) {
		int err = to_tree(z, n);
		return err ? err : tree_insert(z->ptr, hashtab_hash(member, len), member, len, score);
	}
	uint8_t *lp = z->ptr;
	int err = pair_put(&lp, pair_behind(lp, score, member, len), member, len, score);
	z->ptr = lp;
	return err ? -ENOMEM : 0;
}

bool zset_inserts(const struct value *z, const struct value_limits *limits, const void *member, size_t len, double score,
                  size_t *at, struct value_item pair[static 2], char buf[static NUMBER_DOUBLE_MAX])
{
	if (!is_listpack(z) || beyond(limits, zset_count(z) + 1, len))
		return false;
	*at = (size_t)(pair_behind(z->ptr, score, member, len) - (const uint8_t *)z->ptr);
	pair_items(member, len, score, pair, buf);
	return true;
}

#define PAIR_FEW 512 /* bytes of a pair that is gathered without an allocation */

/* The pair is gathered apart, member and all, and then changes places with what stands between. */
static int listpack_rescore(uint8_t **lp, uint8_t *at, const void *member, size_t len, double score)
{
	char buf[NUMBER_DOUBLE_MAX];
	uint8_t few[PAIR_FEW], *pair = few;
	const uint8_t *value = listpack_skip(at), *next = listpack_skip(value);
	const uint8_t *behind = pair_behind(*lp, score, member, len);
	struct listpack_item s = score_element(score, buf);
	size_t name = (size_t)(value - at), bytes = name + NUMBER_DOUBLE_MAX + 2;
	if (bytes > sizeof few && !(pair = mem_alloc(bytes)))
		return -ENOMEM;
	memcpy(pair, at, name);
	bytes = name + (s.str ? listpack_write_element(pair + name, s.str, s.len) : listpack_write_int(pair + name, s.num));
	/* Where nothing stands between the old place and the new one it stays there. */
	int err = listpack_move(lp, at, (size_t)(next - at), behind == next ? at : behind, pair, bytes);
	if (pair != few)
		mem_free(pair);
	return err;
}

int zset_rescore(struct value *z, const struct zset_hit *hit, const void *member, size_t len, double score)
{
	if (!is_listpack(z))
		return bptree_move(tree_of(z)->by_score, hit->at, score) ? -ENOMEM : 0;
	uint8_t *lp = z->ptr;
	int err = listpack_rescore(&lp, hit->at, member, len, score);
	z->ptr = lp;
	return err ? -ENOMEM : 0;
}

bool zset_rescore_same(const struct value *z, const struct zset_hit *hit, const void *member, size_t len, double score)
{
	char buf[NUMBER_DOUBLE_MAX];
	struct listpack_item s = score_element(score, buf);
	uint8_t *lp = z->ptr;
	size_t fresh = s.str ? listpack_cost(s.str, s.len) : listpack_cost_int(s.num);
	if (!is_listpack(z) || len > PAIR_FEW / 2 || fresh != listpack_element_bytes(listpack_skip(hit->at)))
		return false;
	return listpack_rescore(&lp, hit->at, member, len, score) == 0;
}

void zset_remove(struct value *z, const struct zset_hit *hit, const void *member, size_t len)
{
	if (is_listpack(z)) {
		uint8_t *lp = z->ptr, *p = hit->at;
		listpack_delete(&lp, &p, 2);
		z->ptr = lp;
		return;
	}
	bptree_remove(tree_of(z)->by_score, hit->at);
	hashtab_remove(tree_of(z)->by_member, hit->hash, member, len);
	mem_free(hit->at);
}

size_t zset_rank(const struct value *z, const struct zset_hit *hit)
{
	if (!is_listpack(z))
		return bptree_rank(tree_of(z)->by_score, hit->at);
	size_t n = 0;
	for (const uint8_t *p = listpack_first(z->ptr); p && p != hit->at; p = listpack_next(z->ptr, p))
		n++;
	return n / 2;
}

/* ------------------------------------------------------------------ ranges */

size_t zset_below(const struct value *z, double score, bool or_equal)
{
	if (!is_listpack(z)) {
		struct bptree_key key = { .by = BPTREE_BY_SCORE, .score = score };
		return bptree_seek(tree_of(z)->by_score, &key, or_equal, NULL);
	}
	size_t n = 0;
	const uint8_t *lp = z->ptr;
	for (const uint8_t *p = listpack_first(lp); p; n++) {
		const uint8_t *value = listpack_next(lp, p);
		double s = read_score(value);
		if (s > score || (s == score && !or_equal))
			break;
		p = listpack_next(lp, value);
	}
	return n;
}

static bool above_min(const struct zset_lex_bound *b, const char *ptr, size_t len)
{
	if (!b->ptr)
		return !b->highest;
	int c = compare_bytes(ptr, len, b->ptr, b->len);
	return b->exclusive ? c > 0 : c >= 0;
}

static bool below_max(const struct zset_lex_bound *b, const char *ptr, size_t len)
{
	if (!b->ptr)
		return b->highest;
	int c = compare_bytes(ptr, len, b->ptr, b->len);
	return b->exclusive ? c < 0 : c <= 0;
}

/* Whether there can be anything between the bounds. */
static bool lex_possible(const struct zset_lex_bound *min, const struct zset_lex_bound *max)
{
	if ((!min->ptr && min->highest) || (!max->ptr && !max->highest))
		return false;
	if (!min->ptr || !max->ptr)
		return true;
	int c = compare_bytes(min->ptr, min->len, max->ptr, max->len);
	return c < 0 || (c == 0 && !min->exclusive && !max->exclusive);
}

static size_t listpack_lex_range(const struct value *z, const struct zset_lex_bound *min,
                                 const struct zset_lex_bound *max, bool reverse, size_t *from)
{
	struct zset_iter it;
	struct zset_item item;
	size_t skip = 0, n = 0, count = zset_count(z);
	zset_iter_init(&it, z, count - 1, true);
	if (!zset_iter_next(&it, &item) || !above_min(min, item.ptr, item.len))
		return 0;
	zset_iter_init(&it, z, 0, false);
	if (!zset_iter_next(&it, &item) || !below_max(max, item.ptr, item.len))
		return 0;
	zset_iter_init(&it, z, reverse ? count - 1 : 0, reverse);
	while (zset_iter_next(&it, &item)) {
		bool above = above_min(min, item.ptr, item.len), below = below_max(max, item.ptr, item.len);
		if (n == 0 && !(reverse ? below : above))
			skip++;
		else if (above && below)
			n++;
		else
			break;
	}
	*from = reverse ? count - skip - n : skip;
	return n;
}

static size_t tree_lex_rank(const struct ztree *t, const struct zset_lex_bound *b, bool after)
{
	if (!b->ptr)
		return b->highest ? bptree_count(t->by_score) : 0;
	struct bptree_key key = { .by = BPTREE_BY_MEMBER, .member = b->ptr, .len = b->len };
	return bptree_seek(t->by_score, &key, after, NULL);
}

size_t zset_lex_range(const struct value *z, const struct zset_lex_bound *min, const struct zset_lex_bound *max, bool reverse,
                      size_t *from)
{
	*from = 0;
	if (!lex_possible(min, max) || zset_count(z) == 0)
		return 0;
	if (is_listpack(z))
		return listpack_lex_range(z, min, max, reverse, from);
	size_t lo = tree_lex_rank(z->ptr, min, min->exclusive), hi = tree_lex_rank(z->ptr, max, !max->exclusive);
	*from = lo;
	return hi > lo ? hi - lo : 0;
}

static void forget_item(void *ctx, void *item)
{
	struct ztree *t = ctx;
	size_t len;
	const char *member = bptree_item_member(item, &len);
	hashtab_remove(t->by_member, hashtab_hash(member, len), member, len);
	mem_free(item);
}

void zset_remove_range(struct value *z, size_t from, size_t n)
{
	if (is_listpack(z)) {
		uint8_t *lp = z->ptr;
		listpack_delete_range(&lp, (int64_t)from * 2, n * 2);
		z->ptr = lp;
	} else {
		bptree_remove_range(tree_of(z)->by_score, from, n, forget_item, z->ptr);
	}
}

/* ------------------------------------------------------------------ reading */

void zset_iter_init(struct zset_iter *it, const struct value *z, size_t rank, bool reverse)
{
	it->reverse = reverse;
	it->at = it->taken = 0;
	it->want = 2; /* who wants only a few need not wait for many */
	if (is_listpack(z)) {
		it->lp = z->ptr;
		it->p = rank <= INT32_MAX ? listpack_at(it->lp, (int64_t)rank * 2) : NULL;
	} else {
		it->lp = NULL;
		if (!bptree_at(tree_of(z)->by_score, rank, &it->pos))
			it->pos.leaf = NULL;
	}
}

bool zset_iter_more(struct zset_iter *it, struct zset_item *item)
{
	if (it->lp) {
		if (!it->p)
			return false;
		read_pair(it->lp, it->p, item);
		if (it->reverse) {
			it->p = listpack_prev(it->lp, it->p);
			it->p = it->p ? listpack_prev(it->lp, it->p) : NULL;
		} else {
			it->p = listpack_next(it->lp, listpack_next(it->lp, it->p));
		}
		return true;
	}
	if (!it->pos.leaf)
		return false;
	it->at = 0;
	it->taken = bptree_take(&it->pos, it->items, it->want, it->reverse);
	if (it->want < ZSET_AHEAD)
		it->want *= 2;
	return zset_iter_next(it, item);
}

static void read_tree_item(const void *from, struct zset_item *item)
{
	item->ptr = bptree_item_member(from, &item->len);
	item->score = bptree_item_score(from);
}

struct scan {
	zset_visit *visit;
	void *ctx;
};

static void scan_item(void *ctx, void *from)
{
	const struct scan *s = ctx;
	struct zset_item item;
	read_tree_item(from, &item);
	s->visit(s->ctx, &item);
}

uint64_t zset_scan(const struct value *z, uint64_t cursor, zset_visit *visit, void *ctx)
{
	if (!is_listpack(z))
		return hashtab_scan(tree_of(z)->by_member, cursor, scan_item, &(struct scan){ visit, ctx });
	struct zset_iter it;
	struct zset_item item;
	zset_iter_init(&it, z, 0, false);
	while (zset_iter_next(&it, &item))
		visit(ctx, &item);
	return 0;
}

/* ------------------------------------------------------------------ building */

static void builder_reset(struct zset_builder *b)
{
	if (b->seen)
		hashtab_free(b->seen, NULL);
	mem_free(b->items);
	zset_builder_init(b);
}

void zset_builder_clear(struct zset_builder *b)
{
	for (size_t i = 0; i < b->n; i++)
		mem_free(b->items[i]);
	builder_reset(b);
}

static void *builder_add(struct zset_builder *b, const void *member, size_t len, double score)
{
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 16;
		void **items = mem_realloc(b->items, cap * sizeof *items);
		if (!items)
			return NULL;
		b->items = items;
		b->cap = cap;
	}
	void *item = item_new(member, len, score);
	if (!item)
		return NULL;
	b->items[b->n++] = item;
	b->max_len = len > b->max_len ? len : b->max_len;
	b->bytes += len;
	return item;
}

int zset_builder_add(struct zset_builder *b, const void *member, size_t len, double score)
{
	return builder_add(b, member, len, score) ? 0 : -ENOMEM;
}

void *zset_builder_merge(struct zset_builder *b, const void *member, size_t len, double score, bool *fresh)
{
	*fresh = false;
	if (!b->seen && !(b->seen = hashtab_new(BPTREE_MEMBER)))
		return NULL;
	uint64_t hash = hashtab_hash(member, len);
	void *item = hashtab_find(b->seen, hash, member, len);
	if (item)
		return item;
	item = builder_add(b, member, len, score);
	if (item && hashtab_insert(b->seen, hash, item)) {
		b->n--;
		mem_free(item);
		return NULL;
	}
	*fresh = item != NULL;
	return item;
}

bool zset_builder_drop(struct zset_builder *b, const void *member, size_t len)
{
	if (!b->seen)
		return true;
	void *item = hashtab_remove(b->seen, hashtab_hash(member, len), member, len);
	const double gone = NAN; /* no member's score */
	if (item)
		memcpy(item, &gone, sizeof gone);
	return hashtab_count(b->seen) == 0;
}

void zset_builder_settle(struct zset_builder *b)
{
	size_t n = 0;
	b->max_len = b->bytes = 0;
	for (size_t i = 0; i < b->n; i++) {
		void *item = b->items[i];
		if (isnan(bptree_item_score(item))) {
			mem_free(item);
			continue;
		}
		size_t len;
		bptree_item_member(item, &len);
		b->max_len = len > b->max_len ? len : b->max_len;
		b->bytes += len;
		b->items[n++] = item;
	}
	b->n = n;
}

static int compare_items(const void *a, const void *b)
{
	const void *x = *(void *const *)a, *y = *(void *const *)b;
	double s = bptree_item_score(x), t = bptree_item_score(y);
	size_t len;
	if (s != t)
		return s < t ? -1 : 1;
	const char *member = bptree_item_member(y, &len);
	return lenbytes_compare((const char *)x + BPTREE_MEMBER, member, len);
}

void zset_builder_sort(struct zset_builder *b)
{
	for (size_t i = 1; i < b->n; i++) {
		if (compare_items(&b->items[i - 1], &b->items[i]) > 0) {
			qsort(b->items, b->n, sizeof *b->items, compare_items);
			return;
		}
	}
}

static int builder_listpack(const struct zset_builder *b, struct value *z)
{
	uint8_t *lp = listpack_new((size_t)b->bytes + b->n * 8);
	*z = (struct value){ ENC_LISTPACK, NULL };
	for (size_t i = 0; lp && i < b->n; i++) {
		size_t len;
		const char *member = bptree_item_member(b->items[i], &len);
		if (pair_put(&lp, lp + listpack_bytes(lp) - 1, member, len, bptree_item_score(b->items[i]))) {
			listpack_free(lp);
			return -ENOMEM;
		}
	}
	z->ptr = lp;
	return lp ? 0 : -ENOMEM;
}

int zset_builder_finish(struct zset_builder *b, const struct value_limits *limits, struct value *z)
{
	if (!beyond(limits, b->n, b->max_len) && b->bytes < LISTPACK_MAX / 4) {
		int err = builder_listpack(b, z);
		if (!err)
			zset_builder_clear(b);
		return err;
	}
	*z = (struct value){ ENC_SKIPLIST, tree_of_items(b->items, b->n) };
	if (!z->ptr)
		return -ENOMEM;
	builder_reset(b);
	return 0;
}

/* ------------------------------------------------------------------ the row */

static size_t free_cost(unsigned encoding, const void *value)
{
	const struct ztree *t = value;
	return encoding == ENC_LISTPACK ? 1 : hashtab_count(t->by_member);
}

static void *dup_value(unsigned encoding, const void *value)
{
	struct value from = { encoding, (void *)(uintptr_t)value }, to;
	if (encoding == ENC_LISTPACK)
		return listpack_dup(value);
	struct zset_builder b;
	struct zset_iter it;
	struct zset_item item;
	zset_builder_init(&b);
	zset_iter_init(&it, &from, 0, false);
	int err = 0;
	while (!err && zset_iter_next(&it, &item))
		err = zset_builder_add(&b, item.ptr, item.len, item.score);
	if (!err)
		err = zset_builder_finish(&b, &(struct value_limits){ .entries = -1 }, &to);
	if (!err)
		return to.ptr;
	zset_builder_clear(&b);
	return NULL;
}

static size_t memory(unsigned encoding, const void *value, unsigned samples)
{
	if (encoding == ENC_LISTPACK)
		return mem_size(value);
	const struct ztree *t = value;
	struct hashtab_iter it;
	size_t n = hashtab_count(t->by_member), seen = 0, bytes = 0;
	const void *item;
	hashtab_begin(&it, t->by_member);
	while ((!samples || seen < samples) && (item = hashtab_next(&it))) {
		bytes += mem_size(item);
		seen++;
	}
	bytes = seen ? (size_t)((double)bytes / (double)seen * (double)n) : 0;
	return mem_class(sizeof *t) + hashtab_bytes(t->by_member) + bptree_bytes(t->by_score) + bytes;
}

static const char *encoding_name(unsigned encoding, const void *value)
{
	(void)value;
	return encoding == ENC_LISTPACK ? "listpack" : "skiplist";
}

static const struct hashtab *table_of(unsigned encoding, const void *value)
{
	return encoding == ENC_LISTPACK ? NULL : ((const struct ztree *)value)->by_member;
}

const struct store_type zset_type = {
	.name = "zset",
	.table = table_of,
	.free = value_free,
	.free_cost = free_cost,
	.dup = dup_value,
	.memory = memory,
	.encoding_name = encoding_name,
};
