#include "store/impl/quicklist.h"

#include <errno.h>
#include <liblzf/lzf.h>
#include <stdatomic.h>
#include <string.h>

#include "store/memory.h"

#define SAFETY_BYTES 8192      /* of a node when fill counts elements */
#define COST_MARGIN 11         /* the most that an element takes beyond its bytes */
#define LZF_MIN_BYTES 48       /* smaller ones are not worth trying */
#define LZF_MIN_SAVING 8
#define LEAD_STEP 64

struct quicklist_node {
	struct quicklist_node *prev, *next;
	uint8_t *data;  /* the block: `lead` unused bytes, then the listpack; or LZF; or the bytes of a plain element */
	uint32_t size;  /* of the listpack or the plain element, uncompressed */
	uint32_t count;
	uint32_t lead;  /* so that pushing and popping in front moves no bytes */
	uint32_t cap;   /* bytes of the block */
	uint32_t lzf;   /* compressed bytes, 0: not compressed */
	bool plain;
	bool futile; /* does not compress */
};

struct quicklist {
	struct quicklist_node *head, *tail;
	size_t count, nodes;
	int16_t fill;
	uint16_t depth;
};

static _Atomic size_t plain_threshold;

void quicklist_set_plain_threshold(size_t bytes)
{
	atomic_store_explicit(&plain_threshold, bytes, memory_order_relaxed);
}

/* ------------------------------------------------------------------ limits */

static size_t bytes_limit(const struct quicklist *ql)
{
	static const uint32_t by_fill[] = {4096, 8192, 16384, 32768, 65536};
	return ql->fill >= 0 ? SAFETY_BYTES : by_fill[-ql->fill - 1];
}

static bool wants_plain(const struct quicklist *ql, size_t len)
{
	size_t threshold = atomic_load_explicit(&plain_threshold, memory_order_relaxed);
	return len >= (threshold ? threshold : bytes_limit(ql) + 1) || len > LISTPACK_MAX / 2;
}

/* Whether a node takes one more element of len bytes. */
static bool node_fits(const struct quicklist *ql, const struct quicklist_node *n, size_t len)
{
	if (!n || n->plain || (ql->fill > 0 && n->count >= (uint32_t)ql->fill))
		return false;
	return n->size + len + COST_MARGIN <= bytes_limit(ql);
}

static bool nodes_merge(const struct quicklist *ql, const struct quicklist_node *a, const struct quicklist_node *b)
{
	if (!a || !b || a->plain || b->plain || a->lzf || b->lzf)
		return false;
	if (ql->fill > 0 && a->count + b->count > (uint32_t)ql->fill / 2)
		return false;
	return a->size + b->size <= bytes_limit(ql) / 2;
}

/* ------------------------------------------------------------------ one node */

static inline uint8_t *node_lp(const struct quicklist_node *n)
{
	return n->data + n->lead;
}

static struct quicklist_node *node_new(uint8_t *data, size_t size, uint32_t count, bool plain)
{
	struct quicklist_node *n = mem_alloc(sizeof *n);
	if (n)
		*n = (struct quicklist_node){.data = data, .size = (uint32_t)size, .count = count,
		                             .cap = (uint32_t)mem_size(data), .plain = plain};
	return n;
}

/* A node of one element. */
static int node_make(const struct quicklist *ql, const void *str, size_t len, struct quicklist_node **out)
{
	bool plain = wants_plain(ql, len);
	uint8_t *data;
	size_t size = len;
	if (len > QUICKLIST_ELEMENT_MAX)
		return -EFBIG;
	if (plain) {
		data = mem_alloc(len ? len : 1);
		if (data && len)
			memcpy(data, str, len);
	} else {
		size = LISTPACK_EMPTY_BYTES + listpack_cost(str, len);
		data = listpack_new(size);
		if (data)
			listpack_append(&data, str, len);
	}
	*out = data ? node_new(data, size, 1, plain) : NULL;
	if (!*out)
		mem_free(data);
	return *out ? 0 : -ENOMEM;
}

static void node_free(struct quicklist_node *n)
{
	mem_free(n->data);
	mem_free(n);
}

/* The size and count after listpack functions have worked on a node without lead. */
static void node_refresh(struct quicklist_node *n)
{
	n->size = (uint32_t)listpack_bytes(n->data);
	n->count = (uint32_t)listpack_count(n->data);
	n->cap = (uint32_t)mem_size(n->data);
	n->futile = false;
}

/* Bring the listpack to the start of its block, as listpack.h wants it; with trim, return memory that is not used. */
static void node_normalise(struct quicklist_node *n, bool trim)
{
	if (n->lzf || n->plain)
		return;
	if (n->lead) {
		memmove(n->data, node_lp(n), n->size);
		n->lead = 0;
	}
	if (trim && mem_class(n->size) < n->cap) {
		uint8_t *data = mem_realloc(n->data, n->size);
		if (data) {
			n->data = data;
			n->cap = (uint32_t)mem_size(data);
		}
	}
}

static int node_unpack(struct quicklist_node *n)
{
	if (!n->lzf)
		return 0;
	uint8_t *raw = mem_alloc(n->size);
	if (!raw)
		return -ENOMEM;
	lzf_decompress(n->data, n->lzf, raw, n->size);
	mem_free(n->data);
	n->data = raw;
	n->cap = (uint32_t)mem_size(raw);
	n->lzf = 0;
	return 0;
}

/* Best effort: a node that does not compress, or for which there is no memory, stays as it is. */
static void node_pack(struct quicklist_node *n)
{
	if (n->lzf || n->futile || n->size < LZF_MIN_BYTES)
		return;
	node_normalise(n, true);
	uint8_t *out = mem_alloc(n->size);
	if (!out)
		return;
	unsigned len = lzf_compress(n->data, n->size, out, n->size - LZF_MIN_SAVING);
	uint8_t *fit = len ? mem_realloc(out, len) : NULL;
	if (!len) {
		n->futile = true;
		mem_free(out);
		return;
	}
	mem_free(n->data);
	n->data = fit ? fit : out;
	n->cap = (uint32_t)mem_size(n->data);
	n->lzf = len;
}

/* ------------------------------------------------------------------ the chain */

/* Link a node in behind `after` (NULL: at the head). */
static void chain_link(struct quicklist *ql, struct quicklist_node *after, struct quicklist_node *n)
{
	n->prev = after;
	n->next = after ? after->next : ql->head;
	*(n->prev ? &n->prev->next : &ql->head) = n;
	*(n->next ? &n->next->prev : &ql->tail) = n;
	ql->nodes++;
	ql->count += n->count;
}

static void chain_unlink(struct quicklist *ql, struct quicklist_node *n)
{
	*(n->prev ? &n->prev->next : &ql->head) = n->next;
	*(n->next ? &n->next->prev : &ql->tail) = n->prev;
	ql->nodes--;
	ql->count -= n->count;
	node_free(n);
}

static bool is_interior(const struct quicklist *ql, const struct quicklist_node *n)
{
	const struct quicklist_node *a = ql->head, *b = ql->tail;
	for (unsigned i = 0; i < ql->depth && a && b; i++, a = a->next, b = b->prev)
		if (n == a || n == b)
			return false;
	return ql->depth;
}

/* After nodes came or went at an end: those at the ends uncompressed, their inner neighbours compressed. */
static void settle(struct quicklist *ql)
{
	struct quicklist_node *a = ql->head, *b = ql->tail;
	if (!ql->depth)
		return;
	for (unsigned i = 0; i < ql->depth && a && b; i++, a = a->next, b = b->prev) {
		node_unpack(a);
		node_unpack(b);
	}
	if (ql->nodes > 2u * ql->depth) {
		node_pack(a);
		node_pack(b);
	}
}

/* After a node in the middle was changed. */
static void settle_node(struct quicklist *ql, struct quicklist_node *n)
{
	if (ql->depth && n && is_interior(ql, n))
		node_pack(n);
}

/* Append b to a, its left neighbour, if both are small. */
static bool try_merge(struct quicklist *ql, struct quicklist_node *a, struct quicklist_node *b)
{
	if (!nodes_merge(ql, a, b))
		return false;
	node_normalise(a, false);
	if (listpack_merge(&a->data, node_lp(b)))
		return false;
	uint32_t moved = b->count;
	chain_unlink(ql, b);
	ql->count += moved;
	node_refresh(a);
	return true;
}

/* ------------------------------------------------------------------ life cycle */

struct quicklist *quicklist_new(int fill, unsigned compress_depth)
{
	struct quicklist *ql = mem_calloc(sizeof *ql);
	if (!ql)
		return NULL;
	ql->fill = (int16_t)(fill == 0 ? 1 : fill < -5 ? -5 : fill > INT16_MAX ? INT16_MAX : fill);
	ql->depth = (uint16_t)(compress_depth > UINT16_MAX ? UINT16_MAX : compress_depth);
	return ql;
}

void quicklist_free(struct quicklist *ql)
{
	if (!ql)
		return;
	for (struct quicklist_node *n = ql->head, *next; n; n = next) {
		next = n->next;
		node_free(n);
	}
	mem_free(ql);
}

struct quicklist *quicklist_dup(const struct quicklist *ql)
{
	struct quicklist *copy = quicklist_new(ql->fill, ql->depth);
	for (const struct quicklist_node *n = ql->head; copy && n; n = n->next) {
		size_t bytes = n->lzf ? n->lzf : n->size;
		uint8_t *data = mem_alloc(bytes ? bytes : 1);
		struct quicklist_node *m = data ? node_new(data, n->size, n->count, n->plain) : NULL;
		if (!m) {
			mem_free(data);
			quicklist_free(copy);
			return NULL;
		}
		memcpy(data, node_lp(n), bytes);
		m->lzf = n->lzf;
		m->futile = n->futile;
		chain_link(copy, copy->tail, m);
	}
	return copy;
}

size_t quicklist_count(const struct quicklist *ql)
{
	return ql->count;
}

size_t quicklist_nodes(const struct quicklist *ql)
{
	return ql->nodes;
}

void quicklist_prefetch(const struct quicklist *ql)
{
	__builtin_prefetch(ql->head, 1);
	__builtin_prefetch(ql->tail, 1);
}

size_t quicklist_bytes(const struct quicklist *ql)
{
	size_t sum = mem_size(ql) + ql->nodes * mem_class(sizeof(struct quicklist_node));
	for (const struct quicklist_node *n = ql->head; n; n = n->next)
		sum += n->cap;
	return sum;
}

/* ------------------------------------------------------------------ ends */

/* Room of `cost` bytes in front of the listpack. */
static int front_room(struct quicklist_node *n, size_t cost)
{
	if (n->lead >= cost)
		return 0;
	size_t slack = n->size / 4 + LEAD_STEP, want = n->size + cost + slack;
	if (n->cap < want) {
		uint8_t *data = mem_alloc(want);
		if (!data)
			return -ENOMEM;
		uint32_t cap = (uint32_t)mem_size(data);
		memcpy(data + cap - n->size, node_lp(n), n->size);
		mem_free(n->data);
		n->data = data;
		n->cap = cap;
	} else {
		memmove(n->data + n->cap - n->size, node_lp(n), n->size);
	}
	n->lead = n->cap - n->size;
	return 0;
}

static int front_push(struct quicklist_node *n, const void *str, size_t len)
{
	size_t cost = listpack_cost(str, len);
	int err = front_room(n, cost);
	if (err)
		return err;
	/* The element takes the place of the head, which moves forward; both may overlap. */
	n->lead -= (uint32_t)cost;
	n->size += (uint32_t)cost;
	listpack_write_element(node_lp(n) + LISTPACK_EMPTY_BYTES - 1, str, len);
	listpack_write_head(node_lp(n), n->size, ++n->count);
	return 0;
}

static int back_push(struct quicklist_node *n, const void *str, size_t len)
{
	size_t cost = listpack_cost(str, len);
	if (n->cap - n->lead - n->size < cost) {
		node_normalise(n, false);
		if (n->cap - n->size < cost) {
			uint8_t *data = mem_realloc(n->data, n->size + cost);
			if (!data)
				return -ENOMEM;
			n->data = data;
			n->cap = (uint32_t)mem_size(data);
		}
	}
	uint8_t *lp = node_lp(n);
	size_t used = listpack_write_element(lp + n->size - 1, str, len);
	n->size += (uint32_t)used;
	lp[n->size - 1] = 0xff;
	listpack_write_head(lp, n->size, ++n->count);
	return 0;
}

int quicklist_push(struct quicklist *ql, bool tail, const void *str, size_t len)
{
	struct quicklist_node *n = tail ? ql->tail : ql->head, *fresh;
	int err;
	if (n && !wants_plain(ql, len) && node_fits(ql, n, len)) {
		err = node_unpack(n);
		if (!err)
			err = tail ? back_push(n, str, len) : front_push(n, str, len);
		if (err)
			return err;
		n->futile = false;
		ql->count++;
		return 0;
	}
	err = node_make(ql, str, len, &fresh);
	if (err)
		return err;
	if (n)
		node_normalise(n, true);
	chain_link(ql, tail ? ql->tail : NULL, fresh);
	settle(ql);
	return 0;
}

int quicklist_peek(struct quicklist *ql, bool tail, struct listpack_item *item)
{
	struct quicklist_node *n = tail ? ql->tail : ql->head;
	if (!n)
		return 0;
	int err = node_unpack(n);
	if (err)
		return err;
	if (n->plain)
		*item = (struct listpack_item){(const char *)n->data, n->size, 0};
	else if (tail)
		listpack_get(listpack_prev(node_lp(n), node_lp(n) + n->size - 1), item);
	else
		listpack_get(node_lp(n) + LISTPACK_EMPTY_BYTES - 1, item);
	return 1;
}

void quicklist_drop(struct quicklist *ql, bool tail)
{
	struct quicklist_node *n = tail ? ql->tail : ql->head;
	if (n->count == 1) {
		chain_unlink(ql, n);
		settle(ql);
		return;
	}
	uint8_t *lp = node_lp(n);
	uint8_t *p = tail ? listpack_prev(lp, lp + n->size - 1) : lp + LISTPACK_EMPTY_BYTES - 1;
	uint32_t gone = (uint32_t)listpack_element_bytes(p);
	n->size -= gone;
	n->count--;
	n->futile = false;
	ql->count--;
	if (tail)
		*p = 0xff;
	else
		n->lead += gone;
	listpack_write_head(node_lp(n), n->size, n->count);
	if (n->size < n->cap / 3 && n->cap > 2 * LEAD_STEP)
		node_normalise(n, true);
}

int quicklist_rotate(struct quicklist *ql, bool to_tail)
{
	struct listpack_item item;
	char buf[NUMBER_MAX];
	uint8_t *copy = NULL;
	int err = quicklist_peek(ql, !to_tail, &item);
	if (err <= 0 || ql->count == 1)
		return err < 0 ? err : 0;
	const char *str = buf;
	size_t len;
	if (!item.str) {
		len = number_print(buf, item.num);
	} else {
		/* It may lie in the very node that is pushed to. */
		len = item.len;
		copy = mem_alloc(len ? len : 1);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, item.str, len);
		str = (const char *)copy;
	}
	err = quicklist_push(ql, to_tail, str, len);
	mem_free(copy);
	if (!err)
		quicklist_drop(ql, !to_tail);
	return err;
}

/* ------------------------------------------------------------------ walking */

/* Make the iterator read its node, decompressed into a copy if need be; p is not set. */
static int iter_enter(struct quicklist_iter *it)
{
	struct quicklist_node *n = it->node;
	it->lp = NULL;
	if (n->lzf) {
		it->raw = mem_alloc(n->size);
		if (!it->raw)
			return -ENOMEM;
		lzf_decompress(n->data, n->lzf, it->raw, n->size);
		it->lp = it->raw;
	} else {
		it->lp = node_lp(n);
	}
	return 0;
}

static void iter_leave(struct quicklist_iter *it)
{
	struct quicklist_node *n = it->node;
	mem_free(it->raw);
	it->raw = NULL;
	it->p = it->lp = NULL;
	if (!it->changed || !n)
		return;
	it->changed = false;
	/* Neighbours on the side already walked, so that going on is not disturbed. */
	struct quicklist_node *left = it->backward ? n : n->prev, *right = it->backward ? n->next : n;
	if (try_merge(it->ql, left, right)) {
		it->node = n = left;
		settle(it->ql);
	}
	settle_node(it->ql, n);
}

/* Set p to the first element of the entered node, in the direction of the walk. */
static void iter_first(struct quicklist_iter *it)
{
	if (it->node->plain)
		it->p = it->lp;
	else
		it->p = it->backward ? listpack_prev(it->lp, it->lp + it->node->size - 1) : listpack_first(it->lp);
}

int quicklist_iter_init(struct quicklist_iter *it, struct quicklist *ql, int64_t index, bool backward)
{
	*it = (struct quicklist_iter){.ql = ql, .backward = backward, .fresh = true};
	if (index < 0)
		index += (int64_t)ql->count;
	if (index < 0 || (uint64_t)index >= ql->count)
		return 0;
	size_t at = (size_t)index;
	it->index = at;
	struct quicklist_node *n;
	if (at < ql->count / 2) {
		for (n = ql->head; at >= n->count; n = n->next)
			at -= n->count;
	} else {
		size_t behind = ql->count - at;
		for (n = ql->tail; behind > n->count; n = n->prev)
			behind -= n->count;
		at = n->count - behind;
	}
	it->node = n;
	int err = iter_enter(it);
	if (err) {
		it->node = NULL;
		return err;
	}
	it->p = n->plain ? it->lp : listpack_at(it->lp, (int64_t)at);
	return 1;
}

void quicklist_iter_clear(struct quicklist_iter *it)
{
	if (it->node)
		iter_leave(it);
	mem_free(it->raw);
	it->raw = NULL;
	it->node = NULL;
}

/* Go to the neighbouring node without entering it; false at the end. */
static bool iter_next_node(struct quicklist_iter *it)
{
	iter_leave(it);
	it->node = it->backward ? it->node->prev : it->node->next;
	it->fresh = true;
	return it->node;
}

int quicklist_iter_next(struct quicklist_iter *it, struct listpack_item *item)
{
	if (!it->node)
		return 0;
	if (!it->fresh) {
		it->index += it->backward ? (size_t)-1 : 1;
		if (it->node->plain)
			it->p = NULL;
		else
			it->p = it->backward ? listpack_prev(it->lp, it->p) : listpack_next(it->lp, it->p);
	}
	if (it->lp && !it->p && !iter_next_node(it))
		return 0;
	if (!it->lp) {
		int err = iter_enter(it);
		if (err)
			return err;
		iter_first(it);
	}
	it->fresh = false;
	if (it->node->plain)
		*item = (struct listpack_item){(const char *)it->p, it->node->size, 0};
	else
		listpack_get(it->p, item);
	return 1;
}

bool quicklist_iter_equal(const struct quicklist_iter *it, const void *str, size_t len)
{
	if (it->node->plain)
		return it->node->size == len && !memcmp(it->p, str, len);
	return listpack_equal(it->p, str, len);
}

/* ------------------------------------------------------------------ changing in the middle */

/* Make the node what the iterator reads: uncompressed, its listpack at the start of the block. */
static void iter_own(struct quicklist_iter *it)
{
	struct quicklist_node *n = it->node;
	size_t at = (size_t)(it->p - it->lp);
	if (it->raw) {
		mem_free(n->data);
		n->data = it->raw;
		n->cap = (uint32_t)mem_size(n->data);
		n->lzf = 0;
		it->raw = NULL;
	}
	node_normalise(n, false);
	it->lp = n->data;
	it->p = n->data + at;
}

void quicklist_iter_delete(struct quicklist_iter *it)
{
	struct quicklist *ql = it->ql;
	struct quicklist_node *n = it->node;
	it->fresh = true;
	if (it->backward)
		it->index--;
	if (n->count == 1) {
		/* The neighbour is entered by the next step, which may fail. */
		mem_free(it->raw);
		it->raw = it->lp = it->p = NULL;
		it->node = it->backward ? n->prev : n->next;
		it->changed = false;
		chain_unlink(ql, n);
		settle(ql);
		return;
	}
	iter_own(it);
	size_t at = (size_t)(it->p - it->lp);
	bool first = at == LISTPACK_EMPTY_BYTES - 1;
	uint8_t *p = it->p;
	size_t back = it->backward && !first ? (size_t)(it->p - listpack_prev(it->lp, it->p)) : 0;
	listpack_delete(&n->data, &p, 1);
	node_refresh(n);
	ql->count--;
	it->changed = true;
	it->lp = n->data;
	it->p = !it->backward ? p : first ? NULL : n->data + at - back;
}

/* Split the node in front of (behind) the element at p, which leaves elements on both sides. */
static int split_node(struct quicklist *ql, struct quicklist_node *n, const uint8_t *p, bool behind)
{
	uint8_t *tail;
	int64_t at = behind;
	for (const uint8_t *q = listpack_first(n->data); q != p; q = listpack_next(n->data, q))
		at++;
	struct quicklist_node *right = mem_alloc(sizeof *right);
	if (!right || listpack_split(&n->data, at, &tail)) {
		mem_free(right);
		return -ENOMEM;
	}
	*right = (struct quicklist_node){.data = tail};
	node_refresh(right);
	node_refresh(n);
	ql->count -= right->count;
	chain_link(ql, n, right);
	return 0;
}

/* A new element between two nodes, `left` or the head on its left: into one of them or a node of its own. */
static int insert_between(struct quicklist *ql, struct quicklist_node *left, const void *str, size_t len)
{
	struct quicklist_node *right = left ? left->next : ql->head, *fresh;
	bool plain = wants_plain(ql, len);
	if (!plain && node_fits(ql, left, len) && !node_unpack(left)) {
		int err = back_push(left, str, len);
		ql->count += !err;
		settle_node(ql, left);
		return err;
	}
	if (!plain && node_fits(ql, right, len) && !node_unpack(right)) {
		int err = front_push(right, str, len);
		ql->count += !err;
		settle_node(ql, right);
		return err;
	}
	int err = node_make(ql, str, len, &fresh);
	if (err)
		return err;
	chain_link(ql, left, fresh);
	settle(ql);
	settle_node(ql, fresh);
	return 0;
}

/* Leave the iterator without going on. */
static void iter_finish(struct quicklist_iter *it)
{
	it->node = NULL;
	it->p = it->lp = NULL;
}

int quicklist_iter_insert(struct quicklist_iter *it, bool after, const void *str, size_t len)
{
	struct quicklist *ql = it->ql;
	struct quicklist_node *n = it->node;
	iter_own(it);
	if (!wants_plain(ql, len) && node_fits(ql, n, len)) {
		uint8_t *p = it->p;
		int err = listpack_insert(&n->data, &p, after, str, len);
		if (!err)
			ql->count++;
		node_refresh(n);
		settle_node(ql, n);
		iter_finish(it);
		return err;
	}
	bool at_start = n->plain || it->p == it->lp + LISTPACK_EMPTY_BYTES - 1;
	bool at_end = n->plain || !listpack_next(it->lp, it->p);
	int err = 0;
	struct quicklist_node *left = after ? n : n->prev;
	if (!(after ? at_end : at_start)) {
		err = split_node(ql, n, it->p, after);
		left = n;
	}
	if (!err)
		err = insert_between(ql, left, str, len);
	struct quicklist_node *right = n->next;
	settle(ql);
	settle_node(ql, n);
	settle_node(ql, right);
	iter_finish(it);
	return err;
}

/* Another plain element, or another size of one. */
static int replace_node(struct quicklist *ql, struct quicklist_node *n, const void *str, size_t len)
{
	struct quicklist_node *fresh;
	int err = node_make(ql, str, len, &fresh);
	if (err)
		return err;
	mem_free(n->data);
	struct quicklist_node *prev = n->prev, *next = n->next;
	*n = *fresh;
	n->prev = prev;
	n->next = next;
	mem_free(fresh);
	settle_node(ql, n);
	return 0;
}

int quicklist_iter_replace(struct quicklist_iter *it, const void *str, size_t len)
{
	struct quicklist *ql = it->ql;
	struct quicklist_node *n = it->node;
	int err;
	if (n->count == 1) {
		mem_free(it->raw);
		it->raw = NULL;
		iter_finish(it);
		return replace_node(ql, n, str, len);
	}
	iter_own(it);
	size_t old = listpack_element_bytes(it->p);
	if (!wants_plain(ql, len) && n->size - old + len + COST_MARGIN <= bytes_limit(ql)) {
		uint8_t *p = it->p;
		err = listpack_replace(&n->data, &p, str, len);
		node_refresh(n);
		settle_node(ql, n);
		iter_finish(it);
		return err;
	}
	/* The new one behind the old one, then the old one out. The node is split so that the old one is its last element or
	 * its only one and stays in n whatever happens behind it. */
	struct quicklist_iter again = *it;
	if (listpack_next(it->lp, it->p)) {
		err = split_node(ql, n, it->p, true);
		if (err)
			return err;
	}
	err = node_make(ql, str, len, &again.node);
	if (err) {
		settle(ql);
		settle_node(ql, n->next);
		settle_node(ql, n);
		iter_finish(it);
		return err;
	}
	chain_link(ql, n, again.node);
	if (n->count == 1) {
		chain_unlink(ql, n);
		n = again.node;
	} else {
		uint8_t *last = listpack_last(n->data);
		listpack_delete(&n->data, &last, 1);
		node_refresh(n);
		ql->count--;
	}
	settle(ql);
	settle_node(ql, n);
	settle_node(ql, n->next);
	settle_node(ql, n->next ? n->next->next : NULL);
	iter_finish(it);
	return 0;
}

int64_t quicklist_delete_range(struct quicklist *ql, int64_t index, size_t n)
{
	if (index < 0)
		index += (int64_t)ql->count;
	if (index < 0 || (uint64_t)index >= ql->count || !n)
		return 0;
	if (n > ql->count - (size_t)index)
		n = ql->count - (size_t)index;
	struct quicklist_node *first, *last;
	size_t at = (size_t)index, end;
	for (first = ql->head; at >= first->count; first = first->next)
		at -= first->count;
	/* Whatever can fail comes before the first change. */
	end = at + n;
	for (last = first; end > last->count; last = last->next)
		end -= last->count;
	if ((at || (first == last && end < first->count)) && node_unpack(first))
		return -ENOMEM;
	if (end < last->count && node_unpack(last))
		return -ENOMEM;
	size_t left = n;
	struct quicklist_node *node = first, *before = first->prev;
	while (left) {
		struct quicklist_node *next = node->next;
		size_t here = node->count - at < left ? node->count - at : left;
		if (here == node->count) {
			chain_unlink(ql, node);
		} else {
			node_normalise(node, false);
			listpack_delete_range(&node->data, (int64_t)at, here);
			node_refresh(node);
			ql->count -= here;
			if (node == first)
				before = node;
		}
		left -= here;
		at = 0;
		node = next;
	}
	struct quicklist_node *behind = before ? before->next : ql->head;
	if (before && try_merge(ql, before, behind))
		behind = before->next;
	settle(ql);
	settle_node(ql, before);
	settle_node(ql, behind);
	return (int64_t)n;
}

/* ------------------------------------------------------------------ whole nodes */

int quicklist_append_listpack(struct quicklist *ql, uint8_t *take_lp)
{
	struct quicklist_node *n = node_new(take_lp, listpack_bytes(take_lp), (uint32_t)listpack_count(take_lp), false);
	if (!n)
		return -ENOMEM;
	chain_link(ql, ql->tail, n);
	settle(ql);
	return 0;
}

int quicklist_append_plain(struct quicklist *ql, uint8_t *take_bytes, size_t len)
{
	if (len > QUICKLIST_ELEMENT_MAX)
		return -EFBIG;
	struct quicklist_node *n = node_new(take_bytes, len, 1, true);
	if (!n)
		return -ENOMEM;
	chain_link(ql, ql->tail, n);
	settle(ql);
	return 0;
}

uint8_t *quicklist_take_listpack(struct quicklist *ql)
{
	struct quicklist_node *n = ql->head;
	if (!n)
		return listpack_new(0);
	if (ql->nodes != 1 || n->plain || node_unpack(n))
		return NULL;
	node_normalise(n, true);
	uint8_t *lp = n->data;
	n->data = NULL;
	chain_unlink(ql, n);
	return lp;
}

int quicklist_visit_nodes(const struct quicklist *ql, int (*visit)(void *ctx, bool plain, const uint8_t *bytes, size_t len),
                          void *ctx)
{
	for (const struct quicklist_node *n = ql->head; n; n = n->next) {
		uint8_t *raw = NULL;
		if (n->lzf) {
			raw = mem_alloc(n->size);
			if (!raw)
				return -ENOMEM;
			lzf_decompress(n->data, n->lzf, raw, n->size);
		}
		int res = visit(ctx, n->plain, raw ? raw : node_lp(n), n->size);
		mem_free(raw);
		if (res)
			return res;
	}
	return 0;
}
