#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/config.h"
#include "server/config_rows.h"
#include "tests/lib/suite.h"

static void parse(const char *text)
{
	char *error;

	ck_assert_msg(config_parse_text(text, strlen(text), "test.conf", &error) == 0, "%s: %s", text, error);
}

/* The text is refused, and the error holds this. */
static void refused(const char *text, const char *part)
{
	char *error;

	ck_assert_msg(config_parse_text(text, strlen(text), "test.conf", &error) == -1, "accepted: %s", text);
	ck_assert_msg(error && strstr(error, part), "%s: got '%s', want '%s'", text, error, part);
	free(error);
}

static const char *value(const char *name)
{
	static char buf[4096];

	ck_assert_msg(config_get(name, buf, sizeof buf) >= 0, "%s", name);
	return buf;
}

static char *set_error;

static int set_pairs(char **error, bool local, const char *const *words, size_t n)
{
	struct arg args[8];

	for (size_t i = 0; i < n; i++)
		args[i] = (struct arg){ words[i], strlen(words[i]) };
	return config_set(args, n, local, error);
}
#define SET(...) set_pairs(&set_error, false, (const char *const[]){ __VA_ARGS__ }, \
	sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))
#define SET_OK(...) do { \
	int set_result = SET(__VA_ARGS__); \
	ck_assert_msg(!set_result, "%s", set_error); \
} while (0)
#define SET_FAILS(text, ...) do { \
	ck_assert_int_eq(SET(__VA_ARGS__), -1); \
	ck_assert_str_eq(set_error, text); \
	free(set_error); \
} while (0)

static void reset(void)
{
	config_reset();
}

START_TEST(defaults)
{
	ck_assert_int_eq(config()->port, 6379);
	ck_assert_int_ge(config()->loops, 1);
	ck_assert_int_eq(config()->shards, 1024);
	ck_assert_str_eq(value("save"), "3600 1 300 100 60 10000");
	ck_assert_str_eq(value("bind"), "* -::*");
	ck_assert_str_eq(value("latency-tracking-info-percentiles"), "50 99 99.9");
	ck_assert_str_eq(value("lua-time-limit"), "5000");
	ck_assert_uint_eq(config()->output_limit[OUTPUT_NORMAL].hard_bytes, 1u << 30);
	ck_assert_uint_eq(config()->output_limit[OUTPUT_REPLICA].soft_bytes, 64u << 20);
	ck_assert_int_eq(config_get("user", NULL, 0), -ENOENT);
	ck_assert_int_eq(config_get("nothing", NULL, 0), -ENOENT);
}
END_TEST

/* What a row prints it reads again; names are unique and lower case. */
START_TEST(rows_agree)
{
	for (const struct config_row *row = config_rows; row->name; row++) {
		struct config_text t = { 0 };
		ck_assert_ptr_eq(config_row_find(row->name, NULL), row);
		if (row->alias)
			ck_assert_ptr_eq(config_row_find(row->alias, NULL), row);
		if (row->flags & CONFIG_FILE_ONLY)
			continue;
		config_value_rewrite(config(), config_defaults(), row, &t);
		config_text_add(&t, "", 0);
		char *error = NULL;
		ck_assert_msg(!config_parse_text(t.ptr, t.len, row->name, &error), "%s: %s", t.ptr, error);
		ck_assert_msg(config_value_equal(config(), config_defaults(), row), "%s: %s", row->name, t.ptr);
		config_text_clear(&t);
		reset();
	}
}
END_TEST

START_TEST(lines_and_quotes)
{
	parse("# comment\r\n\n  port   1234\t\r\nREQUIREPASS \"a b\\\"\\x41\\n\"\nunixsocket '/tmp/it\\'s'\nlogfile \"\"\n"
	      "timeout 5\ntimeout 7");
	ck_assert_int_eq(config()->port, 1234);
	ck_assert_str_eq(config()->requirepass, "a b\"A\n");
	ck_assert_str_eq(config()->unixsocket, "/tmp/it's");
	ck_assert_int_eq(config()->timeout_s, 7);
	refused("port 1\nrequirepass \"abc\n", "at line 2 of test.conf\n>>> 'requirepass \"abc'\nUnbalanced quotes");
	refused("requirepass \"abc\"d", "Unbalanced quotes in configuration line");
	refused("timeout", "wrong number of arguments");
	refused("timeout 1 2", "wrong number of arguments");
	refused("sentinel monitor x", "sentinel directive while not in sentinel mode");
}
END_TEST

START_TEST(unknown_names)
{
	refused("port 1\n\nmaxmemry 1gb\n",
	        "Reading the configuration file, at line 3 of test.conf\n>>> 'maxmemry 1gb'\nBad directive or wrong number "
	        "of arguments\nDid you mean 'maxmemory'?");
	refused("slave-read-onli yes", "Did you mean 'slave-read-only'?");
	char *error;
	ck_assert_int_eq(config_parse_text("qqqqqqqqqqqq 1", 14, "x", &error), -1);
	ck_assert_ptr_null(strstr(error, "Did you mean"));
	free(error);
	/* A refused text changes nothing. */
	ck_assert_int_eq(config()->port, 6379);
}
END_TEST

START_TEST(numbers)
{
	parse("maxmemory 100mb\nmaxmemory-clients 5%\nunixsocketperm 770\nlist-max-listpack-size -5\nhz 1000\n"
	      "repl-backlog-size 1\ndatabases 1");
	ck_assert_uint_eq(config()->maxmemory, 100u << 20);
	ck_assert_int_eq(config()->maxmemory_clients, -5);
	ck_assert_str_eq(value("maxmemory-clients"), "5%");
	ck_assert_int_eq(config()->unixsocketperm, 0770);
	ck_assert_str_eq(value("unixsocketperm"), "770");
	ck_assert_int_eq(config()->list_max_listpack_size, -5);
	ck_assert_int_eq(config()->hz, 500);
	ck_assert_int_eq(config()->repl_backlog_size, 16384);
	refused("port 65536", "argument must be between 0 and 65535 inclusive");
	refused("port abc", "argument couldn't be parsed into an integer");
	refused("port 99999999999999999999", "argument couldn't be parsed into an integer");
	refused("maxmemory 1.5gb", "argument must be a memory value");
	refused("maxmemory 18446744073709551616", "argument must be a memory value");
	refused("maxmemory 18446744073709551615gb", "argument must be a memory value");
	refused("maxmemory -1", "argument must be a memory value");
	refused("maxmemory-clients 101%", "percentage argument must be less or equal to 100");
	refused("maxmemory-clients x", "argument must be a memory or percent value");
	refused("unixsocketperm 999", "argument couldn't be parsed as an octal number");
	refused("unixsocketperm 7777", "argument must be between 0 and 777 inclusive");
	refused("slowlog-log-slower-than -2", "argument must be between -1 and 9223372036854775807 inclusive");
	refused("client-query-buffer-limit 1", "argument must be between 1048576 and 9223372036854775807 inclusive");
	refused("shards 3", "power of two");
}
END_TEST

START_TEST(words)
{
	parse("loglevel VERBOSE\nappendonly YES\nmaxmemory-policy allkeys-lfu\nshutdown-on-sigint nosave now");
	ck_assert_int_eq(config()->maxmemory_policy, CONFIG_POLICY_ALLKEYS | CONFIG_POLICY_LFU);
	ck_assert(config()->appendonly);
	ck_assert_str_eq(value("loglevel"), "verbose");
	ck_assert_str_eq(value("shutdown-on-sigint"), "nosave now");
	refused("loglevel x", "argument(s) must be one of the following: debug, verbose, notice, warning, nothing");
	refused("appendonly 1", "argument must be 'yes' or 'no'");
	refused("shutdown-on-sigterm save nosave", "shutdown options SAVE and NOSAVE can't be used simultaneously");
	refused("proc-title-template {bad}", "template format is invalid or contains unknown variables");
	refused("appendfilename a/b", "appendfilename can't be a path, just a filename");
	refused("cluster-announce-hostname a_b", "Hostnames may only contain alphanumeric characters, hyphens or dots");
	refused("activedefrag yes", "Active defragmentation cannot be enabled");
}
END_TEST

START_TEST(lists)
{
	parse("save 60 1\nsave 5 2 6 3\nbind 127.0.0.1 -::1\nclient-output-buffer-limit replica 1mb 2 3 pubsub 0 0 0\n"
	      "rename-command FLUSHALL \"\"\nuser a on >x\nuser b off\nloadmodule /x y\nreplicaof h 5\nslaveof no one");
	ck_assert_str_eq(value("save"), "60 1 5 2 6 3");
	ck_assert_str_eq(value("bind"), "127.0.0.1 -::1");
	ck_assert_str_eq(value("client-output-buffer-limit"), "normal 1073741824 268435456 60 slave 1048576 2 3 pubsub 0 0 0");
	ck_assert_uint_eq(config()->rename_command.n, 2);
	ck_assert_str_eq(config()->rename_command.v[1], "");
	ck_assert_uint_eq(config()->user.n, 2);
	ck_assert_str_eq(config()->user.v[0], "\"a\" \"on\" \">x\"");
	ck_assert_str_eq(value("slaveof"), "");
	parse("save 60 1\nsave \"\"\nsave \"7 8\"");
	ck_assert_str_eq(value("save"), "7 8");
	parse("save \"\"\nbind \"\"");
	ck_assert_str_eq(value("save"), "");
	ck_assert_int_eq(config()->bind_count, 0);
	refused("save 60", "Invalid save parameters");
	refused("save 0 1", "Invalid save parameters");
	refused("bind a b c d e f g h i j k l m n o p q", "Too many bind addresses specified.");
	refused("client-output-buffer-limit normal 0 0", "Wrong number of arguments in buffer limit configuration.");
	refused("client-output-buffer-limit master 0 0 0", "Invalid client class specified in buffer limit configuration.");
	refused("client-output-buffer-limit normal 0 0 -1",
	        "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
	refused("oom-score-adj-values 1 2", "wrong number of arguments");
	refused("oom-score-adj-values 1 2 2001", "elements must be between -2000 and 2000.");
	refused("replicaof h 65536", "Invalid master port");
	refused("user a on\nuser a off", "Duplicate user found");
	refused("replicaof h 5\ncluster-enabled yes", "replicaof directive not allowed in cluster mode");
}
END_TEST

START_TEST(notify_letters)
{
	SET_OK("notify-keyspace-events", "lgE");
	ck_assert_str_eq(value("notify-keyspace-events"), "glE");
	SET_OK("notify-keyspace-events", "KEg$lshzxetdnm");
	ck_assert_str_eq(value("notify-keyspace-events"), "AKEm");
	SET_OK("notify-keyspace-events", "Kn");
	ck_assert_str_eq(value("notify-keyspace-events"), "nK");
	SET_FAILS("CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. "
	          "Use 'Ag$lshzxeKEtmdn'.", "notify-keyspace-events", "q");
}
END_TEST

START_TEST(set_all_or_none)
{
	SET_OK("timeout", "10", "maxmemory", "1kb");
	ck_assert_int_eq(config()->timeout_s, 10);
	SET_FAILS("CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value", "timeout",
	          "20", "maxmemory", "zz");
	ck_assert_int_eq(config()->timeout_s, 10);
	SET_FAILS("Unknown option or number of arguments for CONFIG SET - 'foo'", "timeout", "20", "foo", "1");
	SET_FAILS("Unknown option or number of arguments for CONFIG SET - 'user'", "user", "x");
	SET_FAILS("CONFIG SET failed (possibly related to argument 'TIMEOUT') - duplicate parameter", "timeout", "20",
	          "TIMEOUT", "30");
	SET_FAILS("CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config", "databases", "4");
	SET_FAILS("syntax error", "timeout", "20", "maxmemory");
	ck_assert_int_eq(config()->timeout_s, 10);
	/* A name and its alias are two names, as in Redis. */
	SET_OK("slave-priority", "5", "replica-priority", "6");
	ck_assert_int_eq(config()->replica_priority, 6);
	SET_FAILS("CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters", "save", "60  100");
}
END_TEST

START_TEST(set_protected)
{
	char *error, dir[] = "/tmp";

	SET_FAILS("CONFIG SET failed (possibly related to argument 'dir') - can't set protected config", "dir", dir);
	parse("enable-protected-configs local");
	SET_FAILS("CONFIG SET failed (possibly related to argument 'dir') - can't set protected config", "dir", dir);
	ck_assert_int_eq(set_pairs(&error, true, (const char *const[]){ "dir", dir }, 2), 0);
	ck_assert_str_eq(config()->dir, dir);
	parse("enable-protected-configs yes");
	SET_FAILS("CONFIG SET failed (possibly related to argument 'dir') - No such file or directory", "dir", "/no/where");
	SET_FAILS("CONFIG SET failed (possibly related to argument 'dir') - Not a directory", "dir", "/etc/passwd");
}
END_TEST

START_TEST(no_nul_in_values)
{
	struct arg args[] = { { "requirepass", 11 }, { "\0secret", 7 } };
	char *error;

	ck_assert_int_eq(config_set(args, 2, true, &error), -1);
	free(error);
	ck_assert_str_eq(config()->requirepass, "");
}
END_TEST

static int told, told_timeout;
static bool refuse_next;

static bool on_timeout(const struct config *now, char **error)
{
	told++;
	told_timeout = now->timeout_s;
	(void)error;
	return true;
}

static bool on_hz(const struct config *now, char **error)
{
	(void)now;
	if (refuse_next)
		*error = strdup("not today");
	return !refuse_next;
}

START_TEST(refusal_brings_all_back)
{
	config_on_change("timeout", on_timeout);
	config_on_change("hz", on_hz);
	told = 0;
	SET_OK("maxmemory", "1");
	ck_assert_int_eq(told, 0);
	SET_OK("timeout", "3");
	ck_assert_int_eq(told, 1);
	refuse_next = true;
	SET_FAILS("CONFIG SET failed (possibly related to argument 'hz') - not today", "timeout", "9", "hz", "20");
	refuse_next = false;
	ck_assert_int_eq(config()->timeout_s, 3);
	ck_assert_int_eq(told, 3); /* told of 9, and told to go back */
	ck_assert_int_eq(told_timeout, 3);
}
END_TEST

START_TEST(references_outlive_changes)
{
	const struct config *old = config_ref();

	SET_OK("requirepass", "new");
	ck_assert_str_eq(old->requirepass, "");
	ck_assert_str_eq(config()->requirepass, "new");
	config_unref(old);
}
END_TEST

static void gather(void *ctx, const char *name, size_t nlen, const char *v, size_t vlen)
{
	char *out = ctx;
	size_t used = strlen(out);

	snprintf(out + used, 4096 - used, "%.*s=%.*s;", (int)nlen, name, (int)vlen, v);
}

START_TEST(get_matches)
{
	char out[4096] = "";
	struct arg p[] = { { "TIMEOUT", 7 }, { "time*", 5 }, { "zset-max-*-value", 16 }, { "watchdog*", 9 },
		           { "watchdog-period", 15 }, { "user", 4 }, { "nothing", 7 } };

	config_match(p, sizeof p / sizeof *p, gather, out);
	ck_assert_str_eq(out, "TIMEOUT=0;zset-max-listpack-value=64;zset-max-ziplist-value=64;watchdog-period=0;");
}
END_TEST

/* conf/shoal.conf shows every directive with its default, and loads. */
START_TEST(sample_is_complete)
{
	static char text[1 << 16], line[1024];
	unsigned char shown[512] = { 0 };
	char *error;
	FILE *f = fopen("conf/shoal.conf", "r");

	ck_assert_msg(f != NULL, "conf/shoal.conf: the tests run at the top of the tree");
	while (fgets(line, sizeof line, f)) {
		char name[64], *directive = line[0] == '#' ? line + 1 : line;
		if (sscanf(directive, "%63[a-z-] ", name) != 1 || !config_row_find(name, NULL))
			continue;
		const struct config_row *row = config_row_find(name, NULL);
		shown[row - config_rows] = 1;
		if (line[0] == '#' && strcmp(name, "replicaof") && !(row->flags & CONFIG_FILE_ONLY))
			strncat(text, directive, sizeof text - strlen(text) - 1);
	}
	fclose(f);
	parse(text);
	for (const struct config_row *row = config_rows; row->name; row++) {
		if (row->flags & CONFIG_HIDDEN || (row->waits && strstr(row->waits, "either")))
			continue;
		ck_assert_msg(shown[row - config_rows], "conf/shoal.conf does not show %s", row->name);
		if (!(row->flags & CONFIG_FILE_ONLY))
			ck_assert_msg(config_value_equal(config(), config_defaults(), row), "conf/shoal.conf: default of %s", row->name);
	}
	ck_assert_int_eq(config_load("conf/shoal.conf", 0, NULL, &error), 0);
	ck_assert_str_eq(value("bind"), "127.0.0.1 -::1");
}
END_TEST

/* ------------------------------------------------------------------ files */

static char dir[64];

static void write_file(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static const char *read_file(const char *name)
{
	static char text[8192];
	char path[128];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	return text;
}

static void make_dir(void)
{
	snprintf(dir, sizeof dir, "/tmp/test-config-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
}

static void remove_dir(void)
{
	char command[128];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
	config_reset();
}

static int load(char **error, const char *file, const char *const *argv, int argc)
{
	return config_load(file, argc, (char **)argv, error);
}
#define LOAD(file, ...) load(&error, file, (const char *const[]){ __VA_ARGS__ }, \
	(int)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)))

START_TEST(file_and_command_line)
{
	char *error;

	write_file("a.conf", "port 1\ntimeout 2\nsave 10 1\n");
	ck_assert_int_eq(LOAD("a.conf", "--port", "7", "--bind", "127.0.0.1", "::1", "--maxmemory 5mb", "--save", "--requirepass",
	                      "--x y"), 0);
	ck_assert_int_eq(config()->port, 7);
	ck_assert_int_eq(config()->timeout_s, 2);
	ck_assert_str_eq(value("bind"), "127.0.0.1 ::1");
	ck_assert_uint_eq(config()->maxmemory, 5u << 20);
	ck_assert_str_eq(value("save"), "");
	ck_assert_str_eq(config()->requirepass, "--x y");
	ck_assert_str_eq(strrchr(config_file(), '/'), "/a.conf");
	ck_assert_int_eq(LOAD("a.conf", "--save"), 0);
	ck_assert_str_eq(value("save"), "");
	ck_assert_int_eq(LOAD("a.conf", "--save", "3 4"), 0);
	ck_assert_str_eq(value("save"), "10 1 3 4");
	ck_assert_int_eq(LOAD(NULL, "--prot", "7"), -1);
	ck_assert_ptr_nonnull(strstr(error, "Reading the command line\n>>> 'prot \"7\"'"));
	ck_assert_ptr_nonnull(strstr(error, "Did you mean 'port'?"));
	free(error);
	ck_assert_int_eq(LOAD("missing.conf", "--port", "1"), -1);
	ck_assert_ptr_nonnull(strstr(error, "can't open config file"));
	ck_assert_ptr_nonnull(strstr(error, "missing.conf': No such file or directory"));
	free(error);
}
END_TEST

START_TEST(includes)
{
	char *error;

	ck_assert_int_eq(mkdir("d", 0700), 0);
	write_file("a.conf", "port 1\ninclude d/*.conf\ninclude none/*.conf\ndir d\ninclude z.inc\n");
	write_file("d/1.conf", "port 2\ntimeout 1\n");
	write_file("d/2.conf", "port 3\n");
	write_file("d/z.inc", "maxclients 77");
	ck_assert_msg(LOAD("a.conf", "--hz", "20") == 0, "%s", error);
	ck_assert_int_eq(config()->port, 3);
	ck_assert_int_eq(config()->timeout_s, 1);
	ck_assert_int_eq(config()->maxclients, 77);
	write_file("d/2.conf", "\nprot 3\n");
	ck_assert_int_eq(LOAD("a.conf", "--hz", "20"), -1);
	ck_assert_ptr_nonnull(strstr(error, "at line 2 of d/2.conf"));
	free(error);
	write_file("a.conf", "include missing.conf\n");
	ck_assert_int_eq(LOAD("a.conf", "--hz", "20"), -1);
	ck_assert_ptr_nonnull(strstr(error, "missing.conf"));
	free(error);
	write_file("a.conf", "include a.conf\n");
	ck_assert_int_eq(LOAD("a.conf", "--hz", "20"), -1);
	ck_assert_ptr_nonnull(strstr(error, "include each other"));
	free(error);
}
END_TEST

START_TEST(rewrite_keeps_the_file)
{
	char *error, want[1024];

	write_file("a.conf", "# mine\nport 1\n\nsave 1 1\nsave 2 2\n  # indented\nslave-priority 5\ntimeout 0\n"
	                     "rename-command GET FETCH\nuser bob on\ntimeout 3\nrequirepass old\ninclude b*.inc");
	ck_assert_int_eq(chmod("a.conf", 0640), 0);
	ck_assert_int_eq(LOAD("a.conf", "--hz", "20"), 0);
	SET_OK("save", "9 9", "maxmemory", "1048576", "replica-priority", "6", "requirepass", "a \"b\"");
	ck_assert_int_eq(config_rewrite(&error), 0);
	snprintf(want, sizeof want,
	         "# mine\nport 1\n\nsave 9 9\n  # indented\nreplica-priority 6\ntimeout 3\nrename-command GET FETCH\n"
	         "user bob on\nrequirepass \"a \\\"b\\\"\"\ninclude b*.inc\n\n# Generated by CONFIG REWRITE\ndir \"%s\"\nhz 20\n"
	         "maxmemory 1mb\n", dir);
	ck_assert_str_eq(read_file("a.conf"), want);
	struct stat st;
	ck_assert_int_eq(stat("a.conf", &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0640);
	/* Again, without a change, it is the same; and it loads. */
	ck_assert_int_eq(config_rewrite(&error), 0);
	ck_assert_str_eq(read_file("a.conf"), want);
	ck_assert_int_eq(config_load("a.conf", 0, NULL, &error), 0);
	ck_assert_str_eq(config()->requirepass, "a \"b\"");
	ck_assert_str_eq(value("save"), "9 9");
	ck_assert_int_eq(config()->hz, 20);
	/* More lines than there were. */
	SET_OK("save", "1 1 2 2 3 3");
	ck_assert_int_eq(config_rewrite(&error), 0);
	ck_assert_ptr_nonnull(strstr(read_file("a.conf"), "save 1 1\n  # indented"));
	ck_assert_ptr_nonnull(strstr(read_file("a.conf"), "\nsave 2 2\nsave 3 3\n"));
	ck_assert_ptr_null(strstr(strstr(read_file("a.conf"), "# Generated") + 5, "# Generated"));
}
END_TEST

START_TEST(rewrite_failures)
{
	char *error;

	ck_assert_int_eq(config_load(NULL, 0, NULL, &error), 0);
	ck_assert_int_eq(config_rewrite(&error), -1);
	ck_assert_str_eq(error, "The server is running without a config file");
	free(error);
	ck_assert_int_eq(mkdir("d", 0700), 0);
	write_file("d/a.conf", "port 1\n");
	ck_assert_int_eq(config_load("d/a.conf", 0, NULL, &error), 0);
	ck_assert_int_eq(rename("d", "e"), 0);
	ck_assert_int_eq(config_rewrite(&error), -1);
	ck_assert_str_eq(error, "Rewriting config file: No such file or directory");
	free(error);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tc = tcase_create("values"), *files = tcase_create("files");
	tcase_add_checked_fixture(tc, NULL, reset);
	const TTest *const tests[] = { defaults, rows_agree, lines_and_quotes, unknown_names, numbers, words, lists,
		notify_letters, set_all_or_none, set_protected, no_nul_in_values, refusal_brings_all_back,
		references_outlive_changes, get_matches, sample_is_complete };
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		tcase_add_test(tc, tests[i]);
	tcase_add_checked_fixture(files, make_dir, remove_dir);
	tcase_add_test(files, file_and_command_line);
	tcase_add_test(files, includes);
	tcase_add_test(files, rewrite_keeps_the_file);
	tcase_add_test(files, rewrite_failures);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, files);
	return suite_run(suite);
}
