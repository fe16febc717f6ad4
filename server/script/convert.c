/* convert: replies as Lua values, and Lua values as replies, as Redis converts them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/script/vm.h"
#include "store/number.h"

#define DEPTH_MAX 100 /* of tables in a script's result */

/* ------------------------------------------------------------------ replies to Lua */

/* The line at p without its CRLF; returns what is behind it. */
static const char *line(const char *p, const char *end, const char **text, size_t *len)
{
	const char *cr = memchr(p, '\r', (size_t)(end - p));
	*text = p;
	*len = (size_t)(cr - p);
	return cr + 2;
}

static void set_text(lua_State *L, const char *field, const char *text, size_t len)
{
	lua_createtable(L, 0, 1);
	lua_pushlstring(L, text, len);
	lua_setfield(L, -2, field);
}

static const char *array_to_lua(lua_State *L, const char *p, const char *end, int64_t n)
{
	lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
	for (int64_t i = 1; i <= n; i++) {
		p = convert_to_lua(L, p, end);
		lua_rawseti(L, -2, (int)i);
	}
	return p;
}

/* {map = {key = value}} and {set = {member = true}}. */
static const char *keyed_to_lua(lua_State *L, const char *p, const char *end, int64_t n, bool map)
{
	lua_createtable(L, 0, 1);
	lua_createtable(L, 0, n < INT32_MAX ? (int)n : 0);
	for (int64_t i = 0; i < n; i++) {
		p = convert_to_lua(L, p, end);
		if (map)
			p = convert_to_lua(L, p, end);
		else
			lua_pushboolean(L, 1);
		if (lua_isnil(L, -2))
			lua_pop(L, 2);
		else
			lua_rawset(L, -3);
	}
	lua_setfield(L, -2, map ? "map" : "set");
	return p;
}

static const char *verbatim_to_lua(lua_State *L, const char *p, int64_t len)
{
	lua_createtable(L, 0, 1);
	lua_createtable(L, 0, 2);
	lua_pushlstring(L, p, 3);
	lua_setfield(L, -2, "format");
	lua_pushlstring(L, p + 4, (size_t)len - 4);
	lua_setfield(L, -2, "string");
	lua_setfield(L, -2, "verbatim_string");
	return p + len + 2;
}

const char *convert_to_lua(lua_State *L, const char *p, const char *end)
{
	const char *text;
	size_t len;
	int64_t n = 0;
	char type = *p;
	if (type != ':') /* for one value there is room in what was asked for around it */
		luaL_checkstack(L, 6, "reached lua stack limit");
	p = line(p + 1, end, &text, &len);
	number_parse(text, len, &n);
	switch (type) {
	case ':':
		lua_pushnumber(L, (lua_Number)n);
		return p;
	case '+':
		set_text(L, "ok", text, len);
		return p;
	case '-':
		api_push_error(L, text, len);
		return p;
	case '$':
		if (n < 0) {
			lua_pushboolean(L, 0);
			return p;
		}
		lua_pushlstring(L, p, (size_t)n);
		return p + n + 2;
	case '*':
	case '>':
		if (n >= 0)
			return array_to_lua(L, p, end, n);
		lua_pushboolean(L, 0);
		return p;
	case '%':
		return keyed_to_lua(L, p, end, n, true);
	case '~':
		return keyed_to_lua(L, p, end, n, false);
	case '=':
		return verbatim_to_lua(L, p, n);
	case ',':
		lua_createtable(L, 0, 1);
		lua_pushnumber(L, strtod(text, NULL));
		lua_setfield(L, -2, "double");
		return p;
	case '#':
		lua_pushboolean(L, *text == 't');
		return p;
	case '(':
		set_text(L, "big_number", text, len);
		return p;
	default:
		lua_pushnil(L);
		return p;
	}
}

/* ------------------------------------------------------------------ Lua to replies */

/* Push the field, raw; false: it is nil, nothing is pushed. */
static bool field(lua_State *L, const char *name, int type)
{
	lua_pushstring(L, name);
	lua_rawget(L, -2);
	if (lua_type(L, -1) == type)
		return true;
	lua_pop(L, 1);
	return false;
}

static void value_to_reply(lua_State *L, struct reply *r, int resp, unsigned depth);

static void map_to_reply(lua_State *L, struct reply *r, int resp, bool map, unsigned depth)
{
	size_t mark = reply_defer(r), n = 0;
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		/* key and value; the key stays for lua_next() */
		lua_pushvalue(L, -2);
		value_to_reply(L, r, resp, depth);
		if (map)
			value_to_reply(L, r, resp, depth);
		else
			lua_pop(L, 1);
		n++;
	}
	lua_pop(L, 1);
	reply_defer_end(r, mark, map ? '%' : '~', n);
}

static void array_to_reply(lua_State *L, struct reply *r, int resp, unsigned depth)
{
	size_t mark = reply_defer(r), n = 0;
	for (;; n++) {
		lua_pushnumber(L, (lua_Number)(n + 1));
		lua_rawget(L, -2);
		if (lua_isnil(L, -1))
			break;
		value_to_reply(L, r, resp, depth);
	}
	lua_pop(L, 1);
	reply_defer_end(r, mark, '*', n);
}

/* It could be any text: it is made one line. */
static void big_number_to_reply(lua_State *L, struct reply *r)
{
	size_t len;
	const char *text = lua_tolstring(L, -1, &len);
	char *line = malloc(len + 3);
	if (!line) {
		reply_oom(r);
		return;
	}
	line[0] = '(';
	for (size_t i = 0; i < len; i++)
		line[i + 1] = text[i] == '\r' || text[i] == '\n' ? ' ' : text[i];
	memcpy(line + len + 1, "\r\n", 2);
	if (r->resp == 3)
		reply_raw(r, line, len + 3);
	else
		reply_bulk(r, line + 1, len);
	free(line);
}

/* The table {format, string} on the top of the stack; false: it is no such thing, nothing was replied. */
static bool verbatim_to_reply(lua_State *L, struct reply *r)
{
	size_t len;
	char format[4] = "   ";
	if (!field(L, "string", LUA_TSTRING))
		return false;
	const char *s = lua_tolstring(L, -1, &len);
	lua_pushliteral(L, "format");
	lua_rawget(L, -3);
	bool whole = lua_type(L, -1) == LUA_TSTRING;
	if (whole) {
		memcpy(format, lua_tostring(L, -1), lua_objlen(L, -1) < 3 ? lua_objlen(L, -1) : 3);
		reply_verbatim(r, format, s, len);
	}
	lua_pop(L, 2);
	return whole;
}

static void table_to_reply(lua_State *L, struct reply *r, int resp, unsigned depth)
{
	if (field(L, "err", LUA_TSTRING)) {
		reply_error(r, lua_tostring(L, -1));
	} else if (field(L, "ok", LUA_TSTRING)) {
		reply_status(r, lua_tostring(L, -1)); /* as far as a zero */
	} else if (field(L, "double", LUA_TNUMBER)) {
		reply_double(r, lua_tonumber(L, -1));
	} else if (field(L, "big_number", LUA_TSTRING)) {
		big_number_to_reply(L, r);
	} else {
		if (field(L, "verbatim_string", LUA_TTABLE)) {
			bool whole = verbatim_to_reply(L, r);
			lua_pop(L, 1);
			if (whole)
				return;
		}
		if (field(L, "map", LUA_TTABLE))
			map_to_reply(L, r, resp, true, depth);
		else if (field(L, "set", LUA_TTABLE))
			map_to_reply(L, r, resp, false, depth);
		else
			array_to_reply(L, r, resp, depth);
		return;
	}
	lua_pop(L, 1);
}

static void value_to_reply(lua_State *L, struct reply *r, int resp, unsigned depth)
{
	size_t len;
	const char *s;
	if (depth >= DEPTH_MAX || !lua_checkstack(L, 6)) {
		reply_error(r, "ERR reached lua stack limit");
		lua_pop(L, 1);
		return;
	}
	switch (lua_type(L, -1)) {
	case LUA_TSTRING:
		s = lua_tolstring(L, -1, &len);
		reply_bulk(r, s, len);
		break;
	case LUA_TNUMBER: {
		lua_Number v = lua_tonumber(L, -1);
		reply_int(r, v >= 9223372036854775808.0 || v < -9223372036854775808.0 || isnan(v) ? INT64_MIN : (int64_t)v);
		break;
	}
	case LUA_TBOOLEAN:
		if (resp == 3)
			reply_bool(r, lua_toboolean(L, -1));
		else if (lua_toboolean(L, -1))
			reply_int(r, 1);
		else
			reply_null(r);
		break;
	case LUA_TTABLE:
		table_to_reply(L, r, resp, depth + 1);
		break;
	default:
		reply_null(r);
	}
	lua_pop(L, 1);
}

void convert_to_reply(lua_State *L, struct reply *r, int resp)
{
	value_to_reply(L, r, resp, 0);
}
