/* aof_wal: see aof_wal.h. */
#include "server/journal/aof_wal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include "server/log.h"

#define HEAD_BYTES 4096
#define ALIGN 8
#define VERSION 1

static const char magic[8] = "SHOALWAL";

struct head {
	char magic[sizeof magic];
	uint64_t version;
	char boot[48]; /* ends with a zero; empty: the system does not tell */
};

struct entry {
	uint64_t lap, segment, offset, len, hash;
};

static void read_boot(char out[48])
{
	memset(out, 0, 48);
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t n = io_read_at(fd, "boot_id", out, 47, 0);
	out[n > 0 ? strcspn(out, "\n") : 0] = 0;
	close(fd);
}

static uint64_t hash_of(const struct entry *e, const void *bytes, uint64_t len)
{
	return XXH3_64bits_withSeed(bytes, len, XXH3_64bits(e, offsetof(struct entry, hash)));
}

static uint64_t aligned(uint64_t n)
{
	return (n + ALIGN - 1) / ALIGN * ALIGN;
}

bool aof_wal_path(const char *manifest, char *out, size_t size)
{
	static const char ending[] = ".manifest";
	size_t len = strlen(manifest), end = sizeof ending - 1;
	if (len <= end || strcmp(manifest + len - end, ending) != 0)
		return false;
	int n = snprintf(out, size, "%.*s.wal", (int)(len - end), manifest);
	return n > 0 && (size_t)n < size;
}

/* ------------------------------------------------------------------ writing */

static int fill(struct io_file *f)
{
	enum { PIECE = 1 << 20 };
	struct head h = { .version = htole64(VERSION) };
	char *p = calloc(1, PIECE);
	int err = p ? 0 : -ENOMEM;
	if (p) {
		memcpy(h.magic, magic, sizeof magic);
		read_boot(h.boot);
		memcpy(p, &h, sizeof h);
	}
	for (uint64_t done = 0; done < AOF_WAL_BYTES && !err; done += PIECE) {
		err = io_write(f, p, PIECE);
		memset(p, 0, sizeof h);
	}
	free(p);
	return err ? err : io_sync(f);
}

int aof_wal_create(struct aof_wal *w, const char *path)
{
	char temp[4096];
	struct io_file f;
	if (!io_temp_name(path, temp, sizeof temp))
		return -ENAMETOOLONG;
	int err = io_open(&f, temp, IO_NEW);
	if (err)
		return err;
	err = fill(&f);
	err = err ? err : io_rename(temp, path);
	err = err ? err : io_sync_dir(path);
	if (err) {
		io_close(&f);
		io_unlink(temp);
		return err;
	}
	snprintf(f.path, sizeof f.path, "%s", path);
	*w = (struct aof_wal){ .file = f };
	return 0;
}

void aof_wal_begin(struct aof_wal *w, uint64_t segment, uint64_t end)
{
	w->lap++;
	w->segment = segment;
	w->end = end;
	w->at = HEAD_BYTES;
}

void aof_wal_append(struct aof_wal *w, uint64_t segment, uint64_t offset, const void *bytes, size_t len)
{
	if (!w->at || !len)
		return;
	bool goes_on = segment == w->segment && offset == w->end;
	if (!goes_on || len > AOF_WAL_BYTES || w->at + sizeof(struct entry) + len > AOF_WAL_BYTES) {
		w->at = 0;
		return;
	}
	struct entry e = { .lap = htole64(w->lap), .segment = htole64(segment), .offset = htole64(offset), .len = htole64(len) };
	e.hash = htole64(hash_of(&e, bytes, len));
	struct iovec iov[2] = { { &e, sizeof e }, { (void *)(uintptr_t)bytes, len } };
	if (io_write_at(&w->file, iov, 2, w->at)) {
		w->at = 0;
		return;
	}
	w->at = aligned(w->at + sizeof e + len);
	w->end += len;
}

bool aof_wal_reaches(const struct aof_wal *w, uint64_t segment, uint64_t end)
{
	return w->at && w->segment == segment && w->end == end;
}

int aof_wal_sync(struct aof_wal *w)
{
	int err = io_sync(&w->file);
	if (err)
		w->at = 0;
	return err;
}

int aof_wal_clear(struct aof_wal *w)
{
	struct entry none = { 0 };
	struct iovec iov = { &none, sizeof none };
	w->at = 0;
	if (w->file.fd < 0 || (!io_write_at(&w->file, &iov, 1, HEAD_BYTES) && !io_sync(&w->file)))
		return 0;
	int err = io_unlink(w->file.path);
	err = err ? err : io_sync_dir(w->file.path);
	if (!err)
		aof_wal_close(w, false);
	return err;
}

void aof_wal_close(struct aof_wal *w, bool remove)
{
	if (w->file.fd >= 0 && remove)
		io_unlink(w->file.path);
	io_close(&w->file);
	w->at = 0;
}

/* ------------------------------------------------------------------ reading */

/* A lap: the bytes of the segment from..to. */
struct lap {
	char *bytes; /* the whole file; the lap's payloads are moved together at its beginning */
	struct head head;
	uint64_t segment, from, to;
};

static bool next_entry(const char *p, uint64_t left, struct entry *e)
{
	if (left < sizeof *e)
		return false;
	memcpy(e, p, sizeof *e);
	uint64_t len = le64toh(e->len);
	return len && len <= left - sizeof *e && le64toh(e->hash) == hash_of(e, p + sizeof *e, len);
}

/* The entries that belong together; false: there is none. */
static bool gather_lap(struct lap *l, uint64_t size)
{
	struct entry e, first;
	uint64_t at = HEAD_BYTES;
	if (!next_entry(l->bytes + at, size - at, &first))
		return false;
	l->segment = le64toh(first.segment);
	l->from = l->to = le64toh(first.offset);
	while (at < size && next_entry(l->bytes + at, size - at, &e)) {
		uint64_t len = le64toh(e.len);
		if (e.lap != first.lap || e.segment != first.segment || le64toh(e.offset) != l->to)
			break;
		memmove(l->bytes + (l->to - l->from), l->bytes + at + sizeof e, len);
		l->to += len;
		at = aligned(at + sizeof e + len);
	}
	return true;
}

/* 1: a lap, whose bytes the caller frees; 0: the file is there, without one; -ENOENT, -EINVAL: not such a file; -errno. */
static int read_lap(struct lap *l, const char *path)
{
	struct stat st;
	*l = (struct lap){ 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int err = fstat(fd, &st) ? -errno : st.st_size <= HEAD_BYTES || st.st_size > (off_t)AOF_WAL_BYTES ? -EINVAL : 0;
	uint64_t size = err ? 0 : (uint64_t)st.st_size;
	l->bytes = err ? NULL : malloc(size);
	if (!err && !l->bytes)
		err = -ENOMEM;
	ssize_t n = err ? err : io_read_at(fd, path, l->bytes, size, 0);
	close(fd);
	err = n < 0 ? (int)n : (uint64_t)n < size ? -EIO : 0;
	if (!err) {
		memcpy(&l->head, l->bytes, sizeof l->head);
		if (memcmp(l->head.magic, magic, sizeof magic) || le64toh(l->head.version) != VERSION ||
		    l->head.boot[sizeof l->head.boot - 1])
			err = -EINVAL;
	}
	if (!err && gather_lap(l, size))
		return 1;
	free(l->bytes);
	l->bytes = NULL;
	return err;
}

/* ------------------------------------------------------------------ putting back */

static bool path_of(const struct lap *l, const char *dir, const struct aof_manifest *m, char *out, size_t size)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->v[i].type == AOF_INCR && m->v[i].seq == l->segment) {
			int n = snprintf(out, size, "%s/%s", dir, m->v[i].name);
			return n > 0 && (size_t)n < size;
		}
	}
	return false;
}

/* What a crash leaves of a block that was being written is its old bytes, its new ones, or zeros; anything else is of
 * somebody else's hand. 1: continues the lap, or ends within it; 0: something else; -errno. */
static int agrees(const struct lap *l, int fd, const char *path, uint64_t size)
{
	if (size < l->from)
		return 0;
	uint64_t n = (size < l->to ? size : l->to) - l->from;
	char *there = malloc(n + 1);
	if (!there)
		return -ENOMEM;
	ssize_t got = io_read_at(fd, path, there, n, l->from);
	int r = got < 0 ? (int)got : (uint64_t)got == n;
	for (uint64_t i = 0; r == 1 && i < n; i++)
		r = there[i] == l->bytes[i] || !there[i];
	free(there);
	return r;
}

/* The segment's file is opened without O_APPEND, with which Linux would write at the end whatever the offset. */
static int write_back(const struct lap *l, const char *path)
{
	struct io_file f;
	struct iovec all = { l->bytes, l->to - l->from };
	int err = io_open(&f, path, 0);
	err = err ? err : io_write_at(&f, &all, 1, l->from);
	err = err ? err : io_sync(&f);
	io_close(&f);
	return err;
}

int aof_wal_restore(const char *path, const char *dir, const struct aof_manifest *m, uint64_t end)
{
	struct lap l;
	char segment[4096];
	int r = read_lap(&l, path);
	if (r <= 0)
		return r ? r : -EIO;
	l.to = l.to < end ? l.to : end;
	r = l.to < end ? -EIO : path_of(&l, dir, m, segment, sizeof segment) ? write_back(&l, segment) : -ENOENT;
	free(l.bytes);
	return r;
}

static bool up_since(const struct lap *l)
{
	char boot[48];
	read_boot(boot);
	return *boot && !strcmp(boot, l->head.boot);
}

/* 1: done; 0: the segment is not the lap's; -errno. */
static int complete(const struct lap *l, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = fstat(fd, &st) ? -errno : agrees(l, fd, path, (uint64_t)st.st_size);
	uint64_t missing = (uint64_t)st.st_size < l->to ? l->to - (uint64_t)st.st_size : 0;
	bool wanted = missing && up_since(l);
	if (r == 1 && wanted)
		r = fsync(fd) ? -errno : 1;
	close(fd);
	if (r < 1)
		return r;
	if (missing)
		log_notice("%s ends %llu bytes before what was acknowledged: %s", path, (unsigned long long)missing,
		           wanted ? "it was cut since, and is taken as it is" : "they are put back");
	r = wanted ? 0 : write_back(l, path);
	return r ? r : 1;
}

static int keep_unused(const char *path)
{
	char kept[4096];
	int n = snprintf(kept, sizeof kept, "%s.unused", path);
	log_warning("%s holds records of a log that was changed since by others: it is kept as %s", path, kept);
	return n > 0 && (size_t)n < sizeof kept ? io_rename(path, kept) : -ENAMETOOLONG;
}

int aof_wal_recover(const char *path, const char *dir, const struct aof_manifest *m)
{
	struct lap l;
	char segment[4096];
	int r = read_lap(&l, path);
	if (r == -ENOENT)
		return 0;
	if (r == 1)
		r = path_of(&l, dir, m, segment, sizeof segment) ? complete(&l, segment) : 1; /* rewritten since */
	else if (r == 0)
		r = 1; /* nothing was acknowledged */
	free(l.bytes);
	if (r == 0 || r == -EINVAL)
		r = keep_unused(path);
	else if (r == 1)
		r = io_unlink(path);
	r = r ? r : io_sync_dir(path);
	if (r)
		log_warning("Cannot bring the append-only log up to what %s holds: %s", path, strerror(-r));
	return r;
}
