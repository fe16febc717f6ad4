/* Generated scripts: statements and expressions of every kind that a script may hold, with calls, conversions, errors in
 * every line, libraries, flags. What has no order of its own (members of sets, fields) is sorted by the script. */
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/diff/gen.h"

#define TEXT_MAX 16000
#define DEEP 3

/* A script in the making. */
struct text {
	struct gen *g;
	char s[TEXT_MAX];
	size_t n;
	unsigned locals;
};

static __attribute__((format(printf, 2, 3))) void add(struct text *t, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(t->s + t->n, TEXT_MAX - t->n, format, ap);
	va_end(ap);
	if (n > 0 && t->n + (size_t)n < TEXT_MAX)
		t->n += (size_t)n;
	t->s[t->n] = 0;
}

#define PICK(g, list) gen_pick(g, list)

static void expression(struct text *t, unsigned depth);

/* ------------------------------------------------------------------ small things */

static void number(struct text *t)
{
	static const char *const odd[] = {
		"0", "1", "-1", "1.5", "-1.5", "0.1", "3.99", "-3.99", "1e15", "1e16", "1e17", "1e18", "4e18", "1e19", "1e20",
		"1e100", "1e308", "1e-7", "1e-310", "2^31", "2^32", "2^53", "-2^53", "2^53+2", "2^62", "-2^62", "2^63", "-2^63", "2^64",
		"1/0", "-1/0", "0.30000000000000004", "123456789012345678", "100000000000000000000", "3.0", "0x10", "1e5",
		"12345.678901", "1/3", "-1e17", "99999999999999999", "5e-324", NULL,
	};
	if (gen_chance(t->g, 60))
		add(t, "%d", (int)gen_below(t->g, 30) - 8);
	else
		add(t, "%s", PICK(t->g, odd));
}

static void string(struct text *t)
{
	static const char *const words[] = {
		"''", "'a'", "'b'", "'abc'", "'hello world'", "'1'", "'-1'", "'10'", "'1.5'", "'0x10'", "'1e3'", "'\\0'", "'a\\0b'", "'a\\r\\nb'",
		"'\\255\\254'", "'ERR x'", "'-ERR x'", "'MY code here'", "'nan'", "'inf'", "'-'", "'*'", "' 1'", "'3 '", "'\\195\\164'",
		"[=[long]=]", "[==[a]]b]==]", "string.rep('x', 50)", "string.rep('ab', 5)", "'OK'", "'field'", "'a b'", "'{\"a\":1}'", "'[1,2]'",
		NULL,
	};
	add(t, "%s", PICK(t->g, words));
}

static void key(struct text *t, const char *literal)
{
	uint32_t r = gen_below(t->g, 20);
	if (r < 4)
		add(t, "KEYS[%u]", 1 + gen_below(t->g, 2));
	else if (r < 18)
		add(t, "'sc:%s'", literal);
	else if (r < 19)
		add(t, "'sc:%c'", "snlhzix"[gen_below(t->g, 7)]);
	else
		add(t, "'sc:none'");
}

static void local(struct text *t)
{
	if (t->locals)
		add(t, "v%u", gen_below(t->g, t->locals));
	else
		add(t, "ARGV[1]");
}

static void call(struct text *t);

/* Of a call; an integer's text is the same in 7.0 as long as it still is one as a double. */
static void result(struct text *t)
{
	add(t, "(function(x) return type(x) == 'number' and x >= 2^63 and tostring(x) or x end)(");
	call(t);
	add(t, ")");
}

/* Numbers whose text is the same since 7.0; the others have a row of their own. */
static void argument(struct text *t)
{
	static const char *const numbers[] = { "0", "1", "2", "-1", "1.5", "-0.5", "10", "2^31", "2^53", "1e15", "1e16", "1e20", "1e100", "1/0", "-1/0", "0/0", "0x10", NULL };
	switch (gen_below(t->g, 12)) {
	case 0: case 1: case 2: add(t, "%s", PICK(t->g, numbers)); break;
	case 3: case 4: case 5: case 6: string(t); break;
	case 7: case 8: add(t, "ARGV[%u]", 1 + gen_below(t->g, 3)); break;
	case 9:
		if (t->locals) {
			unsigned v = gen_below(t->g, t->locals);
			add(t, "(type(v%u) == 'number' and tostring(v%u) or v%u)", v, v, v);
			break;
		}
		/* fall through */
	case 10: add(t, "KEYS[1]"); break;
	default: gen_chance(t->g, 40) ? result(t) : string(t); break;
	}
}

/* ------------------------------------------------------------------ calls */

/* Keys by type: %s string, %n number, %l list, %h hash, %z sorted set, %i set of integers, %x stream; %k any. Arguments: %v
 * anything, %d a small integer. */
static const char *const commands[] = {
	"'set',%s,%v", "'set',%s,%v", "'get',%s", "'get',%s", "'GET',%n", "'getset',%s,%v", "'append',%s,%v", "'strlen',%s",
	"'setrange',%s,%d,%v", "'getrange',%s,%d,%d", "'incr',%n", "'incrby',%n,'9223372036854775807'", "'incrby',%n,'18446744073709551616'", "'incrby',%n,%d", "'incrby',%n,%v", "'incrbyfloat',%n,%v", "'decr',%n",
	"'decrby',%n,%d", "'set',%n,%d", "'set',%n,%d", "'set',%s,%v,'nx'", "'set',%s,%v,'get'", "'setnx',%s,%v", "'mset',%s,%v,%n,%d",
	"'mget',%s,%n,%l,'sc:never'", "'setbit',%s,%d,1", "'getbit',%s,%d", "'bitcount',%s", "'getdel',%s", "'lcs',%s,%s",
	"'lpush',%l,%v", "'rpush',%l,%v,%v", "'rpush',%l,%d", "'lpop',%l", "'rpop',%l,%d", "'lrange',%l,0,-1", "'lrange',%l,%d,%d", "'llen',%l",
	"'lindex',%l,%d", "'lset',%l,%d,%v", "'linsert',%l,'before',%v,%v", "'ltrim',%l,0,8", "'lrem',%l,%d,%v", "'lpos',%l,%v",
	"'rpoplpush',%l,%l", "'lmove',%l,'sc:l2','left','right'", "'lmpop',2,'sc:never',%l,'left'", 	"'hset',%h,%v,%v", "'hset',%h,'f',%v", "'hget',%h,'f'", "'hget',%h,%v", "'hmget',%h,'f','none'", "'hdel',%h,%v", "'hlen',%h",
	"'hincrby',%h,'n',%d", "'hincrbyfloat',%h,'n',%v", "'hexists',%h,'f'", "'hsetnx',%h,'f',%v", "'hstrlen',%h,'f'",
	"'hset','sc:h1','f',%v", "'hgetall','sc:h1'", "'hgetall','sc:never'", "'hkeys','sc:h1'", "'hvals','sc:h1'", "'hrandfield','sc:h1'",
	"'hrandfield','sc:h1',1,'withvalues'", "'hmset',%h,'a',%v,'b',%v", "'hscan','sc:h1',0",
	"'sadd',%i,%d", "'sadd',%i,%d,%d", "'srem',%i,%d", "'scard',%i", "'sismember',%i,%d", "'smismember',%i,%d,%v", "'smembers',%i",
	"'sinter',%i,'sc:never'", "'sdiffstore','sc:i2',%i,'sc:never'", "'sintercard',2,%i,%i", "'smembers','sc:never'",
	"'smove',%i,'sc:i2',%d", "'sscan','sc:never',0", "'spop','sc:never'", "'srandmember','sc:never',3",
	"'zadd',%z,%d,%v", "'zadd',%z,%v,'m'", "'zadd',%z,'incr',%d,'m'", "'zscore',%z,'m'", "'zscore',%z,%v", "'zmscore',%z,'m','none'",
	"'zrange',%z,0,-1", "'zrange',%z,0,-1,'withscores'", "'zrevrange',%z,0,%d,'withscores'", "'zrangebyscore',%z,'-inf','+inf'",
	"'zrangebyscore',%z,%v,%v", "'zcard',%z", "'zrank',%z,'m'", "'zincrby',%z,%v,'m'", "'zrem',%z,%v", "'zpopmin',%z", "'zpopmax',%z,1",
	"'zcount',%z,'-inf','(5'", "'zmpop',1,%z,'min'", "'zrandmember','sc:never'", "'zinter',2,%z,%z,'withscores'", "'zunion',1,%z",
	"'zdiff',2,%z,'sc:never','withscores'", "'zlexcount',%z,'-','+'", "'zscan','sc:never',0", "'geoadd','sc:g',%d,%d,'p'", "'xadd',%x,'*','maxlen'", "'xadd','sc:x1','1-*','f',%v", "'xlen',%x", "'xrange',%x,'-','+','count',1",
	"'xadd','sc:x1',%d,'f',%v", "'xrange','sc:x1','-','+','count',2", "'xread','count',1,'streams','sc:x1',0",
	"'xdel','sc:x1','1-0'", "'xtrim','sc:x1','maxlen',4", "'xinfo','stream','sc:never'", "'xgroup','create','sc:x1','g','$'",
	"'pfadd','sc:p',%v", "'pfcount','sc:p'", "'del',%k", "'del',%k", "'unlink',%k,%k", "'exists',%k,%k", "'type',%k", "'type','sc:never'",
	"'expire',%k,10000", "'persist',%k", "'ttl','sc:never'", "'pexpire',%k,-1", "'rename',%k,%k", "'renamenx',%k,'sc:s'", "'copy',%k,%k,'replace'",
	"'move',%k,1", "'object','encoding','sc:never'", "'object','nosuch',%k", "'object'", "'touch',%k",
	"'sort',%l,'alpha'", "'sort_ro',%l,'alpha','desc'", "'sort',%l,'by','nosort'", "'sort',%l,'alpha','store','sc:l2'", "'select',%d", "'select',0", "'select',1",
	"'ping'", "'ping',%v", "'echo',%v", "'publish','ch',%v", "'spublish','ch',%v", "'dbsize'", "'randomkey','x'", "'scan','x'", "'lastsave','x'",
	"'acl','whoami'", "'command','count','x'", "'command','getkeys','get','a'", "'swapdb',0,0", "'flushdb'",
	"'pubsub','numpat'", "'bitop','not','sc:s2',%s", "'bitfield',%n,'get','u8',0", "'bitfield',%n,'incrby','u2',0,3,'overflow','fail','incrby','u2',0,3",
	"'time','x'", "'latency','reset','x'", "'config','get','nosuch'",
	/* refused */
	"'eval','return 1',0", "'evalsha','x',0", "'eval_ro','return 1',0", "'multi'", "'exec'", "'discard'", "'watch',%k", "'unwatch'", "'subscribe','c'",
	"'psubscribe','c'", "'unsubscribe'", "'ssubscribe','c'", "'monitor'", "'auth','x'", "'hello',3", "'reset'", "'quit'", "'shutdown','x','y','z'", "'script','load','return 1'",
	"'script','exists','x'", "'debug','sleep',0", "'save'", "'client','id'", "'client','getname'", "'client','reply','off'", "'client','no-evict','on'",
	"'keys','sc:never'", "'bgsave','x'", "'config','set','maxmemory','x'", "'config','resetstat'", "'acl','setuser','x'",
	"'slowlog','x'", "'latency','latest'",
	/* wrong */
	"'nosuch'", "'nosuch',%v", "''", "'get'", "'get',%s,%s", "'set',%s", "'hset',%h,'f'", "'zadd',%z,'x','m'", "'incr'", "'lpush',%l", "'mset',%s", "%v",
	"'get',{}", "'get',nil", "'get',true", "'set',%s,{1}", "'set',%s,nil", "'incrby',%n,redis", "nil", "{}", "", "'config'", "'config','nosuch'",
	"'set',%s,%v,'xx','nx'", "'set',%s,%v,'ex',0", "'set',%s,%v,'ex',10000", "'expire',%k,'x'", "'getex',%s,'persist'", "'object','freq',%k", "1", "1,2", "'xadd',%x,'*','f'",
	NULL,
};

static void call(struct text *t)
{
	const char *p = PICK(t->g, commands);
	add(t, gen_chance(t->g, 55) ? "redis.call(" : "redis.pcall(");
	for (; *p; p++) {
		if (*p != '%') {
			add(t, "%c", *p);
			continue;
		}
		char kind[2] = { *++p, 0 };
		if (*kind == 'v')
			argument(t);
		else if (*kind == 'd')
			add(t, "%d", (int)gen_below(t->g, 12) - 2);
		else if (*kind == 'k')
			key(t, (char[2]){ "snlhzix"[gen_below(t->g, 7)], 0 });
		else
			key(t, kind);
	}
	add(t, ")");
}

/* ------------------------------------------------------------------ libraries */

static const char *const fragments[] = {
	/* conversions of the result */
	"{ok=%e}", "{err=%e}", "{ok='fine'}", "{err='MY error'}", "{err='-x y'}", "{err=''}", "{ok=''}", "{err='x', ok='y'}", "{double=3.5}","{double=1e100}", "{double=%s}", "{double={}}", "{map={a=%e}}",
	"{map={[%n]=%e}}", "{map={}}", "{map=%e}", "{set={}}", "{set={[%s]=true}}", "{set={a=%e}}", "{set=%e}", "{big_number='123'}", "{big_number=%s}", "{big_number=%e}",
	"{verbatim_string={format='txt',string=%s}}", "{verbatim_string={format='mkd',string=%e}}", "{verbatim_string={format='x',string='y'}}", "{verbatim_string={string='a'}}",
	"{verbatim_string={}}", "{verbatim_string='x'}", "{%e}", "{%e,%e}", "{%e,%e,%e}", "{1,nil,3}", "{nil}", "{false,true}", "{[1]=1,[2]=2,[4]=4}", "{a=1,[1]=%e}", "{{{{%e}}}}",
	"{{},{{}}}", "{ok=1}", "{err=1}", "{err={}}", "{err='a\\r\\nb'}", "{ok='a\\r\\nb'}", "{'a',{err='E in'},{ok='o'}}", "function() end", "{function() end,1}", "redis.call",
	"redis.error_reply(%s)", "redis.error_reply(%e)", "redis.status_reply(%s)", "redis.status_reply(%e)", "redis.error_reply()", "redis.status_reply('a','b')", "redis.error_reply('')",
	"redis.error_reply('MY')", "redis.error_reply('-MY')", "redis.error_reply('MY x')", "redis.error_reply('-MY x').err", "redis.sha1hex(%s)", "redis.sha1hex(%n)", "redis.sha1hex()",
	"redis.sha1hex(1.5)", "redis.sha1hex(nil)", "redis.acl_check_cmd('get','x')", "redis.acl_check_cmd('set',%e)", "redis.acl_check_cmd('nosuch')", "redis.acl_check_cmd()",
	"redis.acl_check_cmd({})", "redis.acl_check_cmd('config','get')", "redis.acl_check_cmd('config')", "redis.replicate_commands()", "redis.breakpoint()", "redis.LOG_WARNING", "redis.REPL_ALL+redis.REPL_AOF",
	"redis.REPL_SLAVE", "redis.nosuch", "redis.setresp(%n)", "redis.setresp()", "redis.setresp('3')", "redis.setresp(%e)", "redis.set_repl(redis.REPL_ALL)", "redis.set_repl(4)", "redis.set_repl(-1)", "redis.set_repl()",
	"redis.log(redis.LOG_DEBUG,'x')", "redis.log()", "redis.log('x','y')", "redis.log(7,'x')", "redis.log(-1,%e)", "redis.debug('x')", "redis.register_function('a',print)", "type(redis.REDIS_VERSION)",
	"type(redis.REDIS_VERSION_NUM)", "redis.setresp(3,1)",
	/* the language */
	"%e==%e", "%s..%s", "%s..%n", "%e..%e", "%n+%n", "%s+%n", "%e+%e", "%n<%n", "%e<%e", "not %e", "%e and %e", "%e or %e", "#%s", "#%e", "-%e", "%n%%%n", "%n^2", "(%e)[1]", "(%e).x", "(%e)()", "(%s):upper()",
	"tostring(%n)", "tostring(%s)", "tostring(true)", "tostring(nil)", "tostring()", "tonumber(%s)", "tonumber(%e)", "tonumber('ff',16)", "tonumber('zz',36)", "tonumber('1',1)", "type(%e)", "type()",
	"select('#',%e,%e)", "select(2,%e,%e)", "select(0)", "select(-1,%e)", "next({})", "next({%e})", "rawget({%e},1)", "rawequal(%e,%e)", "rawset({},1,%e)[1]", "unpack({%e,%e})", "unpack(%e)", "{unpack({1,2,3},2)}",
	"unpack({},1,1e8)", "assert(%e)", "assert(false)", "assert(nil,%e)", "assert(%e,'no')", "error(type(%e))", "error(true)", "error(%s)", "error(%s,0)", "error(%s,2)", "error({err=%s})", "error({err='A b',x=1})", "error()", "error({err=1})",
	"{pcall(error,%s)}", "{pcall(error,{err=%s})}", "{pcall(error,{err=1})}", "{pcall(error,{})}", "{pcall(redis.call,'get')}", "{pcall(redis.call,'lpush','sc:s',1)}", "{pcall(function() return %e end)}", "{xpcall(function() return %e end,function(e) return type(e) end)}",
	"pcall()", "pcall(1)", "{pcall(redis.pcall,'nosuch')}", "loadstring('return '..%s)", "loadstring('return 1')()", "(loadstring('x x'))", "{loadstring('x x')}", "loadstring('return ...')(%e)", "loadstring(%e)",
	"load(function() return nil end)", "nosuch", "nosuch.x", "nosuch()", "_G.nosuch", "_G.tostring(1)", "type(_G)", "_VERSION", "type(collectgarbage('step'))", "type(collectgarbage('count'))",
	"collectgarbage('x')", "type(gcinfo())", "setmetatable({},{__index=function(t,k) return k end}).abc", "getmetatable({})", "setmetatable(1,{})", "setmetatable({},1)", "setmetatable({},{__tostring=function() return 'me' end})",
	"tostring(setmetatable({},{__tostring=function() return 'me' end}))", "setmetatable({1},{__index=function() return 5 end})", "#setmetatable({},{__len=function() return 5 end})", "type(getmetatable(''))",
	"string.sub(%s,%n,%n)", "string.rep(%s,3)", "string.format('%%d',%n)", "string.format('%%s %%q',%s,%s)", "string.format('%%5.2f',%n)", "string.format('%%s',%e)", "string.format('%%y')", "string.format('%%x',255)", "string.format('%%c',65)", "string.byte(%s)",
	"string.char(65,66)", "string.char(300)", "string.find(%s,'a')", "{string.find('hello','l(l)')}", "string.match('k=v','(%%w+)=(%%w+)')", "string.match(%s,'[')", "string.gsub('hello','l','L')", "string.gsub('abc','%%w','%%0%%0')", "string.gsub('x',%s,%s)",
	"string.lower(%s)", "string.upper(%e)", "string.reverse(%s)", "string.len(%s)", "string.nosuch", "string.nosuch()", "table.concat({%s,%n,%s},',')", "table.concat({%e,%e})", "table.concat({1,2,3},'-',2)", "table.getn({1,2})", "table.maxn({1,[7]=1})", "table.remove({1,2})",
	"table.insert({},%e)", "table.insert(%e,1)", "table.insert({1},1,2,3)", "table.sort({3,1,2})", "table.sort({1,'a'})", "table.foreach({},1)", "table.foreachi({1},function(i,v) return i end)", "math.floor(%n)", "math.ceil(%e)", "math.abs(%n)", "math.max(%n,%n)", "math.min()", "math.huge", "math.pi", "math.fmod(7,3)", "math.modf(1.5)",
	"math.random()*0", "math.random(1)", "math.random(0)", "math.randomseed(7), math.random(1,1000)", "math.random(5,1)", "math.random(1,2,3)", "math.randomseed(%n)", "math.sqrt(16)", "math.nosuch", "io", "print", "require", "package", "debug", "dofile", "getfenv", "newproxy",
	"coroutine.wrap(function() return %e end)()", "coroutine.status(coroutine.create(function() end))", "{coroutine.resume(coroutine.create(function() return redis.call('ping') end))}", "coroutine.yield(1)", "{coroutine.resume(coroutine.create(function() error('in co') end))}",
	"rawset(_G,'x',1)", "setmetatable(_G,{})", "rawset(redis,'x',1)", "type(getmetatable(_G))", "type(getmetatable(redis))", "next(KEYS)", "#KEYS+#ARGV", "KEYS[%n]", "ARGV[%n]", "KEYS", "ARGV", "{KEYS,ARGV}",
	/* cjson */
	"cjson.encode(%q)", "cjson.encode(%n)", "cjson.encode(%s)", "cjson.encode({%q,%q})", "cjson.encode({a=%q})", "cjson.encode({})", "cjson.encode({[1]=1,[3]=3})", "cjson.encode({[1]=1,[100]=1})", "cjson.encode({[1.5]=1})", "cjson.encode(nil)", "cjson.encode(cjson.null)",
	"cjson.encode({cjson.null,true})", "cjson.encode(function() end)", "cjson.encode({[{}]=1})", "cjson.encode()", "cjson.decode('%j')", "cjson.decode('%j')", "cjson.decode('%j')", "cjson.encode(cjson.decode('%j'))", "cjson.encode(cjson.decode('%j'))", "cjson.decode(%e)", "cjson.decode()", "cjson.null", "cjson.decode('null')==cjson.null",
	"tostring(cjson.null)", "cjson.encode(cjson.decode('[]'))", "(function() cjson.encode_number_precision(3) local s = cjson.encode(1/3) cjson.encode_number_precision(14) return s end)()", "cjson.encode_number_precision(0)", "cjson.encode_number_precision('x')",
	"(function() cjson.encode_max_depth(2) local ok, e = pcall(cjson.encode, {{{1}}}) cjson.encode_max_depth(1000) return e end)()", "(function() cjson.decode_max_depth(2) local ok, e = pcall(cjson.decode, '[[[1]]]') cjson.decode_max_depth(1000) return e end)()",
	"{cjson.encode_sparse_array()}", "cjson.encode_invalid_numbers()", "cjson.decode_invalid_numbers()", "cjson.encode_keep_buffer()", "cjson.encode_max_depth(0)", "cjson.new", "cjson._NAME", "cjson._VERSION", "type(cjson.new)",
	/* cmsgpack */
	"cmsgpack.pack(%q)", "cmsgpack.pack(%n)", "cmsgpack.pack({%q,%q})", "cmsgpack.pack({a=%q})", "cmsgpack.pack(%q,%q)", "cmsgpack.pack({[1]=1,[3]=3})", "cmsgpack.pack({[%n]=%n})", "cmsgpack.pack()", "cmsgpack.pack(string.rep('x',%h))", "cmsgpack.pack(nil,true,false)", "cmsgpack.pack(function() end)", "cmsgpack.unpack(cmsgpack.pack(%q))",
	"{cmsgpack.unpack(cmsgpack.pack(%q,%q))}", "cmsgpack.unpack(%s)", "cmsgpack.unpack(%e)", "{cmsgpack.unpack('%b')}", "{cmsgpack.unpack('%b')}", "{cmsgpack.unpack_one(cmsgpack.pack(%s,%n))}", "{cmsgpack.unpack_one(cmsgpack.pack(%n,%s),%n)}", "{cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),%n)}", "{cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),%n,%n)}", "cmsgpack.unpack()", "cmsgpack.unpack_one()", "cmsgpack.unpack_limit('x')", "cmsgpack.unpack('')", "cmsgpack._NAME", "cmsgpack._VERSION", "cmsgpack.nosuch",
	/* struct */
	"struct.pack('%f',%n)", "struct.pack('%f',%n,%n)", "struct.pack('%f',%s)", "struct.pack('%f%f',%n,%n)", "struct.pack('%f',%e)", "{struct.unpack('%f',%s)}", "{struct.unpack('%f','\\1\\2\\3\\4\\5\\6\\7\\8\\9\\200\\0')}", "{struct.unpack('%f%f','\\1\\2\\3\\4\\5\\6\\7\\8\\9\\200\\0\\1\\2\\3\\4\\5\\6\\7\\8')}", "{struct.unpack('%f',string.rep('\\255',40),%n)}", "struct.size('%f')", "struct.size('%f%f')", "struct.size(%s)", "struct.pack()", "struct.unpack()", "struct.unpack('b')", "struct.nosuch",
	/* bit */
	"bit.band(%n,%n)", "bit.bor(%n,%n,%n)", "bit.bxor(%n,%e)", "bit.bnot(%n)", "bit.tobit(%n)", "bit.tohex(%n)", "bit.tohex(%n,%n)", "bit.lshift(%n,%n)", "bit.rshift(%n,%n)", "bit.arshift(%n,%n)", "bit.rol(%n,%n)", "bit.ror(%n,%n)", "bit.bswap(%n)", "bit.band()", "bit.band(%s)", "bit.tobit(%e)", "bit.nosuch(1)",
	NULL,
};

static const char *const json[] = {
	"1", "-1", "1.5", "1e3", "1E+2", "01", "-", "+1", ".5", "1.", "0x10", "nan", "inf", "-inf", "Infinity", "NaN", "true", "false", "null", "nul", "TRUE", "\"a\"", "\"\"", "\"\\\\u00e4\"", "\"\\\\ud83d\\\\ude00\"", "\"\\\\ud83d\"", "\"\\\\udc00\"", "\"\\\\n\\\\t\\\\/\"",
	"\"\\\\x\"", "\"abc", "\"\\1\"", "[]", "[1,2,3]", "[1,]", "[,1]", "[1 2]", "[", "]", "{}", "{\"a\":1}", "{\"a\":[1,{\"b\":null}]}", "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{1:2}", "{\"1\":2}", "{\"a\":1 \"b\":2}", "1 2", " 1 ", "", " ", "[ [ [ [1]]]]", "9007199254740993", "123456789012345678901234567890",
	"1e400", "-0", "0.1", "{\"a\":1,\"a\":2}", "[null]", "[null,1]", "/*x*/1", "\"a\\0b\"", "'a'", NULL,
};

static void json_text(struct text *t)
{
	/* Within a Lua string of single quotes. */
	for (const char *p = PICK(t->g, json); *p; p++)
		add(t, *p == '\'' ? "\\'" : "%c", *p);
}

static void bytes(struct text *t)
{
	static const uint8_t heads[] = { 0x00, 0x7f, 0x80, 0x81, 0x82, 0x90, 0x91, 0x93, 0xa0, 0xa1, 0xa5, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7,
		                         0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff };
	for (uint32_t n = 1 + gen_below(t->g, 12); n; n--) {
		unsigned b = gen_chance(t->g, 50) ? heads[gen_below(t->g, sizeof heads)] : gen_chance(t->g, 60) ? gen_below(t->g, 4) : gen_below(t->g, 256);
		add(t, "\\%03u", b);
	}
}

static void format(struct text *t)
{
	static const char *const formats[] = { "b", "B", "h", "H", "i", "I", "l", "L", "T", "f", "d", "s", "c1", "c3", "c0", "x", "<", ">", "=", "!", "!2", "!4", "!8", "!3", "!16", "!32",
		                               "i1", "i2", "i3", "i4", "i5", "i8", "I1", "I3", "I8", "i0", "i33", "i99999999999", " ", "z", "c", "bc0", "Bc0", "i16", "I9", ">i2", "<I4", ">d", "xx", ">!4bi", NULL };
	for (uint32_t n = 1 + gen_below(t->g, 3); n; n--)
		add(t, "%s", PICK(t->g, formats));
}

/* No table of several fields of the script's own: their order is another with another Lua. */
static void plain(struct text *t)
{
	switch (gen_below(t->g, 4)) {
	case 0: number(t); break;
	case 1: string(t); break;
	case 2: add(t, "ARGV[%u]", 1 + gen_below(t->g, 3)); break;
	default: call(t); break;
	}
}

static void fragment(struct text *t, unsigned depth)
{
	for (const char *p = PICK(t->g, fragments); *p; p++) {
		if (*p != '%') {
			add(t, "%c", *p);
			continue;
		}
		switch (*++p) {
		case 'e': expression(t, depth + 1); break;
		case 'q': plain(t); break;
		case 'n': number(t); break;
		case 's': string(t); break;
		case 'j': json_text(t); break;
		case 'b': bytes(t); break;
		case 'f': format(t); break;
		case 'h': add(t, "%u", (unsigned[]){ 0, 31, 32, 255, 256 }[gen_below(t->g, 5)]); break;
		default: add(t, "%%"); break;
		}
	}
}

static void expression(struct text *t, unsigned depth)
{
	uint32_t r = gen_below(t->g, depth >= DEEP ? 9 : 22);
	if (r < 2)
		number(t);
	else if (r < 4)
		string(t);
	else if (r < 5)
		add(t, "%s", (const char *const[]){ "nil", "true", "false" }[gen_below(t->g, 3)]);
	else if (r < 6)
		add(t, gen_chance(t->g, 50) ? "ARGV[%u]" : "KEYS[%u]", 1 + gen_below(t->g, 3));
	else if (r < 9)
		local(t);
	else if (r < 14)
		call(t);
	else
		fragment(t, depth);
}

/* ------------------------------------------------------------------ scripts */

/* What a value is, as Lua sees it: show() is defined in front of some scripts. */
static const char show[] =
	"local function show(v, d) if type(v) ~= 'table' then return type(v) .. ':' .. ((type(v) == 'function' or type(v) == 'userdata' or "
	"type(v) == 'thread') and '' or tostring(v)) end if (d or 0) > 6 then return '...' end local k = {} for a, b in pairs(v) do "
	"k[#k+1] = show(a, (d or 0) + 1) .. '=' .. show(b, (d or 0) + 1) end table.sort(k) return '{' .. table.concat(k, ',') .. '}' end\n";

static void statement(struct text *t, unsigned depth);

static void block(struct text *t, unsigned depth)
{
	unsigned locals = t->locals;
	for (uint32_t n = 1 + gen_below(t->g, 2); n; n--)
		statement(t, depth + 1);
	t->locals = locals;
}

static void statement(struct text *t, unsigned depth)
{
	static const char *const odd[] = {
		"x = 1", "KEYS = {}", "KEYS[3] = 'x'", "ARGV[1] = 5", "string.x = 1", "redis.x = 1", "local function f() error('in f') end f()", "local a a.b = 1", "goto x", "break", "return", "x x",
		"local t = {} t[nil] = 1", "local t = {} t[0/0] = 1", "cjson.x = 1", "_G.x = 1", "table.insert(KEYS, 1)", "redis.setresp(3)", "redis.setresp(3)", "redis.setresp(2)", "redis.setresp(3)", "redis.set_repl(redis.REPL_ALL)",
		"redis.replicate_commands()", "error('boo')", "error({err='CODE boo'})", "\n\n", "-- comment", "--[[ long\ncomment ]]", "tostring = nil", "function f() end", "local s = ''; s.x = 1", "(''):nosuch()", ";", NULL,
	};
	uint32_t r = gen_below(t->g, depth >= 2 ? 7 : 12);
	if (r < 3) {
		call(t);
	} else if (r < 6) {
		unsigned n = t->locals;
		add(t, "local v%u = ", n);
		expression(t, 1);
		t->locals = n + 1;
	} else if (r < 7) {
		add(t, "%s", PICK(t->g, odd));
	} else if (r < 8) {
		add(t, "if ");
		expression(t, 2);
		add(t, " then ");
		block(t, depth);
		if (gen_chance(t->g, 50)) {
			add(t, "else ");
			block(t, depth);
		}
		add(t, "end");
	} else if (r < 10) {
		add(t, "for i = 1, %u do ", 1 + gen_below(t->g, 4));
		block(t, depth);
		add(t, "end");
	} else if (r < 11) {
		add(t, "local ok, e = pcall(function() ");
		block(t, depth);
		add(t, "end) if not ok and type(e) == 'table' then redis.call('set', 'sc:s', tostring(e.err)) end");
	} else {
		call(t);
	}
	add(t, gen_chance(t->g, 60) ? "\n" : " ");
}

static void script(struct text *t, struct gen *g)
{
	static const char *const shebangs[] = {
		"#!lua\n", "#!lua flags=no-writes\n", "#!lua flags=allow-oom\n", "#!lua flags=no-writes,allow-stale\n", "#!lua flags=no-cluster\n", "#!lua flags=allow-cross-slot-keys\n", "#!lua flags=\n", "#!lua flags=x\n", "#!lua name=x\n",
		"#!lua flags=no-writes flags=allow-oom\n", "#!lua  flags=no-writes\n", "#!lua flags=no-writes,\n", "#!lua flags=no-writes,x", "#\n", "#!lua flags=NO-WRITES\n", NULL,
	};
	t->g = g;
	t->n = 0;
	t->locals = 0;
	t->s[0] = 0;
	if (gen_chance(g, 8))
		add(t, "%s", PICK(g, shebangs));
	bool shown = gen_chance(g, 35);
	if (shown)
		add(t, "%s", show);
	for (uint32_t n = gen_below(g, 5); n; n--)
		statement(t, 0);
	if (gen_chance(g, 5))
		return;
	if (gen_chance(g, 3)) { /* cut off somewhere */
		t->n = gen_below(g, (uint32_t)t->n + 1);
		t->s[t->n] = 0;
	}
	add(t, "return ");
	if (shown)
		add(t, "show(");
	expression(t, 0);
	if (shown)
		add(t, ")");
	else if (gen_chance(g, 15)) {
		add(t, ", ");
		expression(t, 1);
	}
}

static void keys_and_arguments(struct gen *g)
{
	static const char *const words[] = { "a", "m", "f", "", "1.5", "text with blanks", "\r\n", "\xff\xfe", "x", "-inf", "(1", "[a", NULL };
	static const char *const names[] = { "sc:s", "sc:n", "sc:l", "sc:h", "sc:z", "sc:i", "sc:x", "sc:k1", "", NULL };
	uint32_t n = gen_below(g, 3);
	gen_int(g, n);
	for (; n; n--)
		gen_text(g, gen_pick(g, names));
	for (n = gen_below(g, 4); n; n--)
		gen_chance(g, 50) ? gen_int(g, (int64_t)gen_below(g, 120) - 20) : gen_text(g, gen_pick(g, words));
}

/* SCRIPT LOAD or EVAL before, or neither. */
static void make_eval(struct gen *g, const struct gen_row *row)
{
	static struct text t;
	bool by_sha = strncmp(row->name, "evalsha", 7) == 0;
	script(&t, g);
	if (!by_sha) {
		gen_begin(g, row);
		gen_bytes(g, t.s, t.n);
		keys_and_arguments(g);
		gen_end(g, row);
		return;
	}
	if (gen_chance(g, 97)) {
		gen_begin_line(g, "SCRIPT LOAD", CMP_EXACT);
		gen_bytes(g, t.s, t.n);
		g->emit(g->ctx, &g->cmd);
	}
	unsigned char digest[20];
	char hex[41];
	EVP_Digest(t.s, t.n, digest, NULL, EVP_sha1(), NULL);
	for (int i = 0; i < 20; i++)
		snprintf(hex + 2 * i, 3, gen_chance(g, 50) ? "%02x" : "%02X", digest[i]);
	gen_begin(g, row);
	gen_text(g, hex);
	keys_and_arguments(g);
	gen_end(g, row);
}

static void make_in_transaction(struct gen *g, const struct gen_row *row)
{
	gen_line(g, "MULTI", row->compare, 1);
	for (uint32_t n = 1 + gen_below(g, 3); n; n--) {
		static struct text t;
		script(&t, g);
		gen_begin_line(g, gen_chance(g, 80) ? "EVAL" : "EVAL_RO", CMP_EXACT);
		gen_bytes(g, t.s, t.n);
		keys_and_arguments(g);
		g->emit(g->ctx, &g->cmd);
	}
	gen_line(g, "EXEC", row->compare, 1);
}

/* How numbers become arguments. */
static void make_number(struct gen *g, const struct gen_row *row)
{
	static struct text t;
	t.g = g;
	t.n = 0;
	add(&t, "redis.call('set', 'sc:number', ");
	gen_chance(g, 5) ? add(&t, "-0") : gen_chance(g, 5) ? add(&t, "0/0") : number(&t);
	add(&t, ") local v = redis.call('get', 'sc:number') redis.call('del', 'sc:number') return ");
	if (gen_chance(g, 50)) {
		add(&t, "v");
	} else {
		add(&t, "{double=");
		number(&t);
		add(&t, "}");
	}
	gen_begin(g, row);
	gen_bytes(g, t.s, t.n);
	gen_int(g, 0);
	gen_end(g, row);
}

/* Without scripts: what the next ones find. */
static void make_data(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"DEL sc:s", "DEL sc:n", "DEL sc:l", "DEL sc:h", "DEL sc:z", "DEL sc:i", "DEL sc:x", "DEL sc:h1 sc:x1", "SET sc:n 10", "SET sc:s text", "SET sc:s 1.25", "RPUSH sc:l 1 2 3",
		"HSET sc:h f 1 n 2", "ZADD sc:z 1 m 2.5 b 1e20 c", "SADD sc:i 1 2 3", "XADD sc:x 5-1 f v", "HSET sc:h1 f v", "SELECT 0", "SELECT 0", "GET sc:s", NULL,
	};
	gen_line(g, gen_pick(g, lines), row->compare, 1);
}

static void make_cache(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"SCRIPT EXISTS x", "SCRIPT EXISTS", "SCRIPT FLUSH ASYNC", "SCRIPT FLUSH SYNC x", "SCRIPT NOSUCH", "SCRIPT LOAD", "SCRIPT LOAD x y", "SCRIPT", "EVAL", "EVALSHA x", "EVALSHA x -1", "EVALSHA x 1",
		"EVALSHA x x", "EVALSHA  0", "SCRIPT KILL", "SCRIPT DEBUG", NULL,
	};
	gen_line(g, gen_pick(g, lines), row->compare, 1);
}

static const struct gen_row rows[] = {
	{ "eval", make_eval, 40, 0, CMP_EXACT },
	{ "eval_ro", make_eval, 6, 0, CMP_EXACT },
	{ "evalsha", make_eval, 6, 0, CMP_EXACT },
	{ "evalsha_ro", make_eval, 3, 0, CMP_EXACT },
	{ "eval", make_number, 1, GEN_FIXED, CMP_EXACT },
	{ "exec", make_in_transaction, 2, GEN_FIXED, CMP_EXACT },
	{ "del", make_data, 14, GEN_FIXED, CMP_EXACT },
	{ "script|exists", make_cache, 1, GEN_FIXED, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_script = { "script", rows };
