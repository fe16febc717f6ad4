#include "store/impl/idmap.h"

#include <errno.h>
#include <string.h>

#include "store/memory.h"

/* Separator i of an inner node (i > 0): greater than all below child i - 1, not greater than any below child i. */
#define LEAF 41
#define FANOUT 42
#define MAX_HEIGHT 16

struct entry {
	struct idmap_id id;
	void *value;
};

struct idmap_leaf {
	struct idmap_leaf *prev, *next;
	uint32_t n, cap; /* cap < LEAF: the only leaf */
	struct entry entry[];
};

struct inner {
	uint32_t n;
	struct idmap_id id[FANOUT];
	void *child[FANOUT];
};

struct idmap {
	void *root; /* leaf if height is 0; NULL: empty */
	struct idmap_leaf *first, *last;
	size_t n;
	size_t inners;
	size_t leaf_bytes;
	unsigned height;
};

struct path {
	struct inner *node[MAX_HEIGHT];
	unsigned at[MAX_HEIGHT];
	struct idmap_leaf *leaf;
	unsigned index;
};

void idmap_id_encode(struct idmap_id id, uint8_t out[static 16])
{
	uint64_t ms = __builtin_bswap64(id.ms), seq = __builtin_bswap64(id.seq);
	memcpy(out, &ms, 8);
	memcpy(out + 8, &seq, 8);
}

struct idmap_id idmap_id_decode(const uint8_t in[static 16])
{
	uint64_t ms, seq;
	memcpy(&ms, in, 8);
	memcpy(&seq, in + 8, 8);
	return (struct idmap_id){__builtin_bswap64(ms), __builtin_bswap64(seq)};
}

/* ------------------------------------------------------------------ memory */

static size_t leaf_size(unsigned cap)
{
	return sizeof(struct idmap_leaf) + cap * sizeof(struct entry);
}

static struct idmap_leaf *leaf_new(struct idmap *m, unsigned cap)
{
	struct idmap_leaf *l = mem_alloc(leaf_size(cap));
	if (!l)
		return NULL;
	*l = (struct idmap_leaf){.cap = cap};
	m->leaf_bytes += mem_class(leaf_size(cap));
	return l;
}

static void leaf_free(struct idmap *m, struct idmap_leaf *l)
{
	m->leaf_bytes -= mem_class(leaf_size(l->cap));
	mem_free_sized(l, leaf_size(l->cap));
}

/* More room for the only leaf. */
static bool leaf_widen(struct idmap *m)
{
	struct idmap_leaf *l = m->root;
	unsigned old = l->cap, cap = old * 2 > LEAF - 4 ? LEAF : old * 2;
	l = mem_realloc(l, leaf_size(cap));
	if (!l)
		return false;
	l->cap = cap;
	m->leaf_bytes += mem_class(leaf_size(cap)) - mem_class(leaf_size(old));
	m->root = m->first = m->last = l;
	return true;
}

static struct inner *inner_new(struct idmap *m)
{
	struct inner *p = mem_alloc(sizeof *p);
	m->inners += p != NULL;
	return p;
}

static void inner_free(struct idmap *m, struct inner *p)
{
	m->inners--;
	mem_free_sized(p, sizeof *p);
}

struct idmap *idmap_new(void)
{
	return mem_calloc(sizeof(struct idmap));
}

static void free_inners(struct idmap *m, void *node, unsigned height)
{
	if (!height)
		return;
	struct inner *p = node;
	for (unsigned i = 0; i < p->n; i++)
		free_inners(m, p->child[i], height - 1);
	inner_free(m, p);
}

void idmap_free(struct idmap *m, void (*free_value)(void *value))
{
	if (!m)
		return;
	free_inners(m, m->root, m->height);
	for (struct idmap_leaf *l = m->first, *next; l; l = next) {
		next = l->next;
		for (unsigned i = 0; free_value && i < l->n; i++)
			free_value(l->entry[i].value);
		leaf_free(m, l);
	}
	mem_free(m);
}

size_t idmap_count(const struct idmap *m)
{
	return m->n;
}

size_t idmap_bytes(const struct idmap *m)
{
	return mem_size(m) + m->leaf_bytes + m->inners * mem_class(sizeof(struct inner));
}

/* ------------------------------------------------------------------ searching */

/* Index of the first entry not less than id. */
static unsigned leaf_find(const struct idmap_leaf *l, struct idmap_id id)
{
	unsigned lo = 0, n = l->n;
	while (n > 0) {
		unsigned half = n / 2;
		bool less = idmap_compare(l->entry[lo + half].id, id) < 0;
		lo += less ? half + 1 : 0;
		n = less ? n - half - 1 : half;
	}
	return lo;
}

/* The child to look below for id. */
static unsigned inner_find(const struct inner *p, struct idmap_id id)
{
	unsigned lo = 1, n = p->n - 1;
	while (n > 0) {
		unsigned half = n / 2;
		bool at_most = idmap_compare(p->id[lo + half], id) <= 0;
		lo += at_most ? half + 1 : 0;
		n = at_most ? n - half - 1 : half;
	}
	return lo - 1;
}

static void descend(const struct idmap *m, struct idmap_id id, struct path *path)
{
	void *node = m->root;
	for (unsigned h = 0; h < m->height; h++) {
		struct inner *p = node;
		path->node[h] = p;
		path->at[h] = inner_find(p, id);
		node = p->child[path->at[h]];
	}
	path->leaf = node;
	path->index = leaf_find(node, id);
}

static struct entry *find_entry(const struct idmap *m, struct idmap_id id)
{
	const void *node = m->root;
	if (!node)
		return NULL;
	for (unsigned h = 0; h < m->height; h++) {
		const struct inner *p = node;
		node = p->child[inner_find(p, id)];
	}
	struct idmap_leaf *l = (struct idmap_leaf *)(uintptr_t)node;
	unsigned i = leaf_find(l, id);
	return i < l->n && !idmap_compare(l->entry[i].id, id) ? &l->entry[i] : NULL;
}

void *idmap_find(const struct idmap *m, struct idmap_id id)
{
	struct entry *e = find_entry(m, id);
	return e ? e->value : NULL;
}

void *idmap_replace(struct idmap *m, struct idmap_id id, void *value)
{
	struct idmap_leaf *l = m->last;
	struct entry *e = l && !idmap_compare(l->entry[l->n - 1].id, id) ? &l->entry[l->n - 1] : find_entry(m, id);
	if (!e)
		return NULL;
	void *old = e->value;
	e->value = value;
	return old;
}

/* ------------------------------------------------------------------ inserting */

static void leaf_put(struct idmap_leaf *l, unsigned i, struct entry e)
{
	memmove(l->entry + i + 1, l->entry + i, (l->n++ - i) * sizeof e);
	l->entry[i] = e;
}

static void inner_put(struct inner *p, unsigned i, struct idmap_id id, void *child)
{
	memmove(p->id + i + 1, p->id + i, (p->n - i) * sizeof *p->id);
	memmove(p->child + i + 1, p->child + i, (p->n - i) * sizeof *p->child);
	p->id[i] = id;
	p->child[i] = child;
	p->n++;
}

/* Hang a new leaf into the path behind the one that it leads to. One of `spare` for each full node, and one for a root. */
static void grow_up(struct idmap *m, const struct path *path, bool rightmost, struct idmap_id id, void *child,
                    struct inner **spare)
{
	for (unsigned h = m->height; h-- > 0;) {
		struct inner *p = path->node[h], *right;
		unsigned at = path->at[h] + 1;
		if (p->n < FANOUT) {
			inner_put(p, at, id, child);
			return;
		}
		unsigned keep = rightmost && at == FANOUT ? FANOUT : FANOUT / 2;
		right = *spare++;
		right->n = FANOUT - keep;
		memcpy(right->id, p->id + keep, right->n * sizeof *p->id);
		memcpy(right->child, p->child + keep, right->n * sizeof *p->child);
		p->n = keep;
		if (at <= keep && keep < FANOUT)
			inner_put(p, at, id, child);
		else
			inner_put(right, at - keep, id, child);
		id = right->id[0];
		child = right;
	}
	struct inner *root = *spare;
	root->n = 2;
	root->child[0] = m->root;
	root->child[1] = child;
	root->id[1] = id;
	m->root = root;
	m->height++;
}

static int split_insert(struct idmap *m, struct path *path, struct entry e)
{
	struct inner *spare[MAX_HEIGHT + 1];
	unsigned full = 0, have = 0;
	while (full < m->height && path->node[m->height - 1 - full]->n == FANOUT)
		full++;
	unsigned need = full + (full == m->height);
	while (have < need && (spare[have] = inner_new(m)))
		have++;
	struct idmap_leaf *l = path->leaf, *right = have == need ? leaf_new(m, LEAF) : NULL;
	if (!right) {
		while (have-- > 0)
			inner_free(m, spare[have]);
		return -ENOMEM;
	}
	/* Ascending ids leave full leaves behind. */
	bool rightmost = l == m->last;
	unsigned keep = rightmost && path->index == LEAF ? LEAF : LEAF / 2;
	right->n = LEAF - keep;
	memcpy(right->entry, l->entry + keep, right->n * sizeof e);
	l->n = keep;
	if (path->index <= keep && keep < LEAF)
		leaf_put(l, path->index, e);
	else
		leaf_put(right, path->index - keep, e);
	right->prev = l;
	right->next = l->next;
	*(l->next ? &l->next->prev : &m->last) = right;
	l->next = right;
	grow_up(m, path, rightmost, right->entry[0].id, right, spare);
	return 0;
}

int idmap_insert(struct idmap *m, struct idmap_id id, void *value)
{
	struct entry e = {id, value};
	struct path path;
	if (!m->root) {
		struct idmap_leaf *l = leaf_new(m, 1);
		if (!l)
			return -ENOMEM;
		l->entry[l->n++] = e;
		m->root = m->first = m->last = l;
		m->n = 1;
		return 0;
	}
	struct idmap_leaf *last = m->last;
	if (last->n < last->cap && idmap_compare(last->entry[last->n - 1].id, id) < 0) {
		last->entry[last->n++] = e;
		m->n++;
		return 0;
	}
	descend(m, id, &path);
	if (path.index < path.leaf->n && !idmap_compare(path.leaf->entry[path.index].id, id))
		return -EEXIST;
	if (path.leaf->n == LEAF) {
		int err = split_insert(m, &path, e);
		if (err)
			return err;
	} else {
		if (path.leaf->n == path.leaf->cap) {
			if (!leaf_widen(m))
				return -ENOMEM;
			path.leaf = m->root;
		}
		leaf_put(path.leaf, path.index, e);
	}
	m->n++;
	return 0;
}

/* ------------------------------------------------------------------ removing */

static void inner_close(struct inner *p, unsigned i)
{
	p->n--;
	memmove(p->id + i, p->id + i + 1, (p->n - i) * sizeof *p->id);
	memmove(p->child + i, p->child + i + 1, (p->n - i) * sizeof *p->child);
}

static void merge_children(struct idmap *m, struct inner *p, unsigned at, bool leaves)
{
	if (leaves) {
		struct idmap_leaf *l = p->child[at], *r = p->child[at + 1];
		memcpy(l->entry + l->n, r->entry, r->n * sizeof *r->entry);
		l->n += r->n;
		l->next = r->next;
		*(r->next ? &r->next->prev : &m->last) = l;
		leaf_free(m, r);
	} else {
		struct inner *l = p->child[at], *r = p->child[at + 1];
		memcpy(l->id + l->n, r->id, r->n * sizeof *r->id);
		memcpy(l->child + l->n, r->child, r->n * sizeof *r->child);
		l->id[l->n] = p->id[at + 1];
		l->n += r->n;
		inner_free(m, r);
	}
	inner_close(p, at + 1);
}

static unsigned child_fill(const struct inner *p, unsigned at, bool leaves)
{
	return leaves ? ((struct idmap_leaf *)p->child[at])->n : ((struct inner *)p->child[at])->n;
}

static void maybe_merge(struct idmap *m, struct inner *p, unsigned at, bool leaves)
{
	unsigned cap = leaves ? LEAF : FANOUT, n = child_fill(p, at, leaves);
	if (n > cap / 3)
		return;
	if (at && child_fill(p, at - 1, leaves) + n <= cap * 3 / 4)
		merge_children(m, p, at - 1, leaves);
	else if (at + 1 < p->n && child_fill(p, at + 1, leaves) + n <= cap * 3 / 4)
		merge_children(m, p, at, leaves);
}

void *idmap_remove(struct idmap *m, struct idmap_id id)
{
	struct path path;
	if (!m->root)
		return NULL;
	descend(m, id, &path);
	struct idmap_leaf *l = path.leaf;
	if (path.index == l->n || idmap_compare(l->entry[path.index].id, id))
		return NULL;
	void *value = l->entry[path.index].value;
	l->n--;
	memmove(l->entry + path.index, l->entry + path.index + 1, (l->n - path.index) * sizeof *l->entry);
	m->n--;
	bool empty = !l->n;
	if (empty) {
		*(l->prev ? &l->prev->next : &m->first) = l->next;
		*(l->next ? &l->next->prev : &m->last) = l->prev;
		leaf_free(m, l);
	}
	for (unsigned h = m->height; h-- > 0;) {
		struct inner *p = path.node[h];
		if (!empty) {
			maybe_merge(m, p, path.at[h], h + 1 == m->height);
			continue;
		}
		inner_close(p, path.at[h]);
		empty = !p->n;
		if (empty)
			inner_free(m, p);
	}
	if (empty) {
		m->root = NULL;
		m->height = 0;
	}
	while (m->height && ((struct inner *)m->root)->n == 1) {
		struct inner *root = m->root;
		m->root = root->child[0];
		inner_free(m, root);
		m->height--;
	}
	return value;
}

/* ------------------------------------------------------------------ positions */

bool idmap_first(const struct idmap *m, struct idmap_pos *pos)
{
	*pos = (struct idmap_pos){m->first, 0};
	return m->n;
}

bool idmap_last(const struct idmap *m, struct idmap_pos *pos)
{
	*pos = (struct idmap_pos){m->last, m->n ? m->last->n - 1 : 0};
	return m->n;
}

bool idmap_seek_ge(const struct idmap *m, struct idmap_id id, struct idmap_pos *pos)
{
	struct path path;
	if (!m->root)
		return false;
	descend(m, id, &path);
	*pos = (struct idmap_pos){path.leaf, path.index};
	if (path.index == path.leaf->n)
		*pos = (struct idmap_pos){path.leaf->next, 0};
	return pos->leaf;
}

bool idmap_seek_le(const struct idmap *m, struct idmap_id id, struct idmap_pos *pos)
{
	struct path path;
	if (!m->root)
		return false;
	descend(m, id, &path);
	*pos = (struct idmap_pos){path.leaf, path.index};
	if (path.index < path.leaf->n && !idmap_compare(path.leaf->entry[path.index].id, id))
		return true;
	return idmap_prev(pos);
}

bool idmap_next(struct idmap_pos *pos)
{
	if (pos->index + 1 < pos->leaf->n) {
		pos->index++;
		return true;
	}
	if (!pos->leaf->next)
		return false;
	*pos = (struct idmap_pos){pos->leaf->next, 0};
	return true;
}

bool idmap_prev(struct idmap_pos *pos)
{
	if (pos->index) {
		pos->index--;
		return true;
	}
	if (!pos->leaf->prev)
		return false;
	*pos = (struct idmap_pos){pos->leaf->prev, pos->leaf->prev->n - 1};
	return true;
}

struct idmap_id idmap_id(const struct idmap_pos *pos)
{
	return pos->leaf->entry[pos->index].id;
}

void *idmap_value(const struct idmap_pos *pos)
{
	return pos->leaf->entry[pos->index].value;
}

/* ------------------------------------------------------------------ checking */

struct check {
	const struct idmap_leaf *leaf; /* the next one expected */
	size_t n, inners;
	bool ok;
};

/* All ids below node lie in [*low, *high), NULL: no bound. */
static void check_below(struct check *c, const void *node, unsigned height, const struct idmap_id *low,
                        const struct idmap_id *high)
{
	if (height) {
		const struct inner *p = node;
		c->inners++;
		c->ok &= p->n > 0 && p->n <= FANOUT;
		for (unsigned i = 0; c->ok && i < p->n; i++)
			check_below(c, p->child[i], height - 1, i ? &p->id[i] : low, i + 1 < p->n ? &p->id[i + 1] : high);
		return;
	}
	const struct idmap_leaf *l = node;
	c->ok &= l == c->leaf && l->n > 0 && l->n <= l->cap && (!l->next || l->next->prev == l);
	c->leaf = l->next;
	for (unsigned i = 0; c->ok && i < l->n; i++, c->n++) {
		struct idmap_id id = l->entry[i].id;
		c->ok &= (!i || idmap_compare(l->entry[i - 1].id, id) < 0) && (!low || idmap_compare(*low, id) <= 0) &&
		         (!high || idmap_compare(id, *high) < 0);
	}
}

bool idmap_check(const struct idmap *m)
{
	struct check c = {.leaf = m->first, .ok = true};
	if (!m->root)
		return !m->n && !m->first && !m->last && !m->height && !m->inners && !m->leaf_bytes;
	if (m->height && (((struct inner *)m->root)->n < 2 || m->first->cap != LEAF))
		return false;
	check_below(&c, m->root, m->height, NULL, NULL);
	return c.ok && c.n == m->n && !c.leaf && !m->last->next && c.inners == m->inners;
}
