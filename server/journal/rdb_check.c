/* rdb_check: `shoal-server --check-rdb FILE`: the whole file is loaded into a store of its own, so that what passes here
 * loads there; and if it does not, the report says where the damage is and what stands before it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/config.h"
#include "server/journal/rdb.h"

#define DBS_MAX 65536

static void print_head(const struct rdb_load *l)
{
	if (l->info.version)
		printf("[info] format version %d", l->info.version);
	if (*l->info.redis_ver)
		printf(", written by %s", l->info.redis_ver);
	if (l->info.ctime)
		printf(", %lld seconds ago", (long long)(clock_wall_ms() / 1000 - l->info.ctime));
	if (l->info.version)
		printf("\n");
}

static int report(const struct rdb_load *l, int err, uint64_t size)
{
	print_head(l);
	printf("[info] %llu keys read, %llu of them expired\n", (unsigned long long)l->records,
	       (unsigned long long)l->expired);
	if (err) {
		printf("[offset %llu] %s\n", (unsigned long long)l->at, l->error);
		printf("--- The file is NOT sound: it is not loaded ---\n");
		return 1;
	}
	if (l->bytes < size)
		printf("[offset %llu] %llu bytes follow the end of the RDB data\n", (unsigned long long)l->bytes,
		       (unsigned long long)(size - l->bytes));
	printf("[offset %llu] the checksum is right; the file is sound\n", (unsigned long long)l->bytes);
	return 0;
}

/* A store that is thrown away. */
static struct store *scratch_store(int *err)
{
	struct store_options o;
	store_options_init(&o);
	o.dbs = DBS_MAX;
	o.shards = 64;
	return store_open(&o, err);
}

int rdb_check_fd(struct rdb_load *l, int fd, const char *path, uint64_t offset)
{
	int err;
	struct store *s = scratch_store(&err);
	if (!s)
		return err;
	rdb_load_init(l, config(), s);
	l->checksum = l->keep_expired = l->no_functions = true;
	err = rdb_load_fd(l, fd, path, offset);
	store_close(s);
	return err;
}

int rdb_check_file(const char *path)
{
	struct rdb_load l = { 0 };
	struct stat st = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		fprintf(stderr, "Cannot open %s: %s\n", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return 1;
	}
	printf("[offset 0] checking %s, %llu bytes\n", path, (unsigned long long)st.st_size);
	int status = report(&l, rdb_check_fd(&l, fd, path, 0), (uint64_t)st.st_size);
	close(fd);
	return status;
}
