/* config_check: see config_check.h. */
#include "server/config_check.h"

#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "server/config_rows.h"
#include "server/server.h"

#define MIN_BACKLOG (16 * 1024)
#define MIN_HZ 1
#define MAX_HZ 500

/* The cores this process may use, which in a container are fewer than the machine has. */
static int cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1;
	int n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > CONFIG_MAX_LOOPS ? CONFIG_MAX_LOOPS : n;
}

bool config_check_loops(struct config *c, char **error)
{
	(void)error;
	if (c->loops == 0)
		c->loops = cores();
	return true;
}

bool config_check_shards(struct config *c, char **error)
{
	return (c->shards & (c->shards - 1)) == 0 || config_error(error, "argument must be a power of two");
}

bool config_check_hz(struct config *c, char **error)
{
	(void)error;
	c->hz = c->hz < MIN_HZ ? MIN_HZ : c->hz > MAX_HZ ? MAX_HZ : c->hz;
	return true;
}

bool config_check_backlog(struct config *c, char **error)
{
	(void)error;
	if (c->repl_backlog_size < MIN_BACKLOG)
		c->repl_backlog_size = MIN_BACKLOG;
	return true;
}

bool config_check_shutdown(struct config *c, char **error)
{
	const int both = SHUTDOWN_SAVE | SHUTDOWN_NOSAVE;

	if ((c->shutdown_on_sigint & both) == both || (c->shutdown_on_sigterm & both) == both)
		return config_error(error, "shutdown options SAVE and NOSAVE can't be used simultaneously");
	return true;
}

bool config_check_defrag(struct config *c, char **error)
{
	return !c->activedefrag || config_error(error, "Active defragmentation cannot be enabled: memory is not "
						       "defragmented while the server runs");
}

static bool plain_name(const char *name, const char *directive, const char *kind, char **error)
{
	if (strchr(name, '/'))
		return config_error(error, "%s can't be a path, just a %s", directive, kind);
	return *name || config_error(error, "%s can't be empty", directive);
}

bool config_check_dbfilename(struct config *c, char **error)
{
	return !strchr(c->dbfilename, '/') || config_error(error, "dbfilename can't be a path, just a filename");
}

bool config_check_appendfilename(struct config *c, char **error)
{
	return plain_name(c->appendfilename, "appendfilename", "filename", error);
}

bool config_check_appenddirname(struct config *c, char **error)
{
	return plain_name(c->appenddirname, "appenddirname", "dirname", error);
}

bool config_check_hostname(struct config *c, char **error)
{
	const char *name = c->cluster_announce_hostname;

	if (strlen(name) >= 256)
		return config_error(error, "Hostnames must be less than %d characters", 256);
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '-' && *name != '.')
			return config_error(error,
					    "Hostnames may only contain alphanumeric characters, hyphens or dots");
	return true;
}

/* ------------------------------------------------------------------ process title */

static bool title_value(const struct config *c, const char *program, const char *name, size_t len,
			struct config_text *out)
{
	static const char *const names[] = { "title",    "listen-addr", "server-mode", "port",
					     "tls-port", "unixsocket",  "config-file" };
	size_t i = 0, count = sizeof names / sizeof names[0];

	while (i < count && (strlen(names[i]) != len || memcmp(names[i], name, len)))
		i++;
	if (i == count)
		return false;
	if (i == 0)
		config_text_addf(out, "%s", program);
	else if (i == 1 && c->port)
		config_text_addf(out, "%s:%d", c->bind_count ? c->bind[0] : "*", c->port);
	else if (i == 1)
		config_text_addf(out, "unixsocket:%s", c->unixsocket);
	else if (i == 2 && c->cluster_enabled)
		config_text_addf(out, "[cluster]");
	else if (i == 3 || i == 4)
		config_text_addf(out, "%d", i == 3 ? c->port : c->tls_port);
	else if (i == 5)
		config_text_addf(out, "%s", c->unixsocket);
	else if (i == 6)
		config_text_addf(out, "%s", config_file());
	return true;
}

int config_title(const struct config *c, const char *program, char *out, size_t size)
{
	struct config_text t = { 0 };
	bool ok = true;

	config_text_add(&t, "", 0);
	for (const char *p = c->proc_title_template; *p && ok;) {
		const char *end = *p == '{' ? strchr(p, '}') : NULL;
		if (*p != '{') {
			config_text_add(&t, p++, 1);
		} else if (!end || !title_value(c, program, p + 1, (size_t)(end - p - 1), &t)) {
			ok = false;
		} else {
			p = end + 1;
		}
	}
	while (t.len && t.ptr[t.len - 1] == ' ')
		t.ptr[--t.len] = '\0';
	ok = ok && !t.failed;
	snprintf(out, size, "%s", ok ? t.ptr : "");
	config_text_clear(&t);
	return ok ? 0 : -1;
}

bool config_check_proc_title(struct config *c, char **error)
{
	char title[256];

	if (*c->proc_title_template && config_title(c, "", title, sizeof title) == 0)
		return true;
	return config_error(error, "template format is invalid or contains unknown variables");
}
