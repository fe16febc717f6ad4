/* aof_check: shoal-server --check-aof: what is damaged in a log, where, and what can be saved. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/aof.h"
#include "server/config.h"
#include "server/journal/aof_format.h"
#include "server/journal/aof_manifest.h"
#include "server/journal/aof_wal.h"
#include "server/journal/io.h"
#include "server/journal/rdb.h"

struct check {
	const char *path;
	int fd;
	uint64_t size, sound; /* bytes from the beginning that are sound */
	uint64_t records, checked, damaged;
	bool torn;
};

/* The RDB part at the beginning, if there is one. 0 or -EINVAL. */
static int check_preamble(struct check *k)
{
	char magic[5];
	if (io_read_at(k->fd, k->path, magic, sizeof magic, 0) < (ssize_t)sizeof magic || memcmp(magic, "REDIS", 5) != 0)
		return 0;
	struct rdb_load l;
	memset(&l, 0, sizeof l);
	l.checksum = true;
	int err = rdb_check_fd(&l, k->fd, k->path, 0);
	if (err) {
		printf("%s: RDB part: %s, at offset %llu\n", k->path, l.error, (unsigned long long)l.at);
		k->damaged++;
		return err;
	}
	printf("%s: RDB part is sound: %llu keys, %llu bytes\n", k->path, (unsigned long long)l.records,
	       (unsigned long long)l.bytes);
	k->sound = l.bytes;
	return 0;
}

/* Behind a damaged record whose length is known the others are looked at too: each is reported. */
static void scan_behind(struct check *k, uint64_t offset)
{
	struct aof_scan s;
	struct aof_unit u;
	while (offset && offset < k->size) {
		aof_scan_init(&s, k->fd, k->path, offset);
		s.chain_unknown = true;
		int r;
		uint64_t good = 0;
		while ((r = aof_scan_next(&s, &u)) == 1)
			good++;
		if (good)
			printf("%s: offset %llu: %llu more records with sound checksums follow\n", k->path,
			       (unsigned long long)offset, (unsigned long long)good);
		if (r < 0)
			printf("%s: offset %llu: %s\n", k->path, (unsigned long long)s.at, s.error);
		k->damaged += r == -EINVAL;
		offset = r == -EINVAL ? s.bad_end : 0;
		aof_scan_clear(&s);
	}
}

static void check_records(struct check *k)
{
	struct aof_scan s;
	struct aof_unit u;
	int r;
	aof_scan_init(&s, k->fd, k->path, k->sound);
	while ((r = aof_scan_next(&s, &u)) == 1) {
		k->records++;
		k->checked += u.checked;
		k->sound = u.end;
	}
	if (r == 0)
		k->sound = k->size; /* comments at the end */
	else
		printf("%s: offset %llu: %s\n", k->path, (unsigned long long)s.at, s.error);
	k->torn = r == -ENODATA;
	k->damaged += r < 0 && r != -ENODATA;
	scan_behind(k, r == -EINVAL ? s.bad_end : 0);
	aof_scan_clear(&s);
	printf("%s: %llu of %llu bytes are sound: %llu records, %llu of them with checksum\n", k->path,
	       (unsigned long long)k->sound, (unsigned long long)k->size, (unsigned long long)k->records,
	       (unsigned long long)k->checked);
}

static int copy_bytes(int fd, const char *from, struct io_file *to, uint64_t len)
{
	char buf[64 * 1024];
	for (uint64_t at = 0; at < len;) {
		ssize_t n = io_read_at(fd, from, buf, len - at < sizeof buf ? (size_t)(len - at) : sizeof buf, at);
		int err = n < 0 ? (int)n : n == 0 ? -EIO : io_write(to, buf, (size_t)n);
		if (err)
			return err;
		at += (uint64_t)n;
	}
	return 0;
}

/* The sound part becomes the file; the whole is kept beside it. */
static int repair(const struct check *k)
{
	char temp[4096], kept[4096];
	struct io_file f;
	int n = snprintf(kept, sizeof kept, "%s.damaged", k->path);
	for (int i = 1; n > 0 && (size_t)n < sizeof kept && access(kept, F_OK) == 0; i++)
		n = snprintf(kept, sizeof kept, "%s.damaged-%d", k->path, i);
	if (n < 0 || (size_t)n >= sizeof kept || !io_temp_name(k->path, temp, sizeof temp))
		return -ENAMETOOLONG;
	int err = io_open(&f, temp, IO_NEW | IO_PRIVATE);
	if (err)
		return err;
	err = io_take_after(&f, k->path, 0644); /* whoever repairs may be another than who runs the server */
	err = err ? err : copy_bytes(k->fd, k->path, &f, k->sound);
	err = err ? err : io_sync(&f);
	io_close(&f);
	/* The old one keeps a name at every moment. */
	if (!err && link(k->path, kept))
		err = -errno;
	err = err ? err : io_rename(temp, k->path);
	err = err ? err : io_sync_dir(k->path);
	if (err)
		io_unlink(temp);
	else
		printf("%s: repaired: %llu bytes dropped; the old file is kept as %s\n", k->path,
		       (unsigned long long)(k->size - k->sound), kept);
	return err;
}

/* One file. 0 sound or repaired, 1 not. */
static int check_file(const char *path, bool last, bool mend)
{
	struct stat st;
	struct check k = { .path = path, .fd = open(path, O_RDONLY | O_CLOEXEC) };
	if (k.fd < 0 || fstat(k.fd, &st)) {
		printf("%s: %s\n", path, strerror(errno));
		if (k.fd >= 0)
			close(k.fd);
		return 1;
	}
	k.size = (uint64_t)st.st_size;
	int err = check_preamble(&k), status;
	if (!err)
		check_records(&k);
	if (err) {
		printf("%s: the RDB part is all or nothing: it cannot be repaired\n", path);
		status = 1;
	} else if (k.sound == k.size) {
		status = 0;
	} else if (!mend) {
		printf("%s: %s\n", path, k.torn && last ? "a torn tail: the server drops it by itself" :
		       "damaged: --repair keeps what stands before the damage");
		status = 1;
	} else if (!last) {
		printf("%s: not the last file of the log: what follows it would be applied to the wrong data\n", path);
		status = 1;
	} else {
		err = repair(&k);
		if (err)
			printf("%s: cannot be repaired: %s\n", path, strerror(-err));
		status = err != 0;
	}
	close(k.fd);
	return status;
}

/* Left by a server that did not end: see aof_wal.h. */
static void mention_wal(const char *manifest)
{
	char path[4096];
	if (aof_wal_path(manifest, path, sizeof path) && access(path, F_OK) == 0)
		printf("%s: also holds what was acknowledged last; a start of the server puts back what the log lacks\n", path);
}

static int check_manifest(const char *path, const struct aof_manifest *m, bool mend)
{
	char copy[4096], file[8192];
	int status = 0;
	snprintf(copy, sizeof copy, "%s", path);
	const char *dir = dirname(copy);
	mention_wal(path);
	for (size_t i = 0; i < m->n && status == 0; i++) {
		if (m->v[i].type == AOF_HISTORY)
			continue;
		snprintf(file, sizeof file, "%s/%s", dir, m->v[i].name);
		status = check_file(file, i + 1 == m->n, mend);
	}
	printf(status ? "The log is damaged.\n" : "The log is sound: %zu files.\n", m->n);
	return status;
}

int aof_check(const char *path, bool mend)
{
	struct aof_manifest m = { 0 };
	char error[256], head[5] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		printf("%s: %s\n", path, strerror(errno));
		return 1;
	}
	ssize_t got = read(fd, head, sizeof head);
	close(fd);
	bool manifest = got == (ssize_t)sizeof head && memcmp(head, "file ", 5) == 0;
	size_t len = strlen(path);
	manifest = manifest || (len > 9 && !strcmp(path + len - 9, ".manifest"));
	if (!manifest)
		return check_file(path, true, mend);
	int err = aof_manifest_read(&m, path, error, sizeof error);
	if (err) {
		printf("%s: %s\n", path, error);
		return 1;
	}
	int status = check_manifest(path, &m, mend);
	aof_manifest_clear(&m);
	return status;
}
