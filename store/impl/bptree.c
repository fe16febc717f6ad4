#include "store/impl/bptree.h"

#include <errno.h>

#include "store/memory.h"

/*
 * Separator i of an inner node (i > 0) is always the least item below child i, itself there and not a copy, so it must be
 * renewed when that item goes. Separator 0 is not kept.
 */
#define LEAF BPTREE_LEAF
#define FANOUT 36
#define MAX_HEIGHT 12 /* 36^7 > 2^32 */

struct bptree_leaf {
	struct bptree_leaf *prev, *next;
	uint32_t n;
	double score[LEAF];
	uint8_t item[LEAF * 6 + 2];
};

struct inner {
	uint32_t n;
	uint32_t count[FANOUT];
	double score[FANOUT];
	void *item[FANOUT];
	void *child[FANOUT];
};

_Static_assert(sizeof(struct bptree_leaf) <= 1024 && sizeof(struct inner) <= 1024, "nodes fill their size class");

struct bptree {
	void *root; /* leaf if height is 0; NULL: empty */
	struct bptree_leaf *first, *last;
	size_t n, nodes;
	unsigned height;
};

/* The way from the root: node[0] is the root, node[height - 1] the parent of the leaf. */
struct path {
	struct inner *node[MAX_HEIGHT];
	unsigned at[MAX_HEIGHT];
	struct bptree_leaf *leaf;
	unsigned index;
};

/* ------------------------------------------------------------------ leaves */

static inline void *leaf_item(const struct bptree_leaf *l, unsigned i)
{
	uint64_t v;
	memcpy(&v, l->item + 6 * i, 8);
	return (void *)(uintptr_t)(v & 0xffffffffffffu);
}

static inline void leaf_put(struct bptree_leaf *l, unsigned i, double score, const void *item)
{
	uint64_t v = (uint64_t)(uintptr_t)item;
	l->score[i] = score;
	memcpy(l->item + 6 * i, &v, 6);
}

/* Copy n entries; the two may be one leaf. */
static void leaf_copy(struct bptree_leaf *to, unsigned to_at, const struct bptree_leaf *from, unsigned at, unsigned n)
{
	memmove(to->score + to_at, from->score + at, n * sizeof *to->score);
	memmove(to->item + 6 * to_at, from->item + 6 * at, n * (size_t)6);
}

static void leaf_insert(struct bptree_leaf *l, unsigned i, double score, const void *item)
{
	leaf_copy(l, i + 1, l, i, l->n - i);
	leaf_put(l, i, score, item);
	l->n++;
}

/* ------------------------------------------------------------------ order */

static inline int compare_member(const void *item, const struct bptree_key *key)
{
	return lenbytes_compare((const char *)item + BPTREE_MEMBER, key->member, key->len);
}

/* How many scores are below (or at most) s, without branches that a random order would mispredict. */
static inline unsigned scores_below(const double *score, unsigned n, double s, bool or_equal)
{
	unsigned lo = 0;
	while (n > 0) {
		unsigned half = n / 2;
		bool below = or_equal ? score[lo + half] <= s : score[lo + half] < s;
		lo += below ? half + 1 : 0;
		n = below ? n - half - 1 : half;
	}
	return lo;
}

/* The same by members within [lo, hi). */
#define MEMBERS_BELOW(lo, hi, item_of, key, or_equal) \
	while (lo < hi) { \
		unsigned mid = lo + (hi - lo) / 2; \
		if (compare_member(item_of, key) < (int)(or_equal)) \
			lo = mid + 1; \
		else \
			hi = mid; \
	}

/* Index of the first entry not less (after: greater) than the key. */
static unsigned leaf_find(const struct bptree_leaf *l, const struct bptree_key *key, bool after)
{
	unsigned lo = 0, hi = l->n;
	if (key->by != BPTREE_BY_MEMBER) {
		lo = scores_below(l->score, l->n, key->score, key->by == BPTREE_BY_SCORE && after);
		if (key->by == BPTREE_BY_SCORE || lo == l->n || l->score[lo] != key->score)
			return lo;
		hi = lo + scores_below(l->score + lo, l->n - lo, key->score, true);
	}
	MEMBERS_BELOW(lo, hi, leaf_item(l, mid), key, after);
	return lo;
}

/* The child whose separator is the last below (or_equal: at most) the key. */
static unsigned inner_find(const struct inner *p, const struct bptree_key *key, bool or_equal)
{
	unsigned lo = 1, hi = p->n;
	if (key->by != BPTREE_BY_MEMBER) {
		lo += scores_below(p->score + 1, p->n - 1, key->score, key->by == BPTREE_BY_SCORE && or_equal);
		if (key->by == BPTREE_BY_SCORE || lo == p->n || p->score[lo] != key->score)
			return lo - 1;
		hi = lo + scores_below(p->score + lo, p->n - lo, key->score, true);
	}
	MEMBERS_BELOW(lo, hi, p->item[mid], key, or_equal);
	return lo - 1;
}

static struct bptree_key key_of(double score, const void *item)
{
	struct bptree_key key = {.by = BPTREE_BY_BOTH, .score = score};
	key.member = bptree_item_member(item, &key.len);
	return key;
}

/* ------------------------------------------------------------------ descending */

/* A search of a node's scores would wait for several cache lines one after the other: ask for all of them at once. */
static inline void prefetch_scores(const void *node, bool leaf)
{
	const char *p = leaf ? (const char *)((const struct bptree_leaf *)node)->score
	                     : (const char *)((const struct inner *)node)->score;
	size_t n = leaf ? sizeof((struct bptree_leaf *)0)->score : sizeof((struct inner *)0)->score;
	__builtin_prefetch(node);
	for (size_t i = 0; i < n; i += 64)
		__builtin_prefetch(p + i);
}

/* Where an item with this key is, or would go; returns its rank. Of a full key the separator itself belongs to its child. */
static size_t descend(const struct bptree *t, const struct bptree_key *key, struct path *path)
{
	void *node = t->root;
	size_t rank = 0;
	for (unsigned h = 0; h < t->height; h++) {
		struct inner *p = node;
		unsigned at = inner_find(p, key, true);
		node = p->child[at];
		prefetch_scores(node, h + 1 == t->height);
		for (unsigned i = 0; i < at; i++)
			rank += p->count[i];
		path->node[h] = p;
		path->at[h] = at;
	}
	path->leaf = node;
	path->index = leaf_find(node, key, false);
	return rank + path->index;
}

/* rank < count */
static void descend_rank(const struct bptree *t, size_t rank, struct path *path)
{
	void *node = t->root;
	for (unsigned h = 0; h < t->height; h++) {
		struct inner *p = node;
		unsigned at = 0;
		while (rank >= p->count[at])
			rank -= p->count[at++];
		path->node[h] = p;
		path->at[h] = at;
		node = p->child[at];
	}
	path->leaf = node;
	path->index = (unsigned)rank;
}

/* Whether the path leads to this very item. */
static bool path_holds(const struct path *path, const void *item)
{
	return path->index < path->leaf->n && leaf_item(path->leaf, path->index) == item;
}

/* ------------------------------------------------------------------ life cycle */

static void *node_new(struct bptree *t, bool leaf)
{
	void *node = mem_alloc(leaf ? sizeof(struct bptree_leaf) : sizeof(struct inner));
	if (node)
		t->nodes++;
	return node;
}

static void node_free(struct bptree *t, void *node, bool leaf)
{
	t->nodes--;
	mem_free_sized(node, leaf ? sizeof(struct bptree_leaf) : sizeof(struct inner));
}

struct bptree *bptree_new(void)
{
	return mem_calloc(sizeof(struct bptree));
}

/* As deep as the tree is high. */
static void free_below(struct bptree *t, void *node, unsigned height)
{
	if (height) {
		struct inner *p = node;
		for (unsigned i = 0; i < p->n; i++)
			free_below(t, p->child[i], height - 1);
	}
	node_free(t, node, !height);
}

void bptree_free(struct bptree *t, void (*free_item)(void *item))
{
	if (!t)
		return;
	struct bptree_pos pos;
	if (free_item && bptree_first(t, &pos)) {
		do
			free_item(bptree_item(&pos));
		while (bptree_next(&pos));
	}
	if (t->root)
		free_below(t, t->root, t->height);
	mem_free(t);
}

size_t bptree_count(const struct bptree *t)
{
	return t->n;
}

size_t bptree_bytes(const struct bptree *t)
{
	return mem_size(t) + t->nodes * mem_class(sizeof(struct bptree_leaf));
}

/* ------------------------------------------------------------------ inserting */

static void inner_open(struct inner *p, unsigned at)
{
	unsigned n = p->n - at;
	memmove(p->count + at + 1, p->count + at, n * sizeof *p->count);
	memmove(p->score + at + 1, p->score + at, n * sizeof *p->score);
	memmove(p->item + at + 1, p->item + at, n * sizeof *p->item);
	memmove(p->child + at + 1, p->child + at, n * sizeof *p->child);
	p->n++;
}

static void inner_copy(struct inner *to, unsigned to_at, const struct inner *from, unsigned at, unsigned n)
{
	memcpy(to->count + to_at, from->count + at, n * sizeof *to->count);
	memcpy(to->score + to_at, from->score + at, n * sizeof *to->score);
	memcpy(to->item + to_at, from->item + at, n * sizeof *to->item);
	memcpy(to->child + to_at, from->child + at, n * sizeof *to->child);
}

static uint32_t inner_sum(const struct inner *p)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i < p->n; i++)
		sum += p->count[i];
	return sum;
}

/* A new node to be linked in behind the one on the path. */
struct sprout {
	void *node;
	uint32_t count;
	double score;
	void *item;
};

static void inner_put(struct inner *p, unsigned at, const struct sprout *s)
{
	inner_open(p, at);
	p->count[at] = s->count;
	p->score[at] = s->score;
	p->item[at] = s->item;
	p->child[at] = s->node;
}

/* Put the sprout behind child p->at; if p is full it splits into `right`, which becomes the sprout. */
static void inner_grow(struct inner *p, unsigned at, bool rightmost, struct inner *right, struct sprout *s)
{
	if (p->n < FANOUT) {
		inner_put(p, at + 1, s);
		s->node = NULL;
		return;
	}
	/* Ascending insertion leaves full nodes behind. */
	unsigned keep = rightmost && at + 1 == FANOUT ? FANOUT : FANOUT / 2;
	right->n = FANOUT - keep;
	inner_copy(right, 0, p, keep, right->n);
	p->n = keep;
	if (at < keep && keep < FANOUT)
		inner_put(p, at + 1, s);
	else
		inner_put(right, at + 1 - keep, s);
	*s = (struct sprout){right, inner_sum(right), right->score[0], right->item[0]};
}

/* Nodes that a split of the leaf will need: one per full ancestor, and a root if all are full. */
static unsigned full_ancestors(const struct bptree *t, const struct path *path)
{
	unsigned n = 0;
	while (n < t->height && path->node[t->height - 1 - n]->n == FANOUT)
		n++;
	return n;
}

static bool nodes_alloc(struct bptree *t, struct inner **spare, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		spare[i] = node_new(t, false);
		if (!spare[i]) {
			while (i-- > 0)
				node_free(t, spare[i], false);
			return false;
		}
	}
	return true;
}

/* Hang the sprout (a new leaf) into the path; every node on it has one item more below. */
static void grow_up(struct bptree *t, struct path *path, struct sprout *s, bool rightmost, struct inner **spare)
{
	uint32_t left_count = path->leaf->n;
	for (unsigned h = t->height; h-- > 0;) {
		struct inner *p = path->node[h];
		if (!s->node) {
			p->count[path->at[h]]++;
			continue;
		}
		p->count[path->at[h]] = left_count;
		inner_grow(p, path->at[h], rightmost, p->n == FANOUT ? *spare++ : NULL, s);
		if (s->node)
			left_count = inner_sum(p);
	}
	if (!s->node)
		return;
	struct inner *root = *spare;
	root->n = 2;
	root->child[0] = t->root;
	root->count[0] = left_count;
	root->child[1] = s->node;
	root->count[1] = s->count;
	root->score[1] = s->score;
	root->item[1] = s->item;
	t->root = root;
	t->height++;
}

static int split_insert(struct bptree *t, struct path *path, double score, void *item)
{
	struct bptree_leaf *l = path->leaf, *right;
	struct inner *spare[MAX_HEIGHT + 1];
	unsigned full = full_ancestors(t, path), inners = full + (full == t->height);
	if (!nodes_alloc(t, spare, inners))
		return -ENOMEM;
	right = node_new(t, true);
	if (!right) {
		while (inners-- > 0)
			node_free(t, spare[inners], false);
		return -ENOMEM;
	}
	bool rightmost = l == t->last;
	unsigned keep = rightmost && path->index == LEAF ? LEAF : l == t->first && path->index == 0 ? 0 : LEAF / 2;
	right->n = LEAF - keep;
	leaf_copy(right, 0, l, keep, right->n);
	l->n = keep;
	if (path->index <= keep && keep < LEAF)
		leaf_insert(l, path->index, score, item);
	else
		leaf_insert(right, path->index - keep, score, item);
	right->prev = l;
	right->next = l->next;
	*(l->next ? &l->next->prev : &t->last) = right;
	l->next = right;
	struct sprout s = {right, right->n, right->score[0], leaf_item(right, 0)};
	grow_up(t, path, &s, rightmost, spare);
	return 0;
}

/* Even out with the sibling on the right of child `at` of p: both keep half of what they have together. */
static void balance_leaves(struct inner *p, unsigned at)
{
	struct bptree_leaf *l = p->child[at], *r = p->child[at + 1];
	unsigned sum = l->n + r->n, left = sum / 2;
	if (l->n > left) {
		unsigned k = l->n - left;
		leaf_copy(r, k, r, 0, r->n);
		leaf_copy(r, 0, l, left, k);
	} else {
		unsigned k = left - l->n;
		leaf_copy(l, l->n, r, 0, k);
		leaf_copy(r, 0, r, k, r->n - k);
	}
	l->n = p->count[at] = left;
	r->n = p->count[at + 1] = sum - left;
	p->score[at + 1] = r->score[0];
	p->item[at + 1] = leaf_item(r, 0);
}

/* Make room in a full leaf by a sibling that has some; the path is corrected. Keeps leaves four fifths full. */
static bool make_room(const struct bptree *t, struct path *path)
{
	if (!t->height || (path->leaf == t->last && path->index == LEAF))
		return false;
	struct inner *p = path->node[t->height - 1];
	unsigned *at = &path->at[t->height - 1];
	if (*at + 1 < p->n && ((struct bptree_leaf *)p->child[*at + 1])->n <= LEAF * 7 / 8) {
		balance_leaves(p, *at);
		if (path->index > path->leaf->n) {
			path->index -= path->leaf->n;
			path->leaf = p->child[++*at];
		}
		return true;
	}
	if (*at && ((struct bptree_leaf *)p->child[*at - 1])->n <= LEAF * 7 / 8) {
		struct bptree_leaf *left = p->child[*at - 1];
		unsigned from_left = path->index + left->n;
		balance_leaves(p, *at - 1);
		if (from_left <= left->n) {
			path->leaf = left;
			path->index = from_left;
			--*at;
		} else {
			path->index = from_left - left->n;
		}
		return true;
	}
	return false;
}

/* The item belongs behind all others: no search. */
static bool append_last(struct bptree *t, const struct bptree_key *key, void *item)
{
	struct bptree_leaf *l = t->last;
	double last = l->score[l->n - 1];
	if (l->n == LEAF || key->score < last ||
	    (key->score == last && compare_member(leaf_item(l, l->n - 1), key) >= 0))
		return false;
	void *node = t->root;
	for (unsigned h = 0; h < t->height; h++) {
		struct inner *p = node;
		p->count[p->n - 1]++;
		node = p->child[p->n - 1];
	}
	leaf_put(l, l->n++, key->score, item);
	return true;
}

static int insert_at(struct bptree *t, double score, void *item)
{
	struct bptree_key key = key_of(score, item);
	if (t->n >= UINT32_MAX - 1)
		return -EFBIG;
	if (!t->root) {
		struct bptree_leaf *l = node_new(t, true);
		if (!l)
			return -ENOMEM;
		l->prev = l->next = NULL;
		l->n = 1;
		leaf_put(l, 0, score, item);
		t->root = t->first = t->last = l;
		t->n = 1;
		return 0;
	}
	if (!append_last(t, &key, item)) {
		struct path path;
		descend(t, &key, &path);
		if (path.leaf->n == LEAF && !make_room(t, &path)) {
			int err = split_insert(t, &path, score, item);
			if (err)
				return err;
		} else {
			leaf_insert(path.leaf, path.index, score, item);
			for (unsigned h = 0; h < t->height; h++)
				path.node[h]->count[path.at[h]]++;
		}
	}
	t->n++;
	return 0;
}

int bptree_insert(struct bptree *t, void *item)
{
	return insert_at(t, bptree_item_score(item), item);
}

int bptree_build(struct bptree *t, void *const *items, size_t n)
{
	int err = 0;
	for (size_t i = 0; i < n && !err; i++)
		err = bptree_insert(t, items[i]);
	return err;
}

/* ------------------------------------------------------------------ removing */

/* The least item below node[h] (h == height: the leaf) has changed: renew the separator that it is. */
static void fix_min(struct path *path, unsigned h, double score, void *item)
{
	while (h-- > 0) {
		unsigned at = path->at[h];
		if (at) {
			path->node[h]->score[at] = score;
			path->node[h]->item[at] = item;
			return;
		}
	}
}

static void inner_close(struct inner *p, unsigned at)
{
	unsigned n = --p->n - at;
	memmove(p->count + at, p->count + at + 1, n * sizeof *p->count);
	memmove(p->score + at, p->score + at + 1, n * sizeof *p->score);
	memmove(p->item + at, p->item + at + 1, n * sizeof *p->item);
	memmove(p->child + at, p->child + at + 1, n * sizeof *p->child);
}

/* Append the right one of two neighbours in p to the left one. */
static void merge_children(struct bptree *t, struct inner *p, unsigned at, bool leaves)
{
	if (leaves) {
		struct bptree_leaf *l = p->child[at], *r = p->child[at + 1];
		leaf_copy(l, l->n, r, 0, r->n);
		l->n += r->n;
		l->next = r->next;
		*(r->next ? &r->next->prev : &t->last) = l;
	} else {
		struct inner *l = p->child[at], *r = p->child[at + 1];
		inner_copy(l, l->n, r, 0, r->n);
		l->score[l->n] = p->score[at + 1];
		l->item[l->n] = p->item[at + 1];
		l->n += r->n;
	}
	node_free(t, p->child[at + 1], leaves);
	p->count[at] += p->count[at + 1];
	inner_close(p, at + 1);
}

static uint32_t child_fill(const struct inner *p, unsigned at, bool leaves)
{
	return leaves ? ((struct bptree_leaf *)p->child[at])->n : ((struct inner *)p->child[at])->n;
}

/* Child `at` of p has become small: merge it with a neighbour if that leaves room to grow. */
static void maybe_merge(struct bptree *t, struct inner *p, unsigned at, bool leaves)
{
	uint32_t cap = leaves ? LEAF : FANOUT, n = child_fill(p, at, leaves);
	if (n > cap / 3)
		return;
	if (at && child_fill(p, at - 1, leaves) + n <= cap * 3 / 4)
		merge_children(t, p, at - 1, leaves);
	else if (at + 1 < p->n && child_fill(p, at + 1, leaves) + n <= cap * 3 / 4)
		merge_children(t, p, at, leaves);
}

static void unlink_leaf(struct bptree *t, struct bptree_leaf *l)
{
	*(l->prev ? &l->prev->next : &t->first) = l->next;
	*(l->next ? &l->next->prev : &t->last) = l->prev;
	node_free(t, l, true);
}

/* Remove k entries of the path's leaf, from path->index on. */
static void remove_at(struct bptree *t, struct path *path, unsigned k)
{
	struct bptree_leaf *l = path->leaf;
	leaf_copy(l, path->index, l, path->index + k, l->n - path->index - k);
	l->n -= k;
	t->n -= k;
	for (unsigned h = 0; h < t->height; h++)
		path->node[h]->count[path->at[h]] -= k;
	bool empty = !l->n;
	if (empty)
		unlink_leaf(t, l);
	else if (!path->index)
		fix_min(path, t->height, l->score[0], leaf_item(l, 0));
	for (unsigned h = t->height; h-- > 0;) {
		struct inner *p = path->node[h];
		unsigned at = path->at[h];
		if (empty) {
			inner_close(p, at);
			empty = !p->n;
			if (empty)
				node_free(t, p, false);
			else if (!at)
				fix_min(path, h, p->score[0], p->item[0]);
		} else {
			maybe_merge(t, p, at, h + 1 == t->height);
		}
	}
	if (empty) {
		t->root = NULL;
		t->height = 0;
		return;
	}
	while (t->height && ((struct inner *)t->root)->n == 1) {
		struct inner *root = t->root;
		t->root = root->child[0];
		node_free(t, root, false);
		t->height--;
	}
}

static bool remove_key(struct bptree *t, double score, const void *item)
{
	struct bptree_key key = key_of(score, item);
	struct path path;
	if (!t->root)
		return false;
	descend(t, &key, &path);
	if (!path_holds(&path, item))
		return false;
	remove_at(t, &path, 1);
	return true;
}

bool bptree_remove(struct bptree *t, const void *item)
{
	return remove_key(t, bptree_item_score(item), item);
}

size_t bptree_remove_range(struct bptree *t, size_t from, size_t n, void (*gone)(void *ctx, void *item), void *ctx)
{
	size_t done = 0;
	void *items[LEAF];
	if (from >= t->n)
		return 0;
	if (n > t->n - from)
		n = t->n - from;
	while (done < n) {
		struct path path;
		descend_rank(t, from, &path);
		unsigned k = path.leaf->n - path.index;
		if (k > n - done)
			k = (unsigned)(n - done);
		for (unsigned i = 0; i < k; i++)
			items[i] = leaf_item(path.leaf, path.index + i);
		remove_at(t, &path, k);
		for (unsigned i = 0; i < k && gone; i++)
			gone(ctx, items[i]);
		done += k;
	}
	return done;
}

/* ------------------------------------------------------------------ another score */

static bool pos_neighbour(const struct path *path, bool next, struct bptree_pos *pos)
{
	*pos = (struct bptree_pos){path->leaf, path->index};
	return next ? bptree_next(pos) : bptree_prev(pos);
}

/* Whether the entry at the path would stay where it is with this key. */
static bool stays(const struct path *path, const struct bptree_key *key)
{
	struct bptree_pos pos;
	if (pos_neighbour(path, false, &pos)) {
		double s = bptree_score(&pos);
		if (s > key->score || (s == key->score && compare_member(bptree_item(&pos), key) > 0))
			return false;
	}
	if (pos_neighbour(path, true, &pos)) {
		double s = bptree_score(&pos);
		if (s < key->score || (s == key->score && compare_member(bptree_item(&pos), key) < 0))
			return false;
	}
	return true;
}

int bptree_move(struct bptree *t, void *item, double score)
{
	double old = bptree_item_score(item);
	struct bptree_key key = key_of(old, item);
	struct path path;
	if (!t->root)
		return -ENOENT;
	descend(t, &key, &path);
	if (!path_holds(&path, item))
		return -ENOENT;
	key.score = score;
	if (stays(&path, &key)) {
		path.leaf->score[path.index] = score;
		if (!path.index)
			fix_min(&path, t->height, score, item);
	} else {
		/* In first, which may fail, then out, which cannot. */
		int err = insert_at(t, score, item);
		if (err)
			return err;
		remove_key(t, old, item);
	}
	memcpy(item, &score, sizeof score);
	return 0;
}

/* ------------------------------------------------------------------ looking */

size_t bptree_rank(const struct bptree *t, const void *item)
{
	struct bptree_key key = key_of(bptree_item_score(item), item);
	struct path path;
	return descend(t, &key, &path);
}

size_t bptree_seek(const struct bptree *t, const struct bptree_key *key, bool after, struct bptree_pos *pos)
{
	struct bptree_pos found = {NULL, 0};
	size_t rank = 0;
	void *node = t->root;
	for (unsigned h = 0; h < t->height; h++) {
		struct inner *p = node;
		unsigned at = inner_find(p, key, after);
		node = p->child[at];
		prefetch_scores(node, h + 1 == t->height);
		for (unsigned i = 0; i < at; i++)
			rank += p->count[i];
	}
	if (node) {
		found = (struct bptree_pos){node, leaf_find(node, key, after)};
		rank += found.index;
		if (found.index == found.leaf->n)
			found = (struct bptree_pos){found.leaf->next, 0};
	}
	if (pos)
		*pos = found;
	return rank;
}

bool bptree_first(const struct bptree *t, struct bptree_pos *pos)
{
	*pos = (struct bptree_pos){t->first, 0};
	return t->n;
}

bool bptree_last(const struct bptree *t, struct bptree_pos *pos)
{
	*pos = (struct bptree_pos){t->last, t->n ? t->last->n - 1 : 0};
	return t->n;
}

bool bptree_at(const struct bptree *t, size_t rank, struct bptree_pos *pos)
{
	struct path path;
	if (rank >= t->n)
		return false;
	descend_rank(t, rank, &path);
	*pos = (struct bptree_pos){path.leaf, path.index};
	return true;
}

bool bptree_next(struct bptree_pos *pos)
{
	const struct bptree_leaf *l = pos->leaf;
	if (pos->index + 1 < l->n) {
		pos->index++;
		return true;
	}
	if (!l->next)
		return false;
	*pos = (struct bptree_pos){l->next, 0};
	return true;
}

bool bptree_prev(struct bptree_pos *pos)
{
	const struct bptree_leaf *l = pos->leaf;
	if (pos->index) {
		pos->index--;
		return true;
	}
	if (!l->prev)
		return false;
	*pos = (struct bptree_pos){l->prev, l->prev->n - 1};
	return true;
}

/* Of one leaf. Items are anywhere in memory: load those that are soon asked for. */
static unsigned take_forward(struct bptree_pos *pos, void **items, unsigned max)
{
	const struct bptree_leaf *l = pos->leaf;
	unsigned from = pos->index, n = l->n - from < max ? l->n - from : max;
	for (unsigned i = 0; i < n; i++)
		items[i] = leaf_item(l, from + i);
	for (unsigned i = from + n; i < l->n && i < from + 2 * max; i++)
		__builtin_prefetch(leaf_item(l, i));
	pos->index += n;
	if (pos->index == l->n) {
		*pos = (struct bptree_pos){l->next, 0};
		for (unsigned i = 0; l->next && i < max && i < l->next->n; i++)
			__builtin_prefetch(leaf_item(l->next, i));
	} else if (l->next && pos->index + 2 * max >= l->n) {
		__builtin_prefetch(l->next);
		__builtin_prefetch(l->next->item);
	}
	return n;
}

static unsigned take_backward(struct bptree_pos *pos, void **items, unsigned max)
{
	const struct bptree_leaf *l = pos->leaf;
	unsigned left = pos->index + 1, n = left < max ? left : max;
	for (unsigned i = 0; i < n; i++)
		items[i] = leaf_item(l, left - 1 - i);
	left -= n;
	for (unsigned i = 0; i < left && i < max; i++)
		__builtin_prefetch(leaf_item(l, left - 1 - i));
	if (left)
		pos->index = left - 1;
	else
		*pos = (struct bptree_pos){l->prev, l->prev ? l->prev->n - 1 : 0};
	return n;
}

unsigned bptree_take(struct bptree_pos *pos, void **items, unsigned max, bool reverse)
{
	return reverse ? take_backward(pos, items, max) : take_forward(pos, items, max);
}

void *bptree_item(const struct bptree_pos *pos)
{
	return leaf_item(pos->leaf, pos->index);
}

double bptree_score(const struct bptree_pos *pos)
{
	return pos->leaf->score[pos->index];
}

/* ------------------------------------------------------------------ checking */

struct check {
	const struct bptree_leaf *leaf; /* the next one expected */
	const void *last;
	size_t nodes;
	bool ok;
};

static void check_leaf(struct check *c, const struct bptree_leaf *l)
{
	c->ok &= l == c->leaf && l->n > 0 && l->n <= LEAF && (!l->next || l->next->prev == l);
	c->leaf = l->next;
	for (unsigned i = 0; c->ok && i < l->n; i++) {
		const void *item = leaf_item(l, i);
		c->ok &= bptree_item_score(item) == l->score[i];
		if (c->last) {
			struct bptree_key key = key_of(l->score[i], item);
			double s = bptree_item_score(c->last);
			c->ok &= s < key.score || (s == key.score && compare_member(c->last, &key) < 0);
		}
		c->last = item;
	}
}

static size_t check_below(struct check *c, const void *node, unsigned height, const void **min)
{
	c->nodes++;
	if (!height) {
		const struct bptree_leaf *l = node;
		check_leaf(c, l);
		*min = leaf_item(l, 0);
		return l->n;
	}
	const struct inner *p = node;
	size_t sum = 0;
	c->ok &= p->n > 0 && p->n <= FANOUT;
	for (unsigned i = 0; c->ok && i < p->n; i++) {
		const void *least = NULL;
		size_t n = check_below(c, p->child[i], height - 1, &least);
		c->ok &= n == p->count[i];
		if (!i)
			*min = least;
		else
			c->ok &= least == p->item[i] && bptree_item_score(least) == p->score[i];
		sum += n;
	}
	return sum;
}

bool bptree_check(const struct bptree *t)
{
	struct check c = {.leaf = t->first, .ok = true};
	const void *min;
	if (!t->root)
		return !t->n && !t->height && !t->first && !t->last && !t->nodes;
	if (t->height && ((struct inner *)t->root)->n < 2)
		return false;
	size_t n = check_below(&c, t->root, t->height, &min);
	return c.ok && n == t->n && !c.leaf && !t->last->next && c.nodes == t->nodes;
}
