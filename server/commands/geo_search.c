/* geo_search: places within a circle or a box, answered or stored. */
#include <stdlib.h>

#include "server/commands/geo.h"
#include "server/commands/groups.h"

enum search_kind {
	BY_COORDS = 1,  /* GEORADIUS: the centre at argv[2] and [3] */
	BY_MEMBER = 2,  /* GEORADIUSBYMEMBER: a member at argv[2] */
	NO_STORE = 4,   /* the forms that only read */
	SEARCH = 8,     /* GEOSEARCH: all in options */
	SEARCH_STORE = 16,
};
enum search_order { ORDER_NONE, ORDER_ASC, ORDER_DESC };

struct search {
	unsigned kind;
	bool there;          /* the source key */
	struct value z;
	struct geo_shape shape;
	bool distances, hashes, coords, any;
	bool member, lonlat, radius, box; /* what GEOSEARCH was told */
	enum search_order order;
	int64_t count;       /* 0: all */
	unsigned store;      /* argument that names the destination, 0: none */
	bool store_distance;
};

struct found {
	const char *ptr; /* within the source, NULL: buf */
	size_t len;
	double score, distance;
	struct geo_point at;
	size_t place; /* in the order of the search: keeps sorting stable */
	char buf[NUMBER_MAX];
};

struct results {
	struct found *v;
	size_t n, cap;
};

/* ------------------------------------------------------------------ arguments */

static bool length_arg(struct call *c, unsigned i, double *v, const char *error)
{
	if (number_parse_double(c->argv[i].ptr, c->argv[i].len, v))
		return true;
	reply_error(c->reply, error);
	return false;
}

static bool radius_args(struct call *c, unsigned i, struct geo_shape *s)
{
	if (!length_arg(c, i, &s->radius, "ERR need numeric radius"))
		return false;
	if (s->radius < 0) {
		reply_error(c->reply, "ERR radius cannot be negative");
		return false;
	}
	s->box = false;
	return geo_unit_arg(c, i + 1, &s->unit);
}

static bool box_args(struct call *c, unsigned i, struct geo_shape *s)
{
	if (!length_arg(c, i, &s->width, "ERR need numeric width") ||
	    !length_arg(c, i + 1, &s->height, "ERR need numeric height"))
		return false;
	if (s->width < 0 || s->height < 0) {
		reply_error(c->reply, "ERR height or width cannot be negative");
		return false;
	}
	s->box = true;
	return geo_unit_arg(c, i + 2, &s->unit);
}

/* The centre is a member; where there is no key nothing will be found anyway. */
static bool member_arg(struct call *c, unsigned i, struct search *s)
{
	if (!s->there || geo_member(&s->z, &c->argv[i], &s->shape.centre))
		return true;
	reply_error(c->reply, "ERR could not decode requested zset member");
	return false;
}

static bool count_arg(struct call *c, unsigned i, struct search *s)
{
	if (!call_int(c, i, &s->count))
		return false;
	if (s->count > 0)
		return true;
	reply_error(c->reply, "ERR COUNT must be > 0");
	return false;
}

/* Options with further arguments. Returns how many, 0 if it is none of them, -1 if the error is written. */
static int search_option(struct call *c, unsigned i, struct search *s)
{
	const struct arg *a = &c->argv[i];
	unsigned behind = c->argc - i - 1;
	if (!(s->kind & SEARCH) || behind < 1)
		return 0;
	if (arg_is(a, "FROMMEMBER") && !s->lonlat) {
		s->member = true;
		return member_arg(c, i + 1, s) ? 1 : -1;
	}
	if (arg_is(a, "FROMLONLAT") && behind >= 2 && !s->member) {
		s->lonlat = true;
		return geo_point_arg(c, i + 1, &s->shape.centre) ? 2 : -1;
	}
	if (arg_is(a, "BYRADIUS") && behind >= 2 && !s->box) {
		s->radius = true;
		return radius_args(c, i + 1, &s->shape) ? 2 : -1;
	}
	if (arg_is(a, "BYBOX") && behind >= 3 && !s->radius) {
		s->box = true;
		return box_args(c, i + 1, &s->shape) ? 3 : -1;
	}
	return 0;
}

static bool store_option(const struct arg *a, unsigned behind, const struct search *s, bool *distance)
{
	*distance = arg_is(a, "STOREDIST");
	return (*distance || arg_is(a, "STORE")) && behind >= 1 && !(s->kind & (NO_STORE | SEARCH));
}

static bool flag_option(const struct arg *a, struct search *s)
{
	if (arg_is(a, "WITHDIST"))
		s->distances = true;
	else if (arg_is(a, "WITHHASH"))
		s->hashes = true;
	else if (arg_is(a, "WITHCOORD"))
		s->coords = true;
	else if (arg_is(a, "ANY"))
		s->any = true;
	else if (arg_is(a, "ASC"))
		s->order = ORDER_ASC;
	else if (arg_is(a, "DESC"))
		s->order = ORDER_DESC;
	else if (s->kind & SEARCH_STORE && arg_is(a, "STOREDIST"))
		s->store_distance = true;
	else
		return false;
	return true;
}

static bool parse_options(struct call *c, unsigned at, struct search *s)
{
	for (unsigned i = at; i < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		unsigned behind = c->argc - i - 1;
		bool distance;
		if (flag_option(a, s))
			continue;
		if (arg_is(a, "COUNT") && behind >= 1) {
			if (!count_arg(c, ++i, s))
				return false;
		} else if (store_option(a, behind, s, &distance)) {
			s->store = ++i;
			s->store_distance = distance;
		} else {
			int used = search_option(c, i, s);
			if (used == 0)
				reply_syntax_error(c->reply);
			if (used <= 0)
				return false;
			i += (unsigned)used;
		}
	}
	return true;
}

/* Whether the options go together; else the error is written. */
static bool options_fit(struct call *c, const struct search *s)
{
	int len = (int)(c->argv[0].len < 128 ? c->argv[0].len : 128);
	if (s->store && (s->distances || s->hashes || s->coords))
		reply_errorf(c->reply, "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
		             s->kind & SEARCH_STORE ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
	else if (s->kind & SEARCH && !s->member && !s->lonlat)
		reply_errorf(c->reply, "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %.*s", len,
		             c->argv[0].ptr);
	else if (s->kind & SEARCH && !s->radius && !s->box)
		reply_errorf(c->reply, "ERR exactly one of BYRADIUS and BYBOX can be specified for %.*s", len, c->argv[0].ptr);
	else if (s->any && !s->count)
		reply_error(c->reply, "ERR the ANY argument requires COUNT argument");
	else
		return true;
	return false;
}

static bool parse(struct call *c, struct search *s)
{
	unsigned at = s->kind & BY_COORDS ? 6 : s->kind & BY_MEMBER ? 5 : s->kind & SEARCH_STORE ? 3 : 2;
	if (s->kind & SEARCH_STORE)
		s->store = 1;
	if (s->kind & BY_COORDS && (!geo_point_arg(c, 2, &s->shape.centre) || !radius_args(c, 4, &s->shape)))
		return false;
	if (s->kind & BY_MEMBER && s->there && (!member_arg(c, 2, s) || !radius_args(c, 3, &s->shape)))
		return false;
	return parse_options(c, at, s) && options_fit(c, s);
}

/* ------------------------------------------------------------------ searching */

static bool results_add(struct results *r, const struct zset_item *item, struct geo_point at, double distance)
{
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 32;
		struct found *v = realloc(r->v, cap * sizeof *v);
		if (!v)
			return false;
		r->v = v;
		r->cap = cap;
	}
	struct found *f = &r->v[r->n];
	*f = (struct found){ .len = item->len, .score = item->score, .distance = distance, .at = at, .place = r->n };
	if (item->ptr == item->buf)
		memcpy(f->buf, item->buf, sizeof f->buf); /* an integer of a listpack: its text is nowhere else */
	else
		f->ptr = item->ptr;
	r->n++;
	return true;
}

/* Every place of the range of scores that lies in the shape; `most` is enough, 0: all. */
static bool look_through(const struct search *s, const struct geo_range *range, size_t most, struct results *r)
{
	struct zset_iter it;
	struct zset_item item;
	size_t n = zset_count(&s->z), from = zset_below(&s->z, (double)range->min, false);
	if (from >= n)
		return true;
	zset_iter_init(&it, &s->z, from, false);
	while ((!most || r->n < most) && zset_iter_next(&it, &item) && item.score < (double)range->max) {
		struct geo_point at = geo_decode_score(item.score);
		double distance;
		if (geo_within(&s->shape, at, &distance) && !results_add(r, &item, at, distance))
			return false;
	}
	return true;
}

static int nearer(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

static int farther(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	if (x->distance != y->distance)
		return x->distance > y->distance ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

static bool search(struct search *s, struct results *r)
{
	struct geo_range ranges[GEO_RANGES];
	unsigned n = geo_ranges(&s->shape, ranges);
	size_t most = s->any ? (size_t)s->count : 0;
	for (unsigned i = 0; i < n; i++)
		if (!look_through(s, &ranges[i], most, r))
			return false;
	/* The nearest ones are wanted, unless any will do. */
	if (s->count && !s->any && s->order == ORDER_NONE)
		s->order = ORDER_ASC;
	if (s->order != ORDER_NONE && r->n > 1)
		qsort(r->v, r->n, sizeof *r->v, s->order == ORDER_ASC ? nearer : farther);
	if (s->count && r->n > (size_t)s->count)
		r->n = (size_t)s->count;
	return true;
}

/* ------------------------------------------------------------------ results */

static const char *text_of(const struct found *f)
{
	return f->ptr ? f->ptr : f->buf;
}

static void reply_found(struct call *c, const struct search *s, const struct results *r)
{
	unsigned extras = (unsigned)s->distances + s->hashes + s->coords;
	reply_array(c->reply, r->n);
	for (size_t i = 0; i < r->n; i++) {
		const struct found *f = &r->v[i];
		if (extras)
			reply_array(c->reply, extras + 1);
		reply_bulk(c->reply, text_of(f), f->len);
		if (s->distances)
			geo_reply_distance(c->reply, f->distance / s->shape.unit);
		if (s->hashes)
			reply_int(c->reply, (int64_t)f->score);
		if (s->coords)
			geo_reply_point(c->reply, f->at);
	}
}

static void store_found(struct call *c, const struct search *s, const struct results *r)
{
	struct store_key to = call_key(c, s->store);
	struct zset_builder b;
	zset_builder_init(&b);
	for (size_t i = 0; i < r->n; i++) {
		const struct found *f = &r->v[i];
		double score = s->store_distance ? f->distance / s->shape.unit : f->score;
		if (zset_builder_add(&b, text_of(f), f->len, score)) {
			zset_builder_clear(&b);
			reply_oom(c->reply);
			return;
		}
	}
	zset_store(c, &to, &b, s->kind & SEARCH ? "geosearchstore" : "georadiusstore", r->n);
}

static void run(struct call *c, unsigned kind)
{
	struct search s = { .kind = kind, .shape = { .unit = 1 } };
	struct results r = { NULL, 0, 0 };
	struct store_key key = call_key(c, kind & SEARCH_STORE ? 2 : 1);
	bool wrong;
	s.there = zset_read(c, &key, &s.z, &wrong);
	if (wrong || !parse(c, &s))
		return;
	if (s.there && !search(&s, &r))
		reply_oom(c->reply);
	else if (s.store)
		store_found(c, &s, &r);
	else
		reply_found(c, &s, &r);
	free(r.v);
}

static void run_georadius(struct call *c)
{
	run(c, BY_COORDS);
}

static void run_georadius_ro(struct call *c)
{
	run(c, BY_COORDS | NO_STORE);
}

static void run_georadiusbymember(struct call *c)
{
	run(c, BY_MEMBER);
}

static void run_georadiusbymember_ro(struct call *c)
{
	run(c, BY_MEMBER | NO_STORE);
}

static void run_geosearch(struct call *c)
{
	run(c, SEARCH);
}

static void run_geosearchstore(struct call *c)
{
	run(c, SEARCH | SEARCH_STORE);
}

/* The source and every key behind STORE or STOREDIST: of several the last is written, and none may be written unseen. */
static int radius_keys(const struct command *cmd, const struct arg *argv, unsigned argc, struct key_refs *out)
{
	static const char *const words[] = { "STORE", "STOREDIST" };
	if (argc < 2)
		return -EINVAL;
	if (!key_refs_add(out, 1, cmd->keys[0].flags))
		return -ENOMEM;
	for (int w = 0; w < 2; w++)
		for (unsigned i = (unsigned)cmd->keys[1].begin; i + 1 < argc; i++)
			if (arg_is(&argv[i], words[w]) && !key_refs_add(out, i + 1, cmd->keys[1].flags))
				return -ENOMEM;
	return 0;
}

/* ------------------------------------------------------------------ rows */

#define COST "O(N + log M) for N places around the shape, in a set of M"
#define UNIT "unit:<m:M|km:KM|ft:FT|mi:MI>"
#define EXTRAS "[withcoord:WITHCOORD] [withdist:WITHDIST] [withhash:WITHHASH]"
#define ORDER "[order:<asc:ASC|desc:DESC>]"
#define COUNT_ANY "[count-block:{COUNT count:integer [any:ANY]}]"
#define COUNT_ANY_62 "[count-block:{COUNT count:integer [any:ANY@6.2.0]}]"
#define STORE "[store:<STORE storekey:key#1(key)|STOREDIST storedistkey:key#2(key)>]"
#define FROM "from:<FROMMEMBER member:string|FROMLONLAT fromlonlat:{longitude:double latitude:double}> "
#define BY \
	"by:<circle:{BYRADIUS radius:double " UNIT "}|box:{BYBOX width:double height:double " UNIT "}> "
#define HISTORY_RADIUS "6.2.0 Option `ANY` of `COUNT`.\n7.0.0 Units in capital letters."
#define STORE_KEYS(at) \
	{ .flags = KEY_OW | KEY_UPDATE, .keyword = "STORE", .begin = at, .step = 1 }, \
	{ .flags = KEY_OW | KEY_UPDATE, .keyword = "STOREDIST", .begin = at, .step = 1 }

struct command geo_search_commands[] = {
	{
		.name = "georadius", .run = run_georadius, .class = EXEC_KEYED, .arity = -6,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_GEO,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS), STORE_KEYS(6) },
		.find_keys = radius_keys,
		.group = "geo", .since = "3.2.0",
		.summary = "Finds places near a point, and stores them if asked to.",
		.complexity = COST,
		.args = "key:key#0 longitude:double latitude:double radius:double " UNIT " " EXTRAS " " COUNT_ANY_62 " " ORDER " "
		        STORE,
		.history = HISTORY_RADIUS,
		.deprecated = "6.2.0 `GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
	},
	{
		.name = "georadius_ro", .run = run_georadius_ro, .class = EXEC_KEYED, .arity = -6,
		.flags = CMD_READONLY, .acl = ACL_GEO,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "geo", .since = "3.2.10",
		.summary = "Finds places near a point.",
		.complexity = COST,
		.args = "key:key#0 longitude:double latitude:double radius:double " UNIT " " EXTRAS " " COUNT_ANY_62 " " ORDER,
		.history = HISTORY_RADIUS,
		.deprecated = "6.2.0 `GEOSEARCH` with the `BYRADIUS` argument",
	},
	{
		.name = "georadiusbymember", .run = run_georadiusbymember, .class = EXEC_KEYED, .arity = -5,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_GEO,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS), STORE_KEYS(5) },
		.find_keys = radius_keys,
		.group = "geo", .since = "3.2.0",
		.summary = "Finds places near another one, and stores them if asked to.",
		.complexity = COST,
		.args = "key:key#0 member:string radius:double " UNIT " " EXTRAS " " COUNT_ANY " " ORDER " " STORE,
		.history = HISTORY_RADIUS,
		.deprecated = "6.2.0 `GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
	},
	{
		.name = "georadiusbymember_ro", .run = run_georadiusbymember_ro, .class = EXEC_KEYED, .arity = -5,
		.flags = CMD_READONLY, .acl = ACL_GEO,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "geo", .since = "3.2.10",
		.summary = "Finds places near another one.",
		.complexity = COST,
		.args = "key:key#0 member:string radius:double " UNIT " " EXTRAS " " COUNT_ANY " " ORDER,
		.history = HISTORY_RADIUS,
		.deprecated = "6.2.0 `GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
	},
	{
		.name = "geosearch", .run = run_geosearch, .class = EXEC_KEYED, .arity = -7,
		.flags = CMD_READONLY, .acl = ACL_GEO,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "geo", .since = "6.2.0",
		.summary = "Finds places in a circle or a box.",
		.complexity = COST,
		.args = "key:key#0 " FROM BY ORDER " " COUNT_ANY " " EXTRAS,
		.history = "7.0.0 Units in capital letters.",
	},
	{
		.name = "geosearchstore", .run = run_geosearchstore, .class = EXEC_KEYED, .arity = -8,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_GEO,
		.keys = { KEY_ONE(KEY_OW | KEY_UPDATE), KEY_RANGE(KEY_RO | KEY_ACCESS, 2, 0, 1) },
		.group = "geo", .since = "6.2.0",
		.summary = "Stores the places in a circle or a box.",
		.complexity = COST,
		.args = "destination:key#0 source:key#1 " FROM BY ORDER " " COUNT_ANY " [storedist:STOREDIST]",
		.history = "7.0.0 Units in capital letters.",
	},
	{ .name = NULL },
};
