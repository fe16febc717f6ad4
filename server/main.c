/* main: the command line, then the server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/aof.h"
#include "server/command.h"
#include "server/acl.h"
#include "server/config.h"
#include "server/journal/rdb.h"
#include "server/process.h"
#include "server/server.h"

static int version(void)
{
#ifdef SHOAL_NO_JEMALLOC
	const char *allocator = "libc";
#else
	const char *allocator = "jemalloc";
#endif
	printf("Shoal server v=%s redis=%s malloc=%s bits=%d\n", SHOAL_VERSION, SERVER_REDIS_VERSION, allocator,
	       (int)sizeof(long) * 8);
	return 0;
}

static int usage(FILE *out, int status)
{
	fprintf(out,
		"Usage: shoal-server [/path/to/shoal.conf] [--directive value ...] [-]\n"
		"       shoal-server -               (read the configuration from standard input)\n"
		"       shoal-server -v or --version\n"
		"       shoal-server -h or --help\n"
		"       shoal-server --check-system  (look at the system's settings)\n"
		"       shoal-server --check-rdb FILE  (look through an RDB file: what is damaged, and where)\n"
		"       shoal-server --check-aof FILE|MANIFEST [--repair]  (look for damage in an append-only log)\n"
		"\n"
		"Every directive of the configuration file can be given on the command line; what comes last counts.\n"
		"\n"
		"Examples:\n"
		"       shoal-server\n"
		"       shoal-server --port 7777 --loops 2\n"
		"       echo 'maxclients 500' | shoal-server -\n"
		"       shoal-server /etc/shoal/shoal.conf --loglevel verbose\n");
	return status;
}

static bool is(const char *arg, const char *name)
{
	return !strcmp(arg, name);
}

/* Arguments that do not start a server; -1: there are none. */
static int without_server(int argc, char **argv)
{
	if (argc >= 2 && is(argv[1], "--test-memory")) {
		fprintf(stderr, "shoal-server does not test memory. Use memtester on a running system, or memtest86+ "
				"at boot.\n");
		return 1;
	}
	if (argc == 3 && is(argv[1], "--check-rdb"))
		return rdb_check_file(argv[2]);
	if (argc >= 3 && argc <= 4 && is(argv[1], "--check-aof")) {
		bool mend = argc == 4 && (is(argv[3], "--repair") || is(argv[2], "--repair"));
		if (argc == 4 && !mend)
			return usage(stderr, 1);
		return aof_check(argv[is(argv[2], "--repair") ? 3 : 2], mend);
	}
	if (argc != 2)
		return -1;
	if (is(argv[1], "-v") || is(argv[1], "--version"))
		return version();
	if (is(argv[1], "-h") || is(argv[1], "--help"))
		return usage(stdout, 0);
	if (is(argv[1], "--check-system"))
		return process_check_system();
	return -1;
}

int main(int argc, char **argv)
{
	char *error = NULL;

	int status = without_server(argc, argv);
	if (status >= 0)
		return status;
	bool file = argc > 1 && argv[1][0] != '-';
	int first = file ? 2 : 1;
	config_check_user = acl_check_line;
	config_rewrite_users = acl_rewrite;
	if (command_init() || config_load(file ? argv[1] : NULL, argc - first, argv + first, &error)) {
		fprintf(stderr, "%s\n", error ? error : "out of memory");
		free(error);
		return 1;
	}
	process_init(argc, argv); /* from here on argv belongs to the title */
	server_init();
	if (process_enter(config()))
		return 1;
	status = server_run();
	process_cleanup();
	return status;
}
