/* Services around the data: waiting for keys, scripts, payloads, tracking, introspection. Fixed lines. */
#include "tests/diff/gen.h"

static const char *const lines_0[] = { "BLPOP sv:list 0.01", "BLPOP sv:none sv:list 0.01", "BLPOP sv:list -1", "BLPOP sv:list x", NULL };
static const char *const lines_1[] = { "BRPOP sv:list 0.01", "BRPOP sv:none 0.01", NULL };
static const char *const lines_2[] = { "BLMOVE sv:list sv:other LEFT RIGHT 0.01", "BLMOVE sv:list sv:other UP RIGHT 0.01", NULL };
static const char *const lines_3[] = { "BRPOPLPUSH sv:list sv:other 0.01", NULL };
static const char *const lines_4[] = { "BLMPOP 0.01 2 sv:none sv:list LEFT COUNT 2", "BLMPOP 0.01 0 sv:list LEFT", NULL };
static const char *const lines_5[] = { "BZPOPMIN sv:zset 0.01", NULL };
static const char *const lines_6[] = { "BZPOPMAX sv:none sv:zset 0.01", NULL };
static const char *const lines_7[] = { "BZMPOP 0.01 1 sv:zset MIN COUNT 2", NULL };
static const char *const lines_8[] = { "RPUSH sv:list a b c", "RPUSH sv:other x", NULL };
static const char *const lines_9[] = { "ZADD sv:zset 1 a 2 b 3 c", NULL };
static const char *const lines_10[] = { "WAIT 0 0", "WAIT 0 10", NULL };
static const char *const lines_11[] = { "CLIENT UNBLOCK 999999", "CLIENT UNBLOCK x", NULL };
static const char *const lines_12[] = { "CLIENT CACHING YES", "CLIENT CACHING MAYBE", NULL };
static const char *const lines_13[] = { "CLIENT GETREDIR", NULL };
static const char *const lines_14[] = { "CLIENT TRACKING OFF", "CLIENT TRACKING ON PREFIX a", "CLIENT TRACKING ON REDIRECT 999999", "CLIENT TRACKING MAYBE", NULL };
static const char *const lines_15[] = { "CLIENT TRACKINGINFO", NULL };
static const char *const lines_16[] = { "PFSELFTEST", NULL };
static const char *const lines_17[] = { "DUMP sv:none", "DUMP sv:other", NULL };
static const char *const lines_18[] = { "RESTORE sv:r 0 x", "RESTORE sv:r -1 x", "RESTORE sv:r 0 \"\\x00\\xc0\\x02\\n\\x00\\x8f\\xa2\\xb0\\xbc\\xf8\\xd4~\\xcb\" REPLACE", "RESTORE sv:r 0 x FREQ 256", NULL };
static const char *const lines_19[] = { "RESTORE-ASKING sv:r 0 x", NULL };
static const char *const lines_20[] = { "EVAL \"return redis.call('incr',KEYS[1])\" 1 sv:n", "EVAL \"return {1,'a',{2,false}}\" 0", "EVAL \"return redis.call('get',KEYS[1])\" 1 sv:n", "EVAL x", "EVAL \"return 1\" 2 a", NULL };
static const char *const lines_21[] = { "EVAL_RO \"return redis.call('get',KEYS[1])\" 1 sv:n", NULL };
static const char *const lines_22[] = { "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0", NULL };
static const char *const lines_23[] = { "EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0", NULL };
static const char *const lines_24[] = { "SCRIPT LOAD \"return 1\"", NULL };
static const char *const lines_25[] = { "SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db x", NULL };
static const char *const lines_26[] = { "SCRIPT FLUSH", "SCRIPT FLUSH NOW", NULL };
static const char *const lines_27[] = { "SCRIPT KILL", NULL };
static const char *const lines_28[] = { "SCRIPT DEBUG NO", NULL };
static const char *const lines_29[] = { "MEMORY doctor", NULL };
static const char *const lines_30[] = { "MEMORY malloc-stats", NULL };
static const char *const lines_31[] = { "MEMORY purge", NULL };
static const char *const lines_32[] = { "MEMORY stats", NULL };
static const char *const lines_33[] = { "LATENCY doctor", NULL };
static const char *const lines_34[] = { "LATENCY histogram", NULL };
static const char *const lines_35[] = { "LATENCY latest", NULL };
static const char *const lines_36[] = { "LATENCY reset", NULL };
static const char *const lines_37[] = { "LATENCY GRAPH none", NULL };
static const char *const lines_38[] = { "LATENCY HISTORY none", NULL };
static const char *const lines_39[] = { "SLOWLOG GET 0", "SLOWLOG GET -2", NULL };
static const char *const lines_40[] = { "SLOWLOG LEN", NULL };
static const char *const lines_41[] = { "SLOWLOG RESET", NULL };
static const char *const lines_42[] = { "CLIENT HELP", NULL };
static const char *const lines_43[] = { "MEMORY HELP", NULL };
static const char *const lines_44[] = { "LATENCY HELP", NULL };
static const char *const lines_45[] = { "SLOWLOG HELP", NULL };
static const char *const lines_46[] = { "SCRIPT HELP", NULL };
static const char *const lines_47[] = { "XINFO HELP", NULL };
static const char *const lines_48[] = { "XGROUP HELP", NULL };
static const char *const lines_49[] = { "ACL HELP", NULL };
static const char *const lines_50[] = { "OBJECT HELP", NULL };
static const char *const lines_51[] = { "PUBSUB HELP", NULL };
static const char *const lines_52[] = { "CONFIG HELP", NULL };
static const char *const lines_53[] = { "COMMAND HELP", NULL };
static const char *const lines_54[] = { "LASTSAVE", NULL };

static const char *const *const lines_of[] = {
	lines_0, lines_1, lines_2, lines_3, lines_4, lines_5, lines_6, lines_7, lines_8, lines_9, lines_10, lines_11,
	lines_12, lines_13, lines_14, lines_15, lines_16, lines_17, lines_18, lines_19, lines_20, lines_21, lines_22,
	lines_23, lines_24, lines_25, lines_26, lines_27, lines_28, lines_29, lines_30, lines_31, lines_32, lines_33,
	lines_34, lines_35, lines_36, lines_37, lines_38, lines_39, lines_40, lines_41, lines_42, lines_43, lines_44,
	lines_45, lines_46, lines_47, lines_48, lines_49, lines_50, lines_51, lines_52, lines_53, lines_54,
};

static const struct gen_row rows[];

static void make_line(struct gen *g, const struct gen_row *row)
{
	gen_line(g, gen_pick(g, lines_of[row - rows]), row->compare, 1);
}

static const struct gen_row rows[] = {
	{ "blpop", make_line, 3, 0, CMP_EXACT },
	{ "brpop", make_line, 2, 0, CMP_EXACT },
	{ "blmove", make_line, 2, 0, CMP_EXACT },
	{ "brpoplpush", make_line, 2, 0, CMP_EXACT },
	{ "blmpop", make_line, 2, 0, CMP_EXACT },
	{ "bzpopmin", make_line, 2, 0, CMP_EXACT },
	{ "bzpopmax", make_line, 2, 0, CMP_EXACT },
	{ "bzmpop", make_line, 2, 0, CMP_EXACT },
	{ "rpush", make_line, 4, 0, CMP_EXACT },
	{ "zadd", make_line, 3, 0, CMP_EXACT },
	{ "wait", make_line, 1, 0, CMP_EXACT },
	{ "client|unblock", make_line, 1, 0, CMP_EXACT },
	{ "client|caching", make_line, 1, 0, CMP_EXACT },
	{ "client|getredir", make_line, 1, 0, CMP_EXACT },
	{ "client|tracking", make_line, 1, 0, CMP_EXACT },
	{ "client|trackinginfo", make_line, 1, 0, CMP_EXACT },
	{ "pfselftest", make_line, 1, 0, CMP_EXACT },
	{ "dump", make_line, 1, 0, CMP_KIND },
	{ "restore", make_line, 2, 0, CMP_EXACT },
	{ "restore-asking", make_line, 1, 0, CMP_EXACT },
	{ "eval", make_line, 4, 0, CMP_EXACT },
	{ "eval_ro", make_line, 1, 0, CMP_EXACT },
	{ "evalsha", make_line, 1, 0, CMP_EXACT },
	{ "evalsha_ro", make_line, 1, 0, CMP_EXACT },
	{ "script|load", make_line, 1, 0, CMP_EXACT },
	{ "script|exists", make_line, 1, 0, CMP_EXACT },
	{ "script|flush", make_line, 1, 0, CMP_EXACT },
	{ "script|kill", make_line, 1, 0, CMP_EXACT },
	{ "script|debug", make_line, 1, 0, CMP_ANY },
	{ "memory|doctor", make_line, 1, 0, CMP_ANY },
	{ "memory|malloc-stats", make_line, 1, 0, CMP_ANY },
	{ "memory|purge", make_line, 1, 0, CMP_ANY },
	{ "memory|stats", make_line, 1, 0, CMP_ANY },
	{ "latency|doctor", make_line, 1, 0, CMP_ANY },
	{ "latency|histogram", make_line, 1, 0, CMP_ANY },
	{ "latency|latest", make_line, 1, 0, CMP_ANY },
	{ "latency|reset", make_line, 1, 0, CMP_ANY },
	{ "latency|graph", make_line, 1, 0, CMP_EXACT },
	{ "latency|history", make_line, 1, 0, CMP_EXACT },
	{ "slowlog|get", make_line, 1, 0, CMP_EXACT },
	{ "slowlog|len", make_line, 1, 0, CMP_ANY },
	{ "slowlog|reset", make_line, 1, 0, CMP_EXACT },
	{ "client|help", make_line, 1, 0, CMP_ANY },
	{ "memory|help", make_line, 1, 0, CMP_ANY },
	{ "latency|help", make_line, 1, 0, CMP_ANY },
	{ "slowlog|help", make_line, 1, 0, CMP_ANY },
	{ "script|help", make_line, 1, 0, CMP_ANY },
	{ "xinfo|help", make_line, 1, 0, CMP_ANY },
	{ "xgroup|help", make_line, 1, 0, CMP_ANY },
	{ "acl|help", make_line, 1, 0, CMP_ANY },
	{ "object|help", make_line, 1, 0, CMP_ANY },
	{ "pubsub|help", make_line, 1, 0, CMP_ANY },
	{ "config|help", make_line, 1, 0, CMP_ANY },
	{ "command|help", make_line, 1, 0, CMP_ANY },
	{ "lastsave", make_line, 1, 0, CMP_ANY },
	{ 0 },
};

const struct gen_group gen_group_service = { "service", rows };
