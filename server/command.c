#include "server/command.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/store.h"

/*
 * Lookup is one open-addressing table for commands and subcommands together, keyed by the container's id and the folded
 * name. The first eight folded bytes stand in the slot, so that nearly every lookup is one probe and one comparison.
 */
struct slot {
	uint64_t head;          /* first eight bytes, lower case, zero-padded */
	const char *name;       /* lower case */
	struct command *cmd;    /* NULL: empty */
	uint32_t len;
	uint32_t parent;        /* id of the container + 1; 0: top level */
};

static struct {
	struct slot *slots;
	unsigned mask;
	struct command **all;   /* by id */
	unsigned count;
	struct command **top;
	unsigned top_count;
	struct {
		char *name;
		struct command *cmd;
	} *renamed;
	unsigned renamed_count;
} table;

/* ASCII letters to lower case in eight bytes at once. */
static inline uint64_t fold(uint64_t w)
{
	const uint64_t high = 0x8080808080808080u;
	uint64_t low7 = w & ~high;
	uint64_t past_z = low7 + (0x7f - 'Z') * 0x0101010101010101u;
	uint64_t from_a = low7 + (0x80 - 'A') * 0x0101010101010101u;
	return w | ((~w & high & (from_a ^ past_z)) >> 2);
}

static inline uint64_t load8(const char *p)
{
	uint64_t w;
	memcpy(&w, p, 8);
	return w;
}

/* Up to eight bytes without reading past them; zero-padded. */
static inline uint64_t load_short(const char *p, size_t len)
{
	if (len >= 4) {
		uint32_t a, b;
		memcpy(&a, p, 4);
		memcpy(&b, p + len - 4, 4);
		return a | (uint64_t)b << (len - 4) * 8;
	}
	uint64_t w = 0;
	if (len > 0)
		w = (unsigned char)p[0] | (uint64_t)(unsigned char)p[len / 2] << len / 2 * 8 |
		    (uint64_t)(unsigned char)p[len - 1] << (len - 1) * 8;
	return w;
}

static inline uint64_t head_of(const char *p, size_t len)
{
	return fold(len >= 8 ? load8(p) : load_short(p, len));
}

static inline unsigned hash_of(uint64_t head, const char *p, size_t len, uint32_t parent)
{
	uint64_t tail = len > 8 ? fold(load8(p + len - 8)) : 0;
	uint64_t h = (head ^ (tail << 23 | tail >> 41) ^ (len + 64 * (uint64_t)parent)) * 0x9e3779b97f4a7c15u;
	return (unsigned)(h >> 40);
}

/* Whether the bytes from the ninth on agree; name is lower case. */
static bool tail_equal(const char *name, const char *p, size_t len)
{
	for (size_t i = 8; i + 8 <= len; i += 8)
		if (load8(name + i) != fold(load8(p + i)))
			return false;
	return len <= 8 || load8(name + len - 8) == fold(load8(p + len - 8));
}

static struct slot *probe(const char *name, size_t len, uint32_t parent)
{
	uint64_t head = head_of(name, len);
	for (unsigned i = hash_of(head, name, len, parent) & table.mask;; i = (i + 1) & table.mask) {
		struct slot *s = &table.slots[i];
		if (!s->cmd || (s->head == head && s->len == len && s->parent == parent && tail_equal(s->name, name, len)))
			return s;
	}
}

static int insert(const char *name, struct command *cmd, uint32_t parent)
{
	size_t len = strlen(name);
	struct slot *s = probe(name, len, parent);
	if (s->cmd)
		return -EEXIST;
	*s = (struct slot){ head_of(name, len), name, cmd, (uint32_t)len, parent };
	return 0;
}

/* ------------------------------------------------------------------ building */

static uint32_t acl_of(const struct command *cmd)
{
	uint32_t acl = cmd->acl, flags = cmd->flags;
	if (flags & CMD_WRITE)
		acl |= ACL_WRITE;
	if (flags & CMD_READONLY && !(acl & ACL_SCRIPTING))
		acl |= ACL_READ;
	if (flags & CMD_ADMIN)
		acl |= ACL_ADMIN | ACL_DANGEROUS;
	if (flags & CMD_PUBSUB)
		acl |= ACL_PUBSUB;
	if (flags & CMD_BLOCKING)
		acl |= ACL_BLOCKING;
	return acl | (flags & CMD_FAST ? ACL_FAST : ACL_SLOW);
}

/* Variable flags do not matter here: they change what is done with the key, not which key it is. */
static bool single_key(const struct command *cmd)
{
	const struct key_spec *k = &cmd->keys[0];
	return k->flags && !cmd->keys[1].flags && !(k->flags & (KEY_NOT_KEY | KEY_INCOMPLETE)) && !k->keyword &&
	       !k->keynum && k->begin == 1 && k->last == 0;
}

static unsigned first_key(const struct command *cmd)
{
	const struct key_spec *k = &cmd->keys[0];
	if (!k->flags || k->flags & KEY_NOT_KEY || k->keyword || k->begin < 1)
		return 0;
	return (unsigned)(k->keynum ? k->begin + k->first_key : k->begin);
}

/* Strings stand in their entries; streams and lists have their ends behind a first block. */
static uint8_t prefetch_stages(const struct command *cmd)
{
	static const struct { const char *group; uint8_t stages; } groups[] = {
		{ "hash", 3 }, { "set", 3 }, { "sorted-set", 3 }, { "geo", 3 }, { "list", 4 }, { "stream", 4 },
	};
	for (size_t i = 0; cmd->group && i < sizeof groups / sizeof *groups; i++)
		if (!strcmp(cmd->group, groups[i].group))
			return groups[i].stages;
	return 2;
}

/* Commands that look one member or field up. Options of ZADD only make it a wrong guess. */
static uint8_t member_arg(const struct command *cmd)
{
	static const struct { const char *name; uint8_t arg; } rows[] = {
		{ "hget", 2 }, { "hset", 2 }, { "hmset", 2 }, { "hsetnx", 2 }, { "hdel", 2 }, { "hexists", 2 }, { "hstrlen", 2 },
		{ "hmget", 2 }, { "hincrby", 2 }, { "hincrbyfloat", 2 }, { "sadd", 2 }, { "srem", 2 }, { "sismember", 2 },
		{ "smismember", 2 }, { "zadd", 3 }, { "zincrby", 3 }, { "zscore", 2 }, { "zmscore", 2 }, { "zrank", 2 },
		{ "zrevrank", 2 }, { "zrem", 2 },
	};
	for (size_t i = 0; !cmd->parent && i < sizeof rows / sizeof *rows; i++)
		if (!strcmp(cmd->name, rows[i].name))
			return rows[i].arg;
	return 0;
}

static bool movable_keys(const struct command *cmd)
{
	for (int i = 0; i < COMMAND_SPECS && cmd->keys[i].flags; i++)
		if (cmd->keys[i].keyword || cmd->keys[i].keynum || cmd->keys[i].begin == 0)
			return true;
	return false;
}

static void complete(struct command *cmd, struct command *parent)
{
	cmd->parent = parent;
	cmd->id = table.count;
	cmd->acl_all = acl_of(cmd);
	cmd->single_key = single_key(cmd);
	cmd->first_key = first_key(cmd);
	if (movable_keys(cmd))
		cmd->flags |= CMD_MOVABLE_KEYS;
	if (parent && !cmd->group)
		cmd->group = parent->group;
	cmd->prefetch = prefetch_stages(cmd);
	cmd->member = member_arg(cmd);
	if (cmd->member)
		cmd->prefetch = STORE_PREFETCH_STAGES - 1;
	snprintf(cmd->full_name, sizeof cmd->full_name, "%s%s%s", parent ? parent->name : "", parent ? "|" : "", cmd->name);
	table.all[table.count++] = cmd;
}

static unsigned count_rows(struct command *const *groups, unsigned *top)
{
	unsigned n = 0;
	*top = 0;
	for (; *groups; groups++)
		for (struct command *cmd = *groups; cmd->name; cmd++) {
			n++, ++*top;
			for (struct command *sub = cmd->subs; sub && sub->name; sub++)
				n++;
		}
	return n;
}

int command_init(void)
{
	unsigned top, n = count_rows(command_groups, &top), cap = 64;
	while (cap < 4 * n)
		cap *= 2;
	free(table.slots);
	free(table.all);
	free(table.top);
	table.slots = calloc(cap, sizeof *table.slots);
	table.all = calloc(n + 1, sizeof *table.all);
	table.top = calloc(top + 1, sizeof *table.top);
	if (!table.slots || !table.all || !table.top)
		return -ENOMEM;
	table.mask = cap - 1;
	table.count = table.top_count = 0;
	for (struct command *const *g = command_groups; *g; g++)
		for (struct command *cmd = *g; cmd->name; cmd++) {
			complete(cmd, NULL);
			table.top[table.top_count++] = cmd;
			if (insert(cmd->name, cmd, 0) < 0)
				return -EEXIST;
			for (struct command *sub = cmd->subs; sub && sub->name; sub++) {
				complete(sub, cmd);
				if (insert(sub->name, sub, cmd->id + 1) < 0)
					return -EEXIST;
			}
		}
	return 0;
}

/* Put every name in again: open addressing without tombstones. */
static void remove_slot(struct slot *gone)
{
	unsigned hole = (unsigned)(gone - table.slots);
	gone->cmd = NULL;
	for (unsigned i = (hole + 1) & table.mask; table.slots[i].cmd; i = (i + 1) & table.mask) {
		struct slot s = table.slots[i];
		table.slots[i].cmd = NULL;
		*probe(s.name, s.len, s.parent) = s;
	}
}

int command_rename(const char *name, const char *new_name)
{
	struct slot *s = probe(name, strlen(name), 0);
	struct command *cmd = s->cmd;
	if (!cmd)
		return -ENOENT;
	if (!*new_name) {
		remove_slot(s);
		for (unsigned i = 0; i < table.top_count; i++)
			if (table.top[i] == cmd) {
				memmove(&table.top[i], &table.top[i + 1], (table.top_count - i) * sizeof *table.top);
				table.top_count--;
				break;
			}
		return 0;
	}
	if (probe(new_name, strlen(new_name), 0)->cmd)
		return -EEXIST;
	char *copy = strdup(new_name); /* lives as long as the table */
	if (!copy)
		return -ENOMEM;
	for (char *p = copy; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + 'a' - 'A');
	remove_slot(s);
	return insert(copy, cmd, 0);
}

/* ------------------------------------------------------------------ lookup */

struct command *command_find(const char *name, size_t len)
{
	return probe(name, len, 0)->cmd;
}

struct command *command_lookup(const struct arg *argv, unsigned argc, struct command **container)
{
	struct command *cmd = probe(argv[0].ptr, argv[0].len, 0)->cmd;
	if (container)
		*container = NULL;
	if (!cmd || __builtin_expect(!cmd->subs, 1) || argc == 1)
		return cmd;
	if (container)
		*container = cmd;
	return probe(argv[1].ptr, argv[1].len, cmd->id + 1)->cmd;
}

unsigned command_count(void)
{
	return table.count;
}

struct command *command_by_id(unsigned id)
{
	return table.all[id];
}

struct command *command_at(unsigned i)
{
	return table.top[i];
}

unsigned command_top_count(void)
{
	return table.top_count;
}

/* ------------------------------------------------------------------ keys */

bool key_refs_add(struct key_refs *k, unsigned arg, uint32_t flags)
{
	if (k->n == k->cap) {
		unsigned cap = k->cap * 2;
		struct key_ref *v = k->v == k->inline_ ? malloc(cap * sizeof *v) : realloc(k->v, cap * sizeof *v);
		if (!v)
			return false;
		if (k->v == k->inline_)
			memcpy(v, k->inline_, sizeof k->inline_);
		k->v = v;
		k->cap = cap;
	}
	k->v[k->n++] = (struct key_ref){ arg, flags };
	return true;
}

static void key_refs_init(struct key_refs *k)
{
	k->v = k->inline_;
	k->n = 0;
	k->cap = sizeof k->inline_ / sizeof *k->inline_;
}

void key_refs_clear(struct key_refs *k)
{
	if (k->v != k->inline_)
		free(k->v);
	key_refs_init(k);
}

/* A count of keys: digits only, at most max; -1: not one. */
static int64_t parse_count(const struct arg *a, int64_t max)
{
	int64_t n = 0;
	if (a->len == 0 || a->len > 18 || (a->ptr[0] == '0' && a->len > 1))
		return -1;
	for (size_t i = 0; i < a->len; i++) {
		if (a->ptr[i] < '0' || a->ptr[i] > '9')
			return -1;
		n = n * 10 + (a->ptr[i] - '0');
	}
	return n <= max ? n : -1;
}

/* Where the spec's search ends: index of the argument where keys begin, 0: the keyword is not there. As in Redis, neither
 * the last argument, going forward, nor the first one, going back, can be the keyword. */
static int64_t spec_begin(const struct key_spec *s, const struct arg *argv, int64_t argc)
{
	if (!s->keyword)
		return s->begin;
	size_t len = strlen(s->keyword);
	int64_t i = s->begin > 0 ? s->begin : argc + s->begin, step = s->begin > 0 ? 1 : -1;
	for (int64_t end = s->begin > 0 ? argc - 1 : 1; i > 0 && i < argc && i != end; i += step)
		if (argv[i].len == len && strncasecmp(argv[i].ptr, s->keyword, len) == 0)
			return i + 1;
	return 0;
}

/* The keys of one spec. The bounds are checked before anything is added: what is added is at most argc long. */
static int spec_keys(const struct command *cmd, const struct key_spec *s, const struct arg *argv, int64_t argc,
                     struct key_refs *out)
{
	int64_t first = spec_begin(s, argv, argc), last, step = s->step > 0 ? s->step : 1;
	if (first == 0)
		return s->keyword ? 0 : -EINVAL;
	if (s->keynum) {
		if (first + s->keynum_index >= argc)
			return -EINVAL;
		int64_t n = parse_count(&argv[first + s->keynum_index], argc);
		if (n == 0 && cmd->flags & CMD_NO_MANDATORY_KEYS)
			return 0;
		if (n <= 0)
			return -EINVAL;
		first += s->first_key;
		last = first + (n - 1) * step;
	} else if (s->last >= 0) {
		last = first + s->last;
	} else if (s->limit > 1) {
		last = first + (argc - first) / s->limit + s->last;
	} else {
		last = argc + s->last;
	}
	if (first >= argc || last >= argc || last < first)
		return -EINVAL;
	for (int64_t i = first; i <= last; i += step)
		if (!key_refs_add(out, (unsigned)i, s->flags))
			return -ENOMEM;
	return s->flags & KEY_INCOMPLETE ? -EINVAL : 0;
}

static int find_keys(const struct command *cmd, const struct arg *argv, unsigned argc, struct key_refs *out)
{
	int err = cmd->find_keys(cmd, argv, argc, out);
	if (err < 0)
		key_refs_clear(out);
	return err;
}

int command_keys(const struct command *cmd, const struct arg *argv, unsigned argc, struct key_refs *out)
{
	int err = 0;
	uint32_t all = 0;
	bool keyword = false; /* which may come twice, and a spec sees only the first */
	key_refs_init(out);
	for (int i = 0; i < COMMAND_SPECS && cmd->keys[i].flags; i++) {
		all |= cmd->keys[i].flags;
		keyword = keyword || cmd->keys[i].keyword;
	}
	if ((all & KEY_VARIABLE_FLAGS || keyword) && cmd->find_keys)
		return find_keys(cmd, argv, argc, out);
	for (int i = 0; err == 0 && i < COMMAND_SPECS && cmd->keys[i].flags; i++)
		if (!(cmd->keys[i].flags & KEY_NOT_KEY))
			err = spec_keys(cmd, &cmd->keys[i], argv, argc, out);
	if (err == 0)
		return 0;
	key_refs_clear(out);
	return err == -EINVAL && cmd->find_keys ? find_keys(cmd, argv, argc, out) : err;
}
