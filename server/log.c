#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"

/* One line's room; what is longer is cut, as in Redis, but later. */
#define LOG_LINE 4096

static int current_level = LOG_LEVEL_NOTICE;
static char current_role = 'C';
static int current_fd = STDOUT_FILENO;
static pid_t current_pid;
/* Guards path and the switch of current_fd when the file was moved away. */
static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static char *file_path;
static bool to_syslog;
static char *ident;

static int log_open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : fd;
}

int log_open(enum log_level level, const char *file, const char *syslog_ident, int syslog_facility)
{
	int fd = STDOUT_FILENO;
	char *path = NULL;

	if (*file) {
		fd = log_open_file(file);
		if (fd < 0)
			return fd;
		path = realpath(file, NULL); /* survives a chdir */
		if (!path)
			path = strdup(file);
		if (!path) {
			close(fd);
			return -ENOMEM;
		}
	}
	pthread_mutex_lock(&file_lock);
	if (current_fd != STDOUT_FILENO)
		close(current_fd);
	__atomic_store_n(&current_fd, fd, __ATOMIC_RELAXED);
	free(file_path);
	file_path = path;
	if (to_syslog)
		closelog();
	to_syslog = syslog_ident != NULL;
	if (to_syslog) {
		free(ident);
		ident = strdup(syslog_ident); /* openlog() keeps the pointer */
		openlog(ident, LOG_PID | LOG_NDELAY | LOG_NOWAIT, syslog_facility);
	}
	pthread_mutex_unlock(&file_lock);
	log_set_level(level);
	return 0;
}

void log_set_level(enum log_level level)
{
	__atomic_store_n(&current_level, (int)level, __ATOMIC_RELAXED);
}

void log_set_role(char role)
{
	__atomic_store_n(&current_role, role, __ATOMIC_RELAXED);
}

void log_forked(void)
{
	current_pid = getpid();
}

bool log_enabled(enum log_level level)
{
	return (int)level >= __atomic_load_n(&current_level, __ATOMIC_RELAXED);
}

int log_fd(void)
{
	return __atomic_load_n(&current_fd, __ATOMIC_RELAXED);
}

static void log_put(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nowhere left to say so */
		bytes += n;
		len -= (size_t)n;
	}
}

void log_raw(const char *text)
{
	log_put(log_fd(), text, strlen(text));
}

/* Rotation moves the file and expects a new one under the old name. If it cannot be made, the old one goes on. */
static void log_follow_file_locked(void)
{
	struct stat by_path, by_fd;
	int fd;

	if (!file_path)
		return;
	if (stat(file_path, &by_path) == 0 && fstat(current_fd, &by_fd) == 0 && by_path.st_ino == by_fd.st_ino &&
	    by_path.st_dev == by_fd.st_dev)
		return;
	fd = log_open_file(file_path);
	if (fd < 0)
		return;
	close(current_fd);
	__atomic_store_n(&current_fd, fd, __ATOMIC_RELAXED);
}

static size_t log_prefix(char *buf, size_t size, enum log_level level)
{
	int64_t now_us = clock_wall_us();
	time_t seconds = (time_t)(now_us / 1000000);
	char when[40];
	struct tm tm;
	int n;

	localtime_r(&seconds, &tm);
	if (strftime(when, sizeof(when), "%d %b %Y %H:%M:%S", &tm) == 0)
		when[0] = '\0';
	pid_t pid = __atomic_load_n(&current_pid, __ATOMIC_RELAXED);
	if (pid == 0) {
		pid = getpid();
		__atomic_store_n(&current_pid, pid, __ATOMIC_RELAXED);
	}
	n = snprintf(buf, size, "%d:%c %s.%03d %c ", (int)pid, __atomic_load_n(&current_role, __ATOMIC_RELAXED),
		     when, (int)(now_us / 1000 % 1000), ".-*#"[level]);
	return n < 0 ? 0 : (size_t)n;
}

void log_write(enum log_level level, const char *format, ...)
{
	static const int priority[] = { LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING };
	char line[LOG_LINE];
	size_t head, len;
	va_list ap;
	int n, saved_errno = errno;

	if (level >= LOG_LEVEL_NOTHING || !log_enabled(level))
		return;
	head = log_prefix(line, sizeof(line), level);
	va_start(ap, format);
	n = vsnprintf(line + head, sizeof(line) - head - 1, format, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	len = head + (size_t)n;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (size_t i = head; i < len; i++)
		if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
			line[i] = '?';
	line[len] = '\0';
	pthread_mutex_lock(&file_lock);
	if (to_syslog)
		syslog(priority[level], "%s", line + head);
	log_follow_file_locked();
	line[len] = '\n';
	log_put(current_fd, line, len + 1);
	pthread_mutex_unlock(&file_lock);
	errno = saved_errno;
}
