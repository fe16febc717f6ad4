/*
 * crash: what is known when the process dies of a fault, in the log. The handler uses write(2) and the unwinder alone;
 * the unwinder is loaded beforehand. Afterwards the signal takes its usual course, so that a core is still written.
 */
#include <execinfo.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "server/log.h"
#include "server/process.h"

#define FRAMES 64
#define STACK_BYTES (32 * 1024)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_OWN_REPORT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HAS_OWN_REPORT 1
#endif
#endif

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static const char *const names[] = { "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT" };

static void put_number(const char *label, uint64_t v, unsigned base)
{
	char digits[32], *p = digits + sizeof digits - 1;

	*p = '\0';
	do {
		*--p = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	log_raw(label);
	log_raw(base == 16 ? "0x" : "");
	log_raw(p);
}

static uintptr_t program_counter(const void *context)
{
	const ucontext_t *u = context;
#if defined(__x86_64__)
	return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (uintptr_t)u->uc_mcontext.pc;
#else
	(void)u;
	return 0;
#endif
}

static void report(int sig, const siginfo_t *info, const void *context)
{
	void *frames[FRAMES];
	const char *name = "a signal";

	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		if (signals[i] == sig)
			name = names[i];
	log_raw("\n\n=== SHOAL BUG REPORT START: Cut & paste starting from here ===\n");
	put_number("", (uint64_t)getpid(), 10);
	log_raw(" Shoal " SHOAL_VERSION " crashed by ");
	log_raw(name);
	put_number(", signal ", (uint64_t)sig, 10);
	put_number(", si_code ", (uint64_t)(uint32_t)info->si_code, 10);
	if (info->si_code > 0) {
		put_number("\nAccessing address: ", (uint64_t)(uintptr_t)info->si_addr, 16);
	} else { /* sent by somebody, not by a fault */
		put_number("\nKilled by PID: ", (uint64_t)info->si_pid, 10);
		put_number(", UID: ", (uint64_t)info->si_uid, 10);
	}
	put_number("\nProgram counter: ", program_counter(context), 16);
	log_raw("\n\n------ STACK TRACE ------\n");
	backtrace_symbols_fd(frames, backtrace(frames, FRAMES), log_fd());
	log_raw("\n=== SHOAL BUG REPORT END. Please report this with the lines above, and what the server was doing. "
		"===\n");
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	static atomic_int reporting;

	/* A second fault, of another thread or of the report itself, has nothing to add. */
	if (!atomic_exchange(&reporting, 1))
		report(sig, info, context);
	struct sigaction usual = { .sa_handler = SIG_DFL };
	sigemptyset(&usual.sa_mask);
	sigaction(sig, &usual, NULL);
	raise(sig);
}

void crash_thread_init(void)
{
#ifndef HAS_OWN_REPORT
	/* A thread that has used up its stack needs another one to say so. */
	static _Thread_local char stack[STACK_BYTES];
	sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof stack }, NULL);
#endif
}

void crash_report_on_signals(bool on)
{
#ifndef HAS_OWN_REPORT
	void *frame[1];
	struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND };

	if (on)
		backtrace(frame, 1); /* loads the unwinder, which allocates */
	if (!on)
		act = (struct sigaction){ .sa_handler = SIG_DFL };
	sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		sigaction(signals[i], &act, NULL);
#else
	(void)on, (void)on_fault, (void)report;
#endif
}
