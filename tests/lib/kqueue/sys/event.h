/* kqueue's interface as far as libshoalnet uses it, for a model of it on systems that have none: see ../model.c. */
#ifndef TESTS_KQUEUE_EVENT_H
#define TESTS_KQUEUE_EVENT_H

#include <stdint.h>
#include <time.h>

enum { EVFILT_READ = -1, EVFILT_WRITE = -2 };
enum { EV_ADD = 1, EV_DELETE = 2, EV_CLEAR = 0x20, EV_RECEIPT = 0x40, EV_ERROR = 0x4000, EV_EOF = 0x8000 };

struct kevent {
	uintptr_t ident;
	short filter;
	unsigned short flags;
	unsigned fflags;
	intptr_t data;
	void *udata;
};

#define EV_SET(k, i, f, how, ff, d, u) \
	(*(k) = (struct kevent){ .ident = (uintptr_t)(i), .filter = (f), .flags = (unsigned short)(how), .fflags = (ff), \
		                 .data = (d), .udata = (u) })

int kqueue(void);
int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *out, int max, const struct timespec *timeout);

#endif
