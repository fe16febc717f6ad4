/*
 * proc: a server as a child process of a test: shoal-server, or another server to compare with.
 *
 * The child runs in a temporary directory of its own, on a port that no other test of this machine uses, and dies with
 * the process that started it. Its standard output and error go to files in that directory; waiting for a line is
 * waiting for the file to change, never a sleep.
 *
 * SHOAL_SERVER names the binary under test (default build/shoal-server), SHOAL_LOOPS its number of loops (default 1),
 * ORACLE the server to compare with (default redis-server in the path).
 *
 * Ownership: proc_stop() and proc_kill() end the child and remove the directory. Not thread-safe.
 */
#ifndef TESTS_LIB_PROC_H
#define TESTS_LIB_PROC_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct proc {
	pid_t pid;
	int pidfd;
	int port;
	int port_lock;       /* holds the port for this process among tests */
	int status;          /* as waitpid() gave it, once exited */
	bool exited;
	bool keep_dir;       /* for a restart in the same directory */
	char dir[128];
};

struct proc_spec {
	const char *binary;  /* NULL: SHOAL_SERVER, or ORACLE */
	bool oracle;         /* the server to compare with */
	int loops;           /* 0: SHOAL_LOOPS */
	int port;            /* 0: any free one; else this, which the caller holds */
	const char *config;  /* further lines of the configuration file, or NULL */
	const char *dir;     /* NULL: a new temporary directory; else an existing one, which is kept */
	const char *ready;   /* the line of the log to wait for; NULL: that clients are served */
	unsigned long max_files;    /* 0: as inherited */
};

/* Start and wait until it accepts connections. 0, or -1 when it ended before (p->status is set then; the log can be
 * read; proc_clean() removes the directory). */
int proc_start(struct proc *p, const struct proc_spec *spec);
/* Run a command line to its end (no port, no configuration), output in log and error file. Returns the exit status. */
int proc_run(struct proc *p, const char *const *argv);

/* SIGTERM, wait, and check: exit status 0, no report of a sanitizer. 0, or -1 with the reason on stderr. */
int proc_stop(struct proc *p);
/* SIGKILL and wait; the directory is kept if p->keep_dir. */
void proc_kill(struct proc *p);
void proc_clean(struct proc *p);

/* Wait until the log (standard output) holds the text; false: the process ended or the time, multiplied by
 * proc_time_factor(), is over. */
bool proc_wait_log(struct proc *p, const char *text, int timeout_ms);
/* Wait for the end of the process; false: the time is over. */
bool proc_wait_exit(struct proc *p, int timeout_ms);
/* What was printed so far, malloc'ed and terminated; err: standard error instead. */
char *proc_output(const struct proc *p, bool err);
/* Resident memory in bytes; 0 when unknown. */
size_t proc_rss(const struct proc *p);
/* User and system time so far, in microseconds. */
long long proc_cpu_us(const struct proc *p);

/* The number of loops under test; whether this is a build with sanitizers, whose memory says nothing; and a factor for
 * limits of time, so that sanitizers and slow machines do not meet them. */
int proc_loops(void);
bool proc_sanitized(void);
int proc_time_factor(void);
/* A free port, held by *lock (close it to give it back). */
int proc_free_port(int *lock);

#endif
