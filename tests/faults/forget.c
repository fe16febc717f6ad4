/*
 * forget: a library to preload that remembers what a power cut would have left of one directory.
 *
 * FORGET_DIR names the directory that is watched, FORGET_SHADOW another one that gets what is durable: for each file its
 * content as of its last fsync ("file-<id>"), and the names as of the last fsync of the directory ("names": lines of id and
 * name). Whoever kills the process makes the directory anew from these: what was written, made, renamed or removed and not
 * synced never happened.
 *
 * With FORGET_HOLD each fdatasync takes as long as there is a file "hold" in FORGET_SHADOW: a slow disk.
 *
 * A file "late" there has the longest time in ms that a sync took, and the longest for which the machine let a thread that
 * sleeps for a moment wait: what was promised within a second can only be had so much later.
 *
 * A file keeps its id for life; inode numbers are used again, ids are not.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FILES 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char watched[PATH_MAX], shadow[PATH_MAX];
static struct known {
	ino_t ino;
	unsigned id;
	off_t durable; /* bytes in the shadow */
	off_t over_from, over_to; /* written over since */
	bool cut;      /* became shorter since */
} files[FILES];
static unsigned n_files, next_id;

static int (*real_open)(const char *, int, ...);
static int (*real_sync)(int);
static int (*real_datasync)(int);
static int (*real_truncate)(int, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);

static void *symbol(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);
	if (!p)
		abort();
	return p;
}

/* An inode's file; fresh: it was just made, whoever had the number before is gone. */
static struct known *known(ino_t ino, bool fresh)
{
	for (unsigned i = 0; i < n_files; i++) {
		if (files[i].ino != ino)
			continue;
		if (!fresh)
			return &files[i];
		files[i].ino = 0;
	}
	if (n_files == FILES)
		abort();
	files[n_files] = (struct known){ .ino = ino, .id = next_id++ };
	return &files[n_files++];
}

static void shadow_path(char *out, const char *what, unsigned id)
{
	snprintf(out, PATH_MAX, "%.3900s/%s%u", shadow, what, id);
}

/* Bytes at..until of the file go to the shadow; flags as of open(). */
static void copy_range(int fd, const struct known *k, off_t at, off_t until, int flags)
{
	char path[PATH_MAX], buf[65536];
	shadow_path(path, "file-", k->id);
	int to = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int from = real_open(path, O_RDONLY | O_CLOEXEC);
	while (to >= 0 && from >= 0 && at < until) {
		size_t want = (size_t)(until - at) < sizeof buf ? (size_t)(until - at) : sizeof buf;
		ssize_t n = pread(from, buf, want, at);
		if (n <= 0 || pwrite(to, buf, (size_t)n, at) != n)
			abort();
		at += n;
	}
	close(to);
	close(from);
}

/* What the file holds now is durable. */
static void keep_content(int fd, struct known *k, off_t size)
{
	off_t from = k->cut ? 0 : k->durable, over_to = k->over_to < from ? k->over_to : from;
	if (over_to > k->over_from)
		copy_range(fd, k, k->over_from, over_to, 0);
	copy_range(fd, k, from, size, from ? 0 : O_TRUNC);
	k->durable = size;
	k->cut = false;
	k->over_from = k->over_to = 0;
}

static void keep_names(void)
{
	char temp[PATH_MAX], path[PATH_MAX], file[PATH_MAX];
	struct stat st;
	snprintf(temp, sizeof temp, "%.3900s/names.new", shadow);
	snprintf(path, sizeof path, "%.3900s/names", shadow);
	FILE *f = fopen(temp, "w");
	DIR *d = opendir(watched);
	if (!f || !d)
		abort();
	for (struct dirent *e; (e = readdir(d));) {
		snprintf(file, sizeof file, "%.3800s/%.250s", watched, e->d_name);
		if (stat(file, &st) == 0 && S_ISREG(st.st_mode))
			fprintf(f, "%u %s\n", known(st.st_ino, false)->id, e->d_name);
	}
	closedir(d);
	fclose(f);
	if (rename(temp, path))
		abort();
}

/* What stands there when the process begins is durable. */
static void begin(void)
{
	real_open = (int (*)(const char *, int, ...))symbol("open");
	real_sync = (int (*)(int))symbol("fsync");
	real_datasync = (int (*)(int))symbol("fdatasync");
	real_truncate = (int (*)(int, off_t))symbol("ftruncate");
	real_pwritev = (ssize_t (*)(int, const struct iovec *, int, off_t))symbol("pwritev");
	snprintf(watched, sizeof watched, "%s", getenv("FORGET_DIR") ? getenv("FORGET_DIR") : "/nowhere");
	snprintf(shadow, sizeof shadow, "%s", getenv("FORGET_SHADOW") ? getenv("FORGET_SHADOW") : "/nowhere");
	DIR *d = opendir(watched);
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		char file[PATH_MAX];
		struct stat st;
		snprintf(file, sizeof file, "%.3800s/%.250s", watched, e->d_name);
		int fd = real_open(file, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			keep_content(fd, known(st.st_ino, false), st.st_size);
		if (fd >= 0)
			close(fd);
	}
	closedir(d);
	keep_names();
}

/* ------------------------------------------------------------------ lateness */

#define BEAT_MS 10

static pthread_once_t beating = PTHREAD_ONCE_INIT;
static _Atomic int64_t slowest_ms, running_from_ms;

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void note_sync(int64_t took_ms)
{
	int64_t most = atomic_load(&slowest_ms);
	while (took_ms > most && !atomic_compare_exchange_weak(&slowest_ms, &most, took_ms))
		;
}

static void *beat(void *arg)
{
	char path[PATH_MAX], text[64];
	int64_t last = now_ms(), gap = 0, told = -1;
	snprintf(path, sizeof path, "%.3900s/late", shadow);
	int fd = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	for (;;) {
		int64_t now = now_ms(), from = atomic_load(&running_from_ms);
		gap = now - last - BEAT_MS > gap ? now - last - BEAT_MS : gap;
		last = now;
		if (from)
			note_sync(now - from);
		if (gap + atomic_load(&slowest_ms) != told) {
			told = gap + atomic_load(&slowest_ms);
			int n = snprintf(text, sizeof text, "%20lld %20lld\n", (long long)(told - gap), (long long)gap);
			if (pwrite(fd, text, (size_t)n, 0) != n)
				abort();
		}
		usleep(BEAT_MS * 1000);
	}
	return arg;
}

static void begin_beating(void)
{
	pthread_t t;
	if (pthread_create(&t, NULL, beat, NULL))
		abort();
	pthread_detach(t);
}

/* ------------------------------------------------------------------ calls */

static bool in_watched(const char *path)
{
	size_t len = strlen(watched);
	return !strncmp(path, watched, len) && path[len] == '/';
}

/* A process that comes after a power cut comes after a boot. */
static int boot_id(void)
{
	char id[32];
	int fd = memfd_create("boot_id", MFD_CLOEXEC), n = snprintf(id, sizeof id, "boot-of-process-%d\n", (int)getpid());
	if (fd < 0 || pwrite(fd, id, (size_t)n, 0) != n)
		abort();
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	int mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	pthread_once(&once, begin);
	if (!strcmp(path, "/proc/sys/kernel/random/boot_id"))
		return boot_id();
	if (!(flags & O_CREAT) || !in_watched(path))
		return real_open(path, flags, mode);
	pthread_once(&beating, begin_beating);
	pthread_mutex_lock(&lock);
	struct stat st;
	bool fresh = stat(path, &st) != 0;
	int fd = real_open(path, flags, mode), err = errno;
	if (fd >= 0 && fstat(fd, &st) == 0) {
		struct known *k = known(st.st_ino, fresh);
		k->cut |= (flags & O_TRUNC) != 0;
	}
	pthread_mutex_unlock(&lock);
	errno = err;
	return fd;
}

/* false: it has no path. */
static bool path_of(int fd, char path[PATH_MAX], struct stat *st)
{
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, PATH_MAX - 1);
	if (n <= 0 || fstat(fd, st))
		return false;
	path[n] = 0;
	return true;
}

/* Of what is written at an offset the shadow must know that it was written over. */
ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	char path[PATH_MAX];
	struct stat st;
	pthread_once(&once, begin);
	ssize_t r = real_pwritev(fd, iov, n, at);
	int err = errno;
	if (r > 0 && path_of(fd, path, &st) && in_watched(path)) {
		pthread_mutex_lock(&lock);
		struct known *k = known(st.st_ino, false);
		bool none = k->over_to == k->over_from;
		k->over_from = none || at < k->over_from ? at : k->over_from;
		k->over_to = none || at + r > k->over_to ? at + r : k->over_to;
		pthread_mutex_unlock(&lock);
	}
	errno = err;
	return r;
}

static void synced(int fd)
{
	char path[PATH_MAX];
	struct stat st;
	if (!path_of(fd, path, &st))
		return;
	pthread_mutex_lock(&lock);
	if (S_ISDIR(st.st_mode) && !strcmp(path, watched))
		keep_names();
	else if (S_ISREG(st.st_mode) && in_watched(path))
		keep_content(fd, known(st.st_ino, false), st.st_size);
	pthread_mutex_unlock(&lock);
}

static int timed_sync(int fd, int (*sync)(int))
{
	int64_t from = now_ms(), none = 0;
	bool first = atomic_compare_exchange_strong(&running_from_ms, &none, from);
	synced(fd);
	int r = sync(fd), err = errno;
	note_sync(now_ms() - from);
	if (first)
		atomic_store(&running_from_ms, 0);
	errno = err;
	return r;
}

int fsync(int fd)
{
	pthread_once(&once, begin);
	return timed_sync(fd, real_sync);
}

int fdatasync(int fd)
{
	char hold[PATH_MAX];
	pthread_once(&once, begin);
	snprintf(hold, sizeof hold, "%.3900s/hold", shadow);
	while (getenv("FORGET_HOLD") && access(hold, F_OK) == 0)
		usleep(BEAT_MS * 1000);
	return timed_sync(fd, real_datasync);
}

int ftruncate(int fd, off_t len)
{
	struct stat st;
	pthread_once(&once, begin);
	pthread_mutex_lock(&lock);
	if (fstat(fd, &st) == 0) {
		struct known *k = known(st.st_ino, false);
		k->cut |= len < k->durable;
	}
	pthread_mutex_unlock(&lock);
	return real_truncate(fd, len);
}
