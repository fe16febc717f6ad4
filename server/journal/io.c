/* io: see io.h. */
#include "server/journal/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ------------------------------------------------------------------ the seam */

static io_fault_fn *fault;
static void *fault_ctx;
static struct {
	atomic_uint skip, times;
	atomic_int err;
} planned[IO_CALLS];
static atomic_bool any_planned;

void io_set_fault(io_fault_fn *fn, void *ctx)
{
	fault_ctx = ctx;
	fault = fn;
}

void io_fail(enum io_call call, unsigned skip, unsigned times, int err)
{
	atomic_store(&planned[call].times, 0);
	atomic_store(&planned[call].skip, skip);
	atomic_store(&planned[call].err, err);
	atomic_store(&planned[call].times, times);
	atomic_store(&any_planned, true);
}

enum io_call io_call_named(const char *name, size_t len)
{
	static const char *const names[IO_CALLS] = { "open", "write", "sync", "rename", "sync-dir", "unlink", "truncate",
		                                     "read" };
	unsigned i = 0;
	while (i < IO_CALLS && (strlen(names[i]) != len || strncasecmp(names[i], name, len) != 0))
		i++;
	return (enum io_call)i;
}

/* Counts down to zero; true: it was not there yet. */
static bool count_down(atomic_uint *n)
{
	unsigned v = atomic_load(n);
	while (v && v != UINT_MAX)
		if (atomic_compare_exchange_weak(n, &v, v - 1))
			return true;
	return v != 0;
}

static int planned_fault(enum io_call call, size_t *len)
{
	if (!atomic_load(&planned[call].times) || count_down(&planned[call].skip) || !count_down(&planned[call].times))
		return 0;
	*len /= 2;
	return atomic_load(&planned[call].err);
}

static int ask(enum io_call call, const char *path, size_t *len)
{
	if (__builtin_expect(fault != NULL, 0))
		return fault(fault_ctx, call, path, len);
	if (__builtin_expect(atomic_load_explicit(&any_planned, memory_order_relaxed), 0))
		return planned_fault(call, len);
	return 0;
}

static int asked(enum io_call call, const char *path)
{
	size_t none = 0;
	return ask(call, path, &none);
}

/* ------------------------------------------------------------------ files */

int io_open(struct io_file *f, const char *path, unsigned flags)
{
	f->fd = -1;
	f->written = 0;
	size_t len = strlen(path);
	if (len >= sizeof f->path)
		return -ENAMETOOLONG;
	memcpy(f->path, path, len + 1);
	int err = asked(IO_OPEN, path);
	if (err)
		return err;
	int mode = O_WRONLY | O_CREAT | O_CLOEXEC | (flags & IO_NEW ? O_EXCL : 0) | (flags & IO_APPEND ? O_APPEND : 0) |
	           (flags & IO_TRUNC ? O_TRUNC : 0);
	f->fd = open(path, mode, flags & IO_PRIVATE ? 0600 : 0644);
	return f->fd < 0 ? -errno : 0;
}

static int write_all(struct io_file *f, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(f->fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		p += n;
		len -= (size_t)n;
		f->written += (uint64_t)n;
	}
	return 0;
}

int io_write(struct io_file *f, const void *bytes, size_t len)
{
	size_t allowed = len;
	int wanted = ask(IO_WRITE, f->path, &allowed);
	if (!wanted)
		return write_all(f, bytes, len);
	int err = write_all(f, bytes, allowed < len ? allowed : 0);
	return err ? err : wanted;
}

/* The first n bytes of it are written. */
static void use_up(struct iovec **iov, int *left, size_t n)
{
	while (*left && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		(*iov)++;
		(*left)--;
	}
	if (*left) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}

int io_write_at(struct io_file *f, struct iovec *iov, int n, uint64_t offset)
{
	size_t len = 0;
	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	int err = ask(IO_WRITE, f->path, &len);
	while (n && !err) {
		ssize_t w = pwritev(f->fd, iov, n, (off_t)offset);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? -errno : -ENOSPC;
		offset += (uint64_t)w;
		f->written += (uint64_t)w;
		use_up(&iov, &n, (size_t)w);
	}
	return err;
}

int io_sync(struct io_file *f)
{
	int err = asked(IO_SYNC, f->path);
	if (err)
		return err;
	return fdatasync(f->fd) < 0 ? -errno : 0;
}

void io_start_writeback(struct io_file *f, uint64_t from, uint64_t len)
{
#ifdef SYNC_FILE_RANGE_WRITE
	(void)sync_file_range(f->fd, (off_t)from, (off_t)len, SYNC_FILE_RANGE_WRITE);
#else
	(void)f, (void)from, (void)len;
#endif
}

int io_truncate(struct io_file *f, uint64_t len)
{
	int err = asked(IO_TRUNCATE, f->path);
	if (err)
		return err;
	return ftruncate(f->fd, (off_t)len) < 0 ? -errno : 0;
}

int io_take_after(struct io_file *f, const char *path, mode_t mode)
{
	struct stat st;
	if (stat(path, &st) == 0) {
		mode = st.st_mode & 07777;
		/* The group at least, where the owner may not be given; some file systems know neither. */
		if (fchown(f->fd, st.st_uid, st.st_gid) && fchown(f->fd, (uid_t)-1, st.st_gid))
			errno = 0;
	}
	return fchmod(f->fd, mode) < 0 ? -errno : 0;
}

void io_close(struct io_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

int io_rename(const char *from, const char *to)
{
	int err = asked(IO_RENAME, to);
	if (err)
		return err;
	return rename(from, to) < 0 ? -errno : 0;
}

int io_sync_dir(const char *path)
{
	char copy[PATH_MAX];
	int err = asked(IO_SYNC_DIR, path);
	if (err)
		return err;
	if (strlen(path) >= sizeof copy)
		return -ENAMETOOLONG;
	memcpy(copy, path, strlen(path) + 1);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	/* Some file systems know no such thing, and then need none. */
	return err == -EINVAL || err == -EROFS ? 0 : err;
}

int io_unlink(const char *path)
{
	int err = asked(IO_UNLINK, path);
	if (err)
		return err;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

ssize_t io_read_at(int fd, const char *path, void *buf, size_t len, uint64_t offset)
{
	int err = asked(IO_READ, path);
	if (err)
		return err;
	size_t got = 0;
	while (got < len) {
		ssize_t n = pread(fd, (char *)buf + got, len - got, (off_t)(offset + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* ------------------------------------------------------------------ temporary names */

static bool is_ending(const char *s)
{
	return *s == '.' && s[1] && !s[1 + strspn(s + 1, "abcdefghijklmnopqrstuvwxyz")];
}

bool io_temp_name(const char *path, char *out, size_t size)
{
	static atomic_uint counter;
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
	int n = snprintf(out, size, "%.*stemp-%d-%u%s", (int)(name - path), path, (int)getpid(),
	                 atomic_fetch_add(&counter, 1), dot && is_ending(dot) ? dot : ".tmp");
	return n > 0 && (size_t)n < size;
}

void io_remove_stale_temps(const char *dir, const char *ending)
{
	DIR *d = opendir(dir);
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		int pid = 0, end = 0;
		unsigned n;
		if (sscanf(e->d_name, "temp-%d-%u%n", &pid, &n, &end) != 2 || pid <= 0 || !end)
			continue;
		if (!is_ending(e->d_name + end) || (ending && strcmp(e->d_name + end, ending) != 0))
			continue;
		if (pid != (int)getpid() && (kill(pid, 0) == 0 || errno != ESRCH))
			continue;
		unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
}
