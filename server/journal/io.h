/*
 * io: the few file operations that persistence is made of, in one place, so that a test can make any of them fail. All
 * that must survive a power cut goes the same way: a temporary file, io_write(), io_sync(), io_rename(), io_sync_dir().
 *
 * A failed io_sync() means that the kernel may have dropped what was written: the file is to be given up, never synced
 * again in the hope of a better answer.
 *
 * Threads: all functions any; io_fault() is set while nobody writes, or by a test that knows what it does.
 */
#ifndef SERVER_JOURNAL_IO_H
#define SERVER_JOURNAL_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum io_call { IO_OPEN, IO_WRITE, IO_SYNC, IO_RENAME, IO_SYNC_DIR, IO_UNLINK, IO_TRUNCATE, IO_READ, IO_CALLS };

/*
 * The seam: asked before every call. 0: go on; -errno: the call fails with it. For IO_WRITE *len is the number of bytes
 * and may be lowered: so many are written, then the result applies. NULL (the default): nothing fails.
 */
typedef int io_fault_fn(void *ctx, enum io_call call, const char *path, size_t *len);
void io_set_fault(io_fault_fn *fn, void *ctx);
/* The seam for running servers (DEBUG IO-FAULT): from the skip-th call of the kind on, `times` calls fail with err
 * (negative errno); times 0: none. Short: writes fail half way. */
void io_fail(enum io_call call, unsigned skip, unsigned times, int err);
/* IO_CALLS: no such name. */
enum io_call io_call_named(const char *name, size_t len);

/* A file that is written; the path is kept for messages and the seam. Not shared between threads. */
struct io_file {
	int fd; /* -1: none */
	uint64_t written; /* bytes by io_write() */
	char path[4096];
};

/* Open for writing, made if missing (0644, private: 0600); new: must not exist; append: at the end. 0 or -errno. */
enum io_flags { IO_NEW = 1, IO_APPEND = 2, IO_TRUNC = 4, IO_PRIVATE = 8 };
int io_open(struct io_file *f, const char *path, unsigned flags);
/* All bytes, over short writes and signals. After an error f->written tells how many were written. 0 or -errno. */
int io_write(struct io_file *f, const void *bytes, size_t len);
/* The same at an offset, in a file opened without IO_APPEND; the iovecs are used up. */
struct iovec;
int io_write_at(struct io_file *f, struct iovec *iov, int n, uint64_t offset);
/* Data and size are on the disk. 0 or -errno. */
int io_sync(struct io_file *f);
/* Tell the kernel to begin writing what is there: no wait, no promise. */
void io_start_writeback(struct io_file *f, uint64_t from, uint64_t len);
int io_truncate(struct io_file *f, uint64_t len);
/* The mode, and as far as this process may the owner, of the file that it is to replace; if there is none this mode. 0 or
 * -errno. */
int io_take_after(struct io_file *f, const char *path, mode_t mode);
void io_close(struct io_file *f);

int io_rename(const char *from, const char *to);
/* The directory that holds the path: after this a rename or a new file in it survives. 0 or -errno. */
int io_sync_dir(const char *path);
/* 0 also when it was not there. */
int io_unlink(const char *path);
/* Up to len bytes at the offset, over short reads; less only at the end of the file. Bytes or -errno. */
ssize_t io_read_at(int fd, const char *path, void *buf, size_t len, uint64_t offset);

/* A name beside `path` for a file in the making: "temp-<pid>-<n>" and the path's ending, or ".tmp" if it has none of small
 * letters. false: too long. */
bool io_temp_name(const char *path, char *out, size_t size);
/* Remove the files of that shape that dead processes left in the directory ("." for the working directory); ending: only
 * those, where the directory is not the server's own; else NULL. At start, before this process makes one of its own: its
 * number may have been used before. */
void io_remove_stale_temps(const char *dir, const char *ending);

#endif
