/* geo: places in sorted sets: written, read, measured. Searches are in geo_search.c. */
#include "server/commands/geo.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/commands/groups.h"

/* ------------------------------------------------------------------ arguments and replies */

bool geo_point_arg(struct call *c, unsigned i, struct geo_point *p)
{
	if (!call_double(c, i, &p->lon) || !call_double(c, i + 1, &p->lat))
		return false;
	if (geo_valid(*p))
		return true;
	reply_errorf(c->reply, "ERR invalid longitude,latitude pair %f,%f", p->lon, p->lat);
	return false;
}

bool geo_unit_arg(struct call *c, unsigned i, double *unit)
{
	static const struct {
		const char *name;
		double metres;
	} units[] = { { "m", 1 }, { "km", 1000 }, { "ft", 0.3048 }, { "mi", 1609.34 } };
	for (size_t k = 0; k < sizeof units / sizeof *units; k++) {
		if (arg_is(&c->argv[i], units[k].name)) {
			*unit = units[k].metres;
			return true;
		}
	}
	reply_error(c->reply, "ERR unsupported unit provided. please use M, KM, FT, MI");
	return false;
}

void geo_reply_distance(struct reply *r, double distance)
{
	reply_bulkf(r, "%.4f", distance);
}

static void reply_degrees(struct reply *r, double v)
{
	char text[NUMBER_LONG_DOUBLE_MAX];
	size_t len = number_print_long_double(text, v);
	if (r->resp == 2) {
		reply_bulk(r, text, len);
		return;
	}
	reply_lit(r, ",");
	reply_raw(r, text, len);
	reply_lit(r, "\r\n");
}

void geo_reply_point(struct reply *r, struct geo_point p)
{
	reply_array(r, 2);
	reply_degrees(r, p.lon);
	reply_degrees(r, p.lat);
}

bool geo_member(const struct value *z, const struct arg *member, struct geo_point *p)
{
	struct zset_hit hit;
	if (!zset_find(z, member->ptr, member->len, &hit))
		return false;
	*p = geo_decode_score(hit.score);
	return true;
}

/* ------------------------------------------------------------------ GEOADD */

static void run_geoadd(struct call *c)
{
	unsigned flags = 0, at = 2;
	for (; at < c->argc; at++) {
		if (arg_is(&c->argv[at], "NX"))
			flags |= ZADD_NX;
		else if (arg_is(&c->argv[at], "XX"))
			flags |= ZADD_XX;
		else if (arg_is(&c->argv[at], "CH"))
			flags |= ZADD_CH;
		else
			break;
	}
	size_t n = (c->argc - at) / 3;
	if (n == 0 || (c->argc - at) % 3 || (flags & ZADD_NX && flags & ZADD_XX)) {
		reply_syntax_error(c->reply);
		return;
	}
	struct zadd_pair few[16], *pairs = n <= 16 ? few : malloc(n * sizeof *pairs);
	if (!pairs) {
		reply_oom(c->reply);
		return;
	}
	bool ok = true;
	for (size_t i = 0; ok && i < n; i++) {
		unsigned arg = at + 3 * (unsigned)i;
		struct geo_point p;
		ok = geo_point_arg(c, arg, &p);
		if (ok)
			pairs[i] = (struct zadd_pair){ (double)geo_encode(p), &c->argv[arg + 2] };
	}
	if (ok)
		zadd_pairs(c, flags, pairs, n);
	if (pairs != few)
		free(pairs);
}

/* ------------------------------------------------------------------ questions */

static void run_geodist(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct value z;
	struct geo_point a, b;
	double unit = 1;
	bool wrong;
	if (c->argc > 5) {
		reply_syntax_error(c->reply);
		return;
	}
	if (c->argc == 5 && !geo_unit_arg(c, 4, &unit))
		return;
	bool there = zset_read(c, &key, &z, &wrong);
	if (wrong)
		return;
	if (there && geo_member(&z, &c->argv[2], &a) && geo_member(&z, &c->argv[3], &b))
		geo_reply_distance(c->reply, geo_distance(a, b) / unit);
	else
		reply_null(c->reply);
}

/* For each member its point, or (text) its geohash. */
static void members(struct call *c, bool text)
{
	struct store_key key = call_key(c, 1);
	struct value z;
	struct geo_point p;
	bool wrong, there = zset_read(c, &key, &z, &wrong);
	if (wrong)
		return;
	reply_array(c->reply, c->argc - 2);
	for (unsigned i = 2; i < c->argc; i++) {
		bool found = there && geo_member(&z, &c->argv[i], &p);
		if (found && text) {
			char hash[11];
			geo_text(p, hash);
			reply_bulk(c->reply, hash, sizeof hash);
		} else if (found) {
			geo_reply_point(c->reply, p);
		} else if (text) {
			reply_null(c->reply);
		} else {
			reply_null_array(c->reply);
		}
	}
}

static void run_geohash(struct call *c)
{
	members(c, true);
}

static void run_geopos(struct call *c)
{
	members(c, false);
}

/* ------------------------------------------------------------------ rows */

struct command geo_commands[] = {
	{
		.name = "geoadd", .run = run_geoadd, .class = EXEC_KEYED, .arity = -5,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_GEO,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "geo", .since = "3.2.0",
		.summary = "Adds places, as members of a sorted set, or moves them.",
		.complexity = "O(log N) for each place, in a set of N",
		.args = "key:key#0 [condition:<nx:NX|xx:XX>@6.2.0] [change:CH@6.2.0] "
		        "data:{longitude:double latitude:double member:string}...",
		.history = "6.2.0 Options `CH`, `NX` and `XX`.",
	},
	{
		.name = "geodist", .run = run_geodist, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_READONLY, .acl = ACL_GEO,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "geo", .since = "3.2.0",
		.summary = "Answers the distance of two places.",
		.complexity = "O(1)",
		.args = "key:key#0 member1:string member2:string [unit:<m:M|km:KM|ft:FT|mi:MI>]",
	},
	{
		.name = "geohash", .run = run_geohash, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_READONLY, .acl = ACL_GEO,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "geo", .since = "3.2.0",
		.summary = "Answers places as geohash strings.",
		.complexity = "O(1) for each member",
		.args = "key:key#0 [member:string...]",
	},
	{
		.name = "geopos", .run = run_geopos, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_READONLY, .acl = ACL_GEO,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "geo", .since = "3.2.0",
		.summary = "Answers the longitude and latitude of places.",
		.complexity = "O(1) for each member",
		.args = "key:key#0 [member:string...]",
	},
	{ .name = NULL },
};
