/*
 * msgpack: the library `cmsgpack` of scripts: MessagePack (msgpack.org, specification of 2013) from and to Lua values.
 *
 * Numbers that are whole are packed as integers, others as doubles; a table whose keys are 1..n is an array, any other a
 * map; nesting beyond DEPTH is packed as nil, as Redis's library does.
 */
#include <math.h>
#include <string.h>

#include "server/script/vm.h"

#define DEPTH 16

/* ------------------------------------------------------------------ packing */

static void put(luaL_Buffer *b, uint8_t tag, uint64_t v, unsigned bytes)
{
	luaL_addchar(b, (char)tag);
	while (bytes-- > 0)
		luaL_addchar(b, (char)(v >> 8 * bytes));
}

static void put_int(luaL_Buffer *b, int64_t v)
{
	if (v >= 0)
		v <= 127         ? put(b, (uint8_t)v, 0, 0)
		: v <= UINT8_MAX  ? put(b, 0xcc, (uint64_t)v, 1)
		: v <= UINT16_MAX ? put(b, 0xcd, (uint64_t)v, 2)
		: v <= UINT32_MAX ? put(b, 0xce, (uint64_t)v, 4)
		                  : put(b, 0xcf, (uint64_t)v, 8);
	else
		v >= -32         ? put(b, (uint8_t)v, 0, 0)
		: v >= INT8_MIN  ? put(b, 0xd0, (uint64_t)v, 1)
		: v >= INT16_MIN ? put(b, 0xd1, (uint64_t)v, 2)
		: v >= INT32_MIN ? put(b, 0xd2, (uint64_t)v, 4)
		                 : put(b, 0xd3, (uint64_t)v, 8);
}

static void put_double(luaL_Buffer *b, double v)
{
	float f = (float)v;
	uint64_t bits = 0;
	uint32_t short_bits;
	if ((double)f == v) {
		memcpy(&short_bits, &f, sizeof f);
		put(b, 0xca, short_bits, 4);
		return;
	}
	memcpy(&bits, &v, sizeof v);
	put(b, 0xcb, bits, 8);
}

static void put_head(luaL_Buffer *b, size_t n, uint8_t fix, unsigned fix_max, uint8_t tag16)
{
	if (n <= fix_max)
		put(b, (uint8_t)(fix | n), 0, 0);
	else if (n <= UINT16_MAX)
		put(b, tag16, n, 2);
	else
		put(b, (uint8_t)(tag16 + 1), n, 4);
}

static void put_string(luaL_Buffer *b, const char *s, size_t len)
{
	if (len > 31 && len <= UINT8_MAX)
		put(b, 0xd9, len, 1);
	else
		put_head(b, len, 0xa0, 31, 0xda);
	luaL_addlstring(b, s, len);
}

/* The keys are exactly 1..n: n; otherwise -1. The table is at index. */
static int64_t array_length(lua_State *L, int index)
{
	int64_t n = 0, max = 0;
	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_pop(L, 1);
		lua_Number k = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
		if (k < 1 || k > INT32_MAX || k != floor(k)) {
			lua_pop(L, 1);
			return -1;
		}
		n++;
		max = (int64_t)k > max ? (int64_t)k : max;
	}
	return max == n ? n : -1;
}

static void pack_value(lua_State *L, luaL_Buffer *b, int index, int depth);

/* Elements are on the stack above a buffer that may keep pieces there: so tables are packed into strings of their own. */
static void pack_table(lua_State *L, luaL_Buffer *out, int index, int depth)
{
	int64_t n = array_length(L, index);
	luaL_checkstack(L, 8, "in function table_to_msgpack");
	lua_newtable(L); /* the pieces */
	int pieces = lua_gettop(L), count = 0;
	size_t pairs = 0;
	luaL_Buffer b;
	if (n >= 0) {
		for (int i = 1; i <= n; i++) {
			lua_rawgeti(L, index, i);
			int at = lua_gettop(L);
			luaL_buffinit(L, &b);
			pack_value(L, &b, at, depth);
			luaL_pushresult(&b);
			lua_rawseti(L, pieces, ++count);
			lua_settop(L, pieces);
		}
	} else {
		lua_pushnil(L);
		while (lua_next(L, index)) {
			int key = lua_gettop(L) - 1;
			luaL_buffinit(L, &b);
			pack_value(L, &b, key, depth);
			luaL_pushresult(&b);
			lua_rawseti(L, pieces, ++count);
			luaL_buffinit(L, &b);
			pack_value(L, &b, key + 1, depth);
			luaL_pushresult(&b);
			lua_rawseti(L, pieces, ++count);
			lua_settop(L, key);
			pairs++;
		}
	}
	/* All in one string, which is then the only thing left on the stack. */
	luaL_buffinit(L, &b);
	if (n >= 0)
		put_head(&b, (size_t)n, 0x90, 15, 0xdc);
	else
		put_head(&b, pairs, 0x80, 15, 0xde);
	for (int i = 1; i <= count; i++) {
		lua_rawgeti(L, pieces, i);
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
	lua_replace(L, pieces);
	luaL_addvalue(out);
}

static void pack_value(lua_State *L, luaL_Buffer *b, int index, int depth)
{
	size_t len;
	const char *s;
	switch (lua_type(L, index)) {
	case LUA_TSTRING:
		s = lua_tolstring(L, index, &len);
		put_string(b, s, len);
		break;
	case LUA_TBOOLEAN:
		put(b, lua_toboolean(L, index) ? 0xc3 : 0xc2, 0, 0);
		break;
	case LUA_TNUMBER: {
		lua_Number v = lua_tonumber(L, index);
		if (v == floor(v) && v >= -9223372036854775808.0 && v < 9223372036854775808.0)
			put_int(b, (int64_t)v);
		else
			put_double(b, v);
		break;
	}
	case LUA_TTABLE:
		if (depth < DEPTH) {
			pack_table(L, b, index, depth + 1);
			break;
		}
		/* fall through */
	default:
		put(b, 0xc0, 0, 0);
	}
}

static int mp_pack(lua_State *L)
{
	int n = lua_gettop(L);
	luaL_Buffer b;
	if (n == 0)
		return luaL_argerror(L, 0, "MessagePack pack needs input.");
	luaL_checkstack(L, n + 8, "Too many arguments for MessagePack pack.");
	lua_newtable(L);
	for (int i = 1; i <= n; i++) {
		luaL_buffinit(L, &b);
		pack_value(L, &b, i, 0);
		luaL_pushresult(&b);
		lua_rawseti(L, n + 1, i);
	}
	luaL_buffinit(L, &b);
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, n + 1, i);
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
	return 1;
}

/* ------------------------------------------------------------------ unpacking */

struct input {
	const uint8_t *p;
	size_t left;
	const char *error;
};

static uint64_t take(struct input *in, unsigned bytes)
{
	uint64_t v = 0;
	if (in->error || in->left < bytes) {
		in->error = in->error ? in->error : "Missing bytes in input.";
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | *in->p++;
	in->left -= bytes;
	return v;
}

static void unpack_value(lua_State *L, struct input *in, int depth);

static void unpack_bytes(lua_State *L, struct input *in, uint64_t len)
{
	if (in->error || in->left < len) {
		in->error = in->error ? in->error : "Missing bytes in input.";
		lua_pushnil(L);
		return;
	}
	lua_pushlstring(L, (const char *)in->p, len);
	in->p += len;
	in->left -= len;
}

static void unpack_table(lua_State *L, struct input *in, uint64_t n, bool map, int depth)
{
	lua_newtable(L);
	for (uint64_t i = 1; i <= n && !in->error; i++) {
		if (map)
			unpack_value(L, in, depth);
		else
			lua_pushnumber(L, (lua_Number)i);
		unpack_value(L, in, depth);
		if (in->error)
			lua_pop(L, 2);
		else
			lua_settable(L, -3); /* which raises an error if the key is nil or NaN */
	}
}

static void unpack_number(lua_State *L, struct input *in, uint8_t tag)
{
	float f;
	double d;
	uint32_t bits32;
	uint64_t bits;
	switch (tag) {
	case 0xca:
		bits32 = (uint32_t)take(in, 4);
		memcpy(&f, &bits32, sizeof f);
		lua_pushnumber(L, (lua_Number)f);
		break;
	case 0xcb:
		bits = take(in, 8);
		memcpy(&d, &bits, sizeof d);
		lua_pushnumber(L, d);
		break;
	case 0xcc: case 0xcd: case 0xce:
		lua_pushnumber(L, (lua_Number)take(in, 1u << (tag - 0xcc)));
		break;
	case 0xd0:
		lua_pushnumber(L, (lua_Number)(int8_t)take(in, 1));
		break;
	case 0xd1:
		lua_pushnumber(L, (lua_Number)(int16_t)take(in, 2));
		break;
	case 0xd2:
		lua_pushnumber(L, (lua_Number)(int32_t)take(in, 4));
		break;
	default:
		lua_pushnumber(L, (lua_Number)(int64_t)take(in, 8));
	}
}

static void unpack_value(lua_State *L, struct input *in, int depth)
{
	luaL_checkstack(L, 6, "too many return values at once; use unpack_one or unpack_limit instead.");
	uint8_t tag = (uint8_t)take(in, 1);
	if (!in->error && depth > 200)
		in->error = "Bad data format in input.";
	if (in->error)
		lua_pushnil(L);
	else if (tag <= 0x7f || tag >= 0xe0)
		lua_pushnumber(L, (lua_Number)(int8_t)tag);
	else if (tag <= 0x8f)
		unpack_table(L, in, tag & 15, true, depth + 1);
	else if (tag <= 0x9f)
		unpack_table(L, in, tag & 15, false, depth + 1);
	else if (tag <= 0xbf)
		unpack_bytes(L, in, tag & 31);
	else if (tag == 0xc0)
		lua_pushnil(L);
	else if (tag == 0xc2 || tag == 0xc3)
		lua_pushboolean(L, tag & 1);
	else if (tag >= 0xca && tag <= 0xd3)
		unpack_number(L, in, tag);
	else if (tag >= 0xd9 && tag <= 0xdb)
		unpack_bytes(L, in, take(in, 1u << (tag - 0xd9)));
	else if (tag == 0xdc || tag == 0xdd)
		unpack_table(L, in, take(in, tag == 0xdc ? 2 : 4), false, depth + 1);
	else if (tag == 0xde || tag == 0xdf)
		unpack_table(L, in, take(in, tag == 0xde ? 2 : 4), true, depth + 1);
	else {
		in->error = "Bad data format in input.";
		lua_pushnil(L);
	}
}

/* At most limit values (0: all) from offset on; if one of them is given, with where to go on (-1: done) in front. */
static int unpack_some(lua_State *L, int64_t limit, int64_t offset)
{
	bool partial = limit || offset;
	size_t len;
	const char *s = luaL_checklstring(L, 1, &len);
	if (offset < 0 || limit < 0)
		return luaL_error(L, "Invalid request to unpack with offset of %d and limit of %d.", (int)offset, (int)len);
	if ((uint64_t)offset > len)
		return luaL_error(L, "Start offset %d greater than input length %d.", (int)offset, (int)len);
	struct input in = { (const uint8_t *)s + offset, len - (size_t)offset, NULL };
	int n = 0;
	if (partial)
		lua_pushnil(L); /* filled in below */
	int first = lua_gettop(L);
	while (in.left && (!partial || n < limit)) {
		unpack_value(L, &in, 0);
		if (in.error)
			return luaL_error(L, "%s", in.error);
		n++;
	}
	if (!partial)
		return n;
	lua_pushnumber(L, in.left ? (lua_Number)(len - in.left) : -1);
	lua_replace(L, first);
	return n + 1;
}

static int mp_unpack(lua_State *L)
{
	return unpack_some(L, 0, 0);
}

static int mp_unpack_one(lua_State *L)
{
	int64_t offset = luaL_optinteger(L, 2, 0);
	luaL_checkstring(L, 1);
	lua_settop(L, 1);
	return unpack_some(L, 1, offset);
}

static int mp_unpack_limit(lua_State *L)
{
	int64_t limit = luaL_checkinteger(L, 2), offset = luaL_optinteger(L, 3, 0);
	lua_settop(L, 1);
	return unpack_some(L, limit, offset);
}

int luaopen_cmsgpack(lua_State *L)
{
	static const luaL_Reg functions[] = { { "pack", mp_pack }, { "unpack", mp_unpack }, { "unpack_one", mp_unpack_one },
		                              { "unpack_limit", mp_unpack_limit }, { NULL, NULL } };
	lua_newtable(L);
	for (const luaL_Reg *f = functions; f->name; f++) {
		lua_pushcfunction(L, f->func);
		lua_setfield(L, -2, f->name);
	}
	lua_pushliteral(L, "cmsgpack");
	lua_setfield(L, -2, "_NAME");
	lua_pushliteral(L, "lua-cmsgpack 0.4.0"); /* the version whose behaviour this is */
	lua_setfield(L, -2, "_VERSION");
	return 1;
}
