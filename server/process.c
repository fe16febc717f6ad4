/* process: see process.h. */
#include "server/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "server/config_check.h"
#include "server/log.h"
#include "server/server.h"

#define DEFAULT_PIDFILE "/var/run/shoal.pid"
#define RESERVED_FILES 32 /* log, listeners, files of persistence */
#define FILES_PER_LOOP 4  /* poller, wake-up, listener, one to spare */

extern char **environ;

static struct {
	char *title, *title_end; /* the memory that ps shows */
	const char *program;
	char pidfile[4096]; /* "" when none was written */
	bool supervised;
	int oom_base; /* score found at start */
	bool oom_known;
} process;

/* ------------------------------------------------------------------ title */

void process_init(int argc, char **argv)
{
	char *end = argv[0] ? argv[0] + strlen(argv[0]) + 1 : NULL;

	process.program = argv[0] ? argv[0] : "shoal-server";
	for (int i = 1; i < argc && argv[i] == end; i++)
		end += strlen(argv[i]) + 1;
	size_t n = 0;
	while (environ[n])
		n++;
	/* The environment follows; it must live on elsewhere before its memory is written over. */
	char **copy = calloc(n + 1, sizeof *copy);
	for (size_t i = 0; i < n && copy; i++)
		if (!(copy[i] = strdup(environ[i])))
			return;
	if (!copy || argc < 1)
		return;
	for (size_t i = 0; i < n && environ[i] == end; i++)
		end += strlen(environ[i]) + 1;
	process.program = strdup(argv[0]);
	if (!process.program)
		process.program = "shoal-server";
	process.title = argv[0];
	process.title_end = end;
	environ = copy;
}

static void set_title(const struct config *cfg)
{
	char title[512];
	size_t room = (size_t)(process.title_end - process.title);

	if (!cfg->set_proc_title || !process.title || room < 2)
		return;
	if (config_title(cfg, process.program, title, sizeof title))
		return;
	memset(process.title, 0, room);
	snprintf(process.title, room, "%s", title);
}

/* ------------------------------------------------------------------ signals */

/* The log's layout without its time of day, which cannot be computed here. */
static void log_from_handler(const char *text)
{
	char line[160];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	int n = snprintf(line, sizeof line, "%d:signal-handler (%lld) %s\n", (int)getpid(), (long long)now.tv_sec,
			 text);
	if (n > 0)
		log_raw(line);
}

/* What the signals ask for. The handler runs at any time, on any thread, so it never looks at the configuration. */
static atomic_uint stop_on_int, stop_on_term;

static bool use_stop_flags(const struct config *now, char **error)
{
	(void)error;
	atomic_store(&stop_on_int, (unsigned)now->shutdown_on_sigint);
	atomic_store(&stop_on_term, (unsigned)now->shutdown_on_sigterm);
	return true;
}

static void on_stop_signal(int sig)
{
	int saved_errno = errno;

	if (sig == SIGINT && server_shutting_down()) {
		log_from_handler("You insist... exiting now.");
		if (*process.pidfile)
			unlink(process.pidfile);
		_exit(1); /* nothing is saved that is not saved already */
	}
	log_from_handler(sig == SIGINT ? "Received SIGINT scheduling shutdown..." : "Received SIGTERM scheduling shutdown...");
	server_shutdown(atomic_load(sig == SIGINT ? &stop_on_int : &stop_on_term));
	errno = saved_errno;
}

static void set_handler(int sig, void (*handler)(int))
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = SA_RESTART };

	sigemptyset(&act.sa_mask);
	sigaction(sig, &act, NULL);
}

/* ------------------------------------------------------------------ limits */

static bool use_config(const char *name, long long value)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", value);
	return config_override(name, text) == 0;
}

static rlim_t files_needed(const struct config *cfg)
{
	return (rlim_t)cfg->maxclients + RESERVED_FILES + (rlim_t)cfg->loops * FILES_PER_LOOP;
}

/* Raise the soft limit as far as is needed or allowed; what is in force then. */
static rlim_t raise_files(rlim_t needed, int *err)
{
	struct rlimit limit;

	*err = 0;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	if (limit.rlim_cur >= needed)
		return limit.rlim_cur;
	rlim_t old = limit.rlim_cur;
	/* Only root may go above the hard limit. */
	struct rlimit wanted = { needed, limit.rlim_max < needed ? needed : limit.rlim_max };
	if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
		return needed;
	*err = errno;
	wanted = (struct rlimit){ limit.rlim_max, limit.rlim_max };
	return limit.rlim_max > old && setrlimit(RLIMIT_NOFILE, &wanted) == 0 ? limit.rlim_max : old;
}

static int limit_files(const struct config *cfg)
{
	rlim_t needed = files_needed(cfg), own = needed - (rlim_t)cfg->maxclients;
	int err, requested = cfg->maxclients;
	struct rlimit before = { 0 };

	getrlimit(RLIMIT_NOFILE, &before);
	rlim_t got = raise_files(needed, &err);
	if (got >= needed) {
		if (before.rlim_cur < needed)
			log_notice("Increased maximum number of open files to %llu (it was originally set to %llu).",
				   (unsigned long long)needed, (unsigned long long)before.rlim_cur);
		return 0;
	}
	if (got <= own) {
		log_warning("Your current 'ulimit -n' of %llu is not enough for the server to start. Please increase "
			    "your open "
			    "file limit to at least %llu. Exiting.",
			    (unsigned long long)got, (unsigned long long)needed);
		return -1;
	}
	if (!use_config("maxclients", (long long)(got - own)))
		return -1;
	log_warning("You requested maxclients of %d requiring at least %llu max file descriptors.", requested,
		    (unsigned long long)needed);
	log_warning("Server can't set maximum open files to %llu because of OS error: %s.", (unsigned long long)needed,
		    strerror(err));
	log_warning("Current maximum open files is %llu. maxclients has been reduced to %llu to compensate for low "
		    "ulimit. If "
		    "you need higher maxclients increase 'ulimit -n'.",
		    (unsigned long long)got, (unsigned long long)(got - own));
	return 0;
}

static bool apply_maxclients(const struct config *now, char **error)
{
	rlim_t needed = files_needed(now), own = needed - (rlim_t)now->maxclients;
	int err;
	rlim_t got = raise_files(needed, &err);

	if (got >= needed)
		return true;
	if (asprintf(error, "The operating system is not able to handle the specified number of clients, try with %llu",
		     (unsigned long long)(got > own ? got - own : 0)) < 0)
		*error = NULL;
	return false;
}

static void check_backlog(const struct config *cfg)
{
	FILE *f = fopen("/proc/sys/net/core/somaxconn", "re");
	int most;

	if (!f)
		return;
	if (fscanf(f, "%d", &most) == 1 && most > 0 && most < cfg->tcp_backlog)
		log_warning("WARNING: The TCP backlog setting of %d cannot be enforced because "
			    "/proc/sys/net/core/somaxconn is set "
			    "to the lower value of %d.",
			    cfg->tcp_backlog, most);
	fclose(f);
}

/* ------------------------------------------------------------------ memory */

static bool read_number(const char *path, int *v)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	bool ok = fscanf(f, "%d", v) == 1;
	fclose(f);
	return ok;
}

static bool apply_oom(const struct config *now, char **error)
{
	int score = now->oom_score_adj_values[0];

	if (!process.oom_known)
		process.oom_known = read_number("/proc/self/oom_score_adj", &process.oom_base);
	if (now->oom_score_adj == OOM_SCORE_NO)
		score = process.oom_base;
	else if (now->oom_score_adj == OOM_SCORE_RELATIVE)
		score += process.oom_base;
	score = score > 1000 ? 1000 : score < -1000 ? -1000 : score;
	FILE *f = fopen("/proc/self/oom_score_adj", "we");
	bool ok = f && fprintf(f, "%d", score) > 0;
	if (f && fclose(f))
		ok = false;
	if (ok)
		return true;
	log_warning("Unable to write oom_score_adj: %s", strerror(errno));
	*error = strdup("Failed to apply new oom_score_adj configuration, check server logs.");
	return false;
}

/* ------------------------------------------------------------------ supervision, daemon, pid file */

static bool supervise_upstart(void)
{
	if (!getenv("UPSTART_JOB")) {
		log_warning("upstart supervision requested, but UPSTART_JOB not found");
		return false;
	}
	log_notice("supervised by upstart, will stop to signal readiness");
	raise(SIGSTOP);
	unsetenv("UPSTART_JOB");
	return true;
}

static bool supervise_systemd(void)
{
	if (!getenv("NOTIFY_SOCKET")) {
		log_warning("systemd supervision requested or auto-detected, but NOTIFY_SOCKET not found");
		return false;
	}
	log_notice("supervised by systemd. Please make sure you set appropriate values for TimeoutStartSec and "
		   "TimeoutStopSec "
		   "in your service unit.");
	sd_notify(0, "STATUS=Shoal is loading...\n");
	return true;
}

static bool supervise(int how)
{
	if (how == SUPERVISED_AUTO)
		how = getenv("UPSTART_JOB")     ? SUPERVISED_UPSTART
		      : getenv("NOTIFY_SOCKET") ? SUPERVISED_SYSTEMD
						: SUPERVISED_NO;
	return how == SUPERVISED_UPSTART ? supervise_upstart() : how == SUPERVISED_SYSTEMD && supervise_systemd();
}

static int daemonize(void)
{
	pid_t pid = fork();

	if (pid < 0) {
		log_warning("Cannot become a daemon: fork: %s", strerror(errno));
		return -1;
	}
	if (pid > 0)
		_exit(0);
	setsid();
	log_forked();
	int fd = open("/dev/null", O_RDWR);
	if (fd >= 0) {
		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		if (fd > STDERR_FILENO)
			close(fd);
	}
	return 0;
}

static void write_pidfile(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f || fprintf(f, "%d\n", (int)getpid()) < 0) {
		log_warning("Failed to write PID file: %s", strerror(errno));
		if (f)
			fclose(f);
		return;
	}
	if (fclose(f)) {
		log_warning("Failed to write PID file: %s", strerror(errno));
		return;
	}
	char *real = realpath(path, NULL); /* `dir` may change */
	snprintf(process.pidfile, sizeof process.pidfile, "%s", real ? real : path);
	free(real);
}

/* ------------------------------------------------------------------ changes */

static bool apply_title(const struct config *now, char **error)
{
	(void)error;
	set_title(now);
	return true;
}

static bool apply_loglevel(const struct config *now, char **error)
{
	(void)error;
	log_set_level((enum log_level)now->loglevel);
	return true;
}

static bool apply_crash_log(const struct config *now, char **error)
{
	(void)error;
	crash_report_on_signals(now->crash_log_enabled);
	return true;
}

static bool apply_dir(const struct config *now, char **error)
{
	if (chdir(now->dir) == 0)
		return true;
	*error = strdup(strerror(errno));
	return false;
}

static void watch_changes(void)
{
	config_on_change("loglevel", apply_loglevel);
	config_on_change("dir", apply_dir);
	config_on_change("maxclients", apply_maxclients);
	config_on_change("proc-title-template", apply_title);
	config_on_change("port", apply_title);
	config_on_change("bind", apply_title);
	config_on_change("crash-log-enabled", apply_crash_log);
	config_on_change("oom-score-adj", apply_oom);
	config_on_change("oom-score-adj-values", apply_oom);
}

/* ------------------------------------------------------------------ from start to end */

static int open_log(const struct config *cfg)
{
	int err = log_open((enum log_level)cfg->loglevel, cfg->logfile, cfg->syslog_enabled ? cfg->syslog_ident : NULL,
			   cfg->syslog_facility);

	if (err)
		fprintf(stderr,
			"\n*** FATAL CONFIG FILE ERROR (Shoal %s) ***\nCan't open the log file: %s\n>>> '%s'\nCheck "
			"that its "
			"directory exists and may be written, or change `logfile`.\n",
			SHOAL_VERSION, strerror(-err), cfg->logfile);
	return err;
}

int process_enter(const struct config *cfg)
{
	char *ignored = NULL;

	if (chdir(cfg->dir) < 0) {
		fprintf(stderr, "\n*** FATAL CONFIG FILE ERROR (Shoal %s) ***\nCan't chdir to '%s': %s\n",
			SHOAL_VERSION, cfg->dir, strerror(errno));
		return -1;
	}
	if (open_log(cfg))
		return -1;
	set_handler(SIGHUP, SIG_IGN);
	set_handler(SIGPIPE, SIG_IGN);
	log_notice("oO0OoO0OoO0Oo Shoal is starting oO0OoO0OoO0Oo");
	log_notice("Shoal version=%s, bits=%d, pid=%d, just started", SHOAL_VERSION, (int)sizeof(long) * 8,
		   (int)getpid());
	if (*config_file())
		log_notice("Configuration loaded");
	else
		log_warning("Warning: no config file specified, using the default config. In order to specify a config "
			    "file use %s "
			    "/path/to/shoal.conf",
			    process.program);
	process.supervised = supervise(cfg->supervised);
	if (cfg->daemonize && !process.supervised && daemonize())
		return -1;
	log_set_role('M');
	use_stop_flags(config(), NULL);
	config_on_change("shutdown-on-sigint", use_stop_flags);
	config_on_change("shutdown-on-sigterm", use_stop_flags);
	set_handler(SIGTERM, on_stop_signal);
	set_handler(SIGINT, on_stop_signal);
	crash_thread_init();
	crash_report_on_signals(cfg->crash_log_enabled);
	if (limit_files(cfg))
		return -1;
	cfg = config(); /* maxclients may be another */
	check_backlog(cfg);
	if (cfg->disable_thp)
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	if (cfg->oom_score_adj != OOM_SCORE_NO)
		apply_oom(cfg, &ignored);
	free(ignored);
	set_title(cfg);
	watch_changes();
	return 0;
}

void process_listening(void)
{
	const struct config *cfg = config();

	if (*cfg->pidfile)
		write_pidfile(cfg->pidfile);
	else if (cfg->daemonize && !process.supervised)
		write_pidfile(DEFAULT_PIDFILE);
}

void process_ready(void)
{
	if (process.supervised)
		sd_notify(0, "STATUS=Ready to accept connections\nREADY=1\n");
}

void process_cleanup(void)
{
	if (process.supervised)
		sd_notify(0, "STOPPING=1\n");
	process.supervised = false;
	if (!*process.pidfile)
		return;
	log_notice("Removing the pid file.");
	unlink(process.pidfile);
	process.pidfile[0] = '\0';
}

/* ------------------------------------------------------------------ --check-system */

static bool check(const char *name, bool ok, const char *advice)
{
	printf("[%s]...%s\n", name, ok ? "OK" : "WARNING:");
	if (!ok)
		printf("%s\n", advice);
	return ok;
}

int process_check_system(void)
{
	const struct config *cfg = config();
	char source[32] = "";
	struct rlimit files = { 0 };
	int most = cfg->tcp_backlog, err;
	bool ok = true;

	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	if (f) {
		if (!fgets(source, sizeof source, f))
			source[0] = '\0';
		fclose(f);
	}
	ok &= check("clocksource", strncmp(source, "hpet", 4) && strncmp(source, "acpi_pm", 7),
		    "The kernel's clock source is slow, which every command pays for. If the machine allows it, write "
		    "\"tsc\" to "
		    "/sys/devices/system/clocksource/clocksource0/current_clocksource.");
	read_number("/proc/sys/net/core/somaxconn", &most);
	ok &= check("tcp-backlog", most >= cfg->tcp_backlog,
		    "net.core.somaxconn is lower than `tcp-backlog`: connections that arrive all at once may be "
		    "refused. Raise it "
		    "with sysctl, or lower tcp-backlog.");
	getrlimit(RLIMIT_NOFILE, &files);
	ok &= check("open-files", raise_files(files_needed(cfg), &err) >= files_needed(cfg),
		    "The limit of open files is too low for `maxclients`. Raise it with `ulimit -n`, or LimitNOFILE in "
		    "the unit "
		    "file.");
	return ok ? 0 : 1;
}
