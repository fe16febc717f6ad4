/* aof_load: see aof_load.h. */
#include "server/journal/aof_load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/call.h"
#include "server/client.h"
#include "server/config.h"
#include "server/exec.h"
#include "server/journal/aof_format.h"
#include "server/journal/io.h"
#include "server/journal/rdb.h"
#include "server/log.h"
#include "server/worker.h"

#define PROGRESS_UNITS 1024
#define LOGGED_ERRORS 10

struct file_load {
	struct aof_load *l;
	const char *name;
	char path[4096];
	int fd;
	uint64_t size;
	bool last;
	struct resp_args args;
};

static bool is_word(const struct arg *a, const char *word)
{
	return a->len == strlen(word) && strncasecmp(a->ptr, word, a->len) == 0;
}

/* One command. Errors that a command answers are counted: the server that wrote the log had the same answer, or runs an
 * older version; what is not a command at all ends the load. */
static int run_command(struct file_load *f, uint64_t offset)
{
	struct aof_load *l = f->l;
	char error[256];
	struct call *c = l->call;
	if (f->args.n == 1 && (is_word(&f->args.v[0], "MULTI") || is_word(&f->args.v[0], "EXEC")))
		return 0;
	c->argv = f->args.v;
	c->argc = (unsigned)f->args.n;
	l->commands++;
	int err = dispatch_replay_one(c, error, sizeof error);
	if (err == -EINVAL) {
		log_warning("%s, in the record at offset %llu of %s", error, (unsigned long long)offset, f->name);
		return err;
	}
	if (err && l->errors++ < LOGGED_ERRORS)
		log_warning("%s, in the record at offset %llu of %s", error, (unsigned long long)offset, f->name);
	return 0;
}

static int run_unit(struct file_load *f, const struct aof_unit *u)
{
	const char *p = u->bytes;
	size_t left = u->len;
	while (left) {
		ssize_t used = aof_unit_command(p, left, &f->args);
		if (used < 0) {
			log_warning("The record at offset %llu of %s holds what is no command", (unsigned long long)u->offset,
			            f->name);
			return -EINVAL;
		}
		int err = f->args.n ? run_command(f, u->offset) : 0;
		if (err)
			return err;
		p += used;
		left -= (size_t)used;
	}
	return 0;
}

/* The file ended within a unit. */
static int torn_tail(struct file_load *f, const struct aof_scan *s)
{
	if (!f->last) {
		log_warning("%s: %s, at offset %llu, and it is not the last file of the log. Look at it with --check-aof.",
		            f->name, s->error, (unsigned long long)s->at);
		return -EINVAL;
	}
	if (!f->l->cfg->aof_load_truncated) {
		log_warning("Unexpected end of file reading the append only file %s at offset %llu. You can: 1) Make a backup of "
		            "your AOF file, then use shoal-server --check-aof <manifest> --repair. 2) Alternatively you can set "
		            "the 'aof-load-truncated' configuration option to yes and restart the server.",
		            f->name, (unsigned long long)s->at);
		return -EINVAL;
	}
	log_warning("%s: %s. Dropping %llu bytes from offset %llu on.", f->name, s->error,
	            (unsigned long long)(f->size - s->at), (unsigned long long)s->at);
	struct io_file file;
	int err = io_open(&file, f->path, IO_APPEND);
	err = err ? err : io_truncate(&file, s->at);
	err = err ? err : io_sync(&file);
	io_close(&file);
	if (err)
		log_warning("Cannot cut %s: %s", f->name, strerror(-err));
	return err;
}

/* Tests look at a server that loads. */
static void delay(const struct aof_load *l)
{
	if (!l->call->alone)
		exec_out(worker_current->index);
	usleep((useconds_t)l->cfg->key_load_delay_us);
	if (!l->call->alone)
		exec_in(worker_current->index);
}

static int scan_file(struct file_load *f, struct aof_scan *s)
{
	struct aof_load *l = f->l;
	struct aof_unit u;
	int r;
	while ((r = aof_scan_next(s, &u)) == 1) {
		int err = run_unit(f, &u);
		if (err)
			return err;
		if (s->units % PROGRESS_UNITS == 0 || l->cfg->key_load_delay_us > 0) {
			worker_refresh_clock(worker_current);
			if (l->progress && !l->progress(l->bytes + u.end, l->total))
				return -ECANCELED;
		}
		if (!l->call->alone)
			exec_checkpoint(worker_current->index);
		if (__builtin_expect(l->cfg->key_load_delay_us > 0, 0))
			delay(l);
	}
	if (r == -ENODATA)
		r = torn_tail(f, s);
	else if (r < 0)
		log_warning("Bad file format reading the append only file %s: %s, at offset %llu. Make a backup of your AOF "
		            "file, then use shoal-server --check-aof <manifest> --repair.",
		            f->name, s->error, (unsigned long long)s->at);
	return r;
}

static bool preamble_progress(void *ctx, uint64_t bytes, uint64_t keys)
{
	struct aof_load *l = ctx;
	(void)keys;
	return l->progress(l->bytes + bytes, l->total);
}

/* A base may be an RDB file, alone or with commands behind it. Where the commands begin. */
static int load_preamble(struct file_load *f, uint64_t *offset)
{
	struct aof_load *l = f->l;
	char magic[5];
	*offset = 0;
	ssize_t got = io_read_at(f->fd, f->path, magic, sizeof magic, 0);
	if (got < 0)
		return (int)got;
	if (got < (ssize_t)sizeof magic || memcmp(magic, "REDIS", sizeof magic) != 0)
		return 0;
	struct rdb_load r;
	rdb_load_init(&r, l->cfg, l->call->op.store);
	r.keep_expired = true;
	r.progress = l->progress ? preamble_progress : NULL;
	r.ctx = l;
	if (!l->call->alone)
		exec_out(worker_current->index); /* its builders take locks of their own */
	int err = rdb_load_fd(&r, f->fd, f->path, 0);
	if (!l->call->alone)
		exec_in(worker_current->index);
	if (err && err != -ECANCELED)
		log_warning("Error reading the RDB preamble of %s: %s at offset %llu", f->name, r.error,
		            (unsigned long long)r.at);
	*offset = r.bytes;
	return err;
}

static int load_open_file(struct file_load *f, const struct aof_file *file)
{
	struct aof_load *l = f->l;
	struct aof_scan s;
	uint64_t offset;
	int err = load_preamble(f, &offset);
	if (err)
		return err;
	l->call->client->db = 0; /* a file begins in database 0 */
	aof_scan_init(&s, f->fd, f->path, offset);
	err = scan_file(f, &s);
	if (f->last) {
		l->append = file->type == AOF_INCR && !s.has_plain && offset == 0;
		l->chain = s.chain;
	}
	aof_scan_clear(&s);
	free(f->args.v);
	return err;
}

static int load_file(struct aof_load *l, const struct aof_file *file, bool last)
{
	struct stat st;
	struct file_load f = { .l = l, .name = file->name, .last = last };
	int n = snprintf(f.path, sizeof f.path, "%s/%s", l->dir, file->name);
	errno = ENAMETOOLONG;
	f.fd = n > 0 && (size_t)n < sizeof f.path ? open(f.path, O_RDONLY | O_CLOEXEC) : -1;
	if (f.fd < 0 || fstat(f.fd, &st)) {
		int err = -errno;
		log_warning("The manifest names %s, which cannot be opened: %s", file->name, strerror(-err));
		if (f.fd >= 0)
			close(f.fd);
		return err;
	}
	f.size = (uint64_t)st.st_size;
	int err = load_open_file(&f, file);
	close(f.fd);
	l->bytes += f.size;
	return err;
}

int aof_load_files(struct aof_load *l)
{
	const struct aof_manifest *m = l->manifest;
	char path[4096];
	struct stat st;
	size_t last = m->n;
	for (size_t i = 0; i < m->n; i++) {
		if (m->v[i].type == AOF_HISTORY)
			continue;
		last = i;
		int n = snprintf(path, sizeof path, "%s/%s", l->dir, m->v[i].name);
		l->total += n > 0 && (size_t)n < sizeof path && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
	}
	if (m->n)
		log_notice("Loading the append-only log: %zu files, %llu bytes", m->n, (unsigned long long)l->total);
	if (l->progress && !l->progress(0, l->total))
		return -ECANCELED;
	for (size_t i = 0; i < m->n; i++) {
		int err = m->v[i].type == AOF_HISTORY ? 0 : load_file(l, &m->v[i], i == last);
		if (err)
			return err;
	}
	return 0;
}
