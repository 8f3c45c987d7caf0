/* SPDX-License-Identifier: MIT */
/*
 * How late heartbeats are, for heartbeat_test.sh: preloaded into optimusd it stands in front of the functions
 * of libsodium that seal and open the frames of links. All nodes are on one machine, and a heartbeat says
 * when it was composed (field `at`), so what has gone by when it is opened is the time that it waited in
 * queues, on the wire and for the two processes. What these waited for a processor is the machine's business
 * (/proc/self/schedstat), and told apart: the time when a heartbeat is composed is one that the process has
 * asked for, so the last asking before it tells from when on that wait counts.
 *
 * Adds a line for each heartbeat that is sealed or opened to the file that $OPTIMUS_BEATS names, which has to
 * be there:
 *
 *   sealed|opened LINK NOW LATE WAITED BULK COMPOSED
 *
 * NOW since boot, COMPOSED in UTC, LATE and WAITED (for a processor, since COMPOSED) in microseconds; BULK in
 * bytes that the link carried that way since the last one. Of the main thread alone.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* As in daemon/link_frame.h and docs/protocol.md; nothing of the daemon is linked here. */
enum { KIND_CONTROL_LAST = 1, KIND_BULK_PART = 2, KIND_BULK_LAST = 3 };
enum { HEARTBEAT_FIELDS = 0x9a, HEARTBEAT_TYPE = 1 };
enum { LINKS = 64, SEALED_EXTRA = 17, ASKED = 1 << 16 };

typedef int pull_fn(void *state, unsigned char *m, unsigned long long *mlen, unsigned char *tag,
    const unsigned char *c, unsigned long long clen, const unsigned char *ad, unsigned long long adlen);
typedef int push_fn(void *state, unsigned char *c, unsigned long long *clen, const unsigned char *m,
    unsigned long long mlen, const unsigned char *ad, unsigned long long adlen, unsigned char tag);
pull_fn crypto_secretstream_xchacha20poly1305_pull;
push_fn crypto_secretstream_xchacha20poly1305_push;

static struct {
	const void *state;
	uint64_t bulk;
} links[LINKS];
static struct {
	uint64_t at, waited;
} asked[ASKED]; /* the time, as a ring */
static size_t asked_count;
static int file = -1, schedstat = -1;
static unsigned int process; /* ids of processes are the same in each namespace */

static void *find(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (found == NULL)
		abort();
	return found;
}

/* Only a process that opens frames is looked at, from then on. */
static bool is_watched(void)
{
	static bool begun;
	const char *path = getenv("OPTIMUS_BEATS");
	struct timespec now;

	if (syscall(SYS_gettid) != getpid())
		return false;
	if (!begun && path != NULL) {
		begun = true;
		syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &now);
		process = (unsigned int)now.tv_nsec;
		schedstat = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
		file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	}
	return file >= 0;
}

static uint64_t microseconds(clockid_t clock)
{
	struct timespec now;

	syscall(SYS_clock_gettime, clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* For a processor, in all, in microseconds. 0 where the kernel does not count it. */
static uint64_t waited(void)
{
	char text[100] = {0};
	uint64_t run, wait;

	if (pread(schedstat, text, sizeof(text) - 1, 0) <= 0 ||
	    sscanf(text, "%" SCNu64 " %" SCNu64, &run, &wait) != 2)
		return 0;
	return wait / 1000;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int r = (int)syscall(SYS_clock_gettime, clock, now);

	if (clock == CLOCK_REALTIME && file >= 0 && is_watched()) {
		asked[asked_count % ASKED].at =
		    (uint64_t)now->tv_sec * 1000000 + (uint64_t)now->tv_nsec / 1000;
		asked[asked_count % ASKED].waited = waited();
		asked_count++;
	}
	return r;
}

static uint64_t waited_since(uint64_t at)
{
	for (size_t i = asked_count; i > 0 && i + ASKED > asked_count; i--)
		if (asked[(i - 1) % ASKED].at <= at)
			return waited() - asked[(i - 1) % ASKED].waited;
	return 0;
}

/* A msgpack number of any width; -1 where there is none. */
static int take_number(const unsigned char **at, const unsigned char *end, uint64_t *ret_number)
{
	size_t width = 0;

	if (*at < end && **at < 0x80) {
		*ret_number = *(*at)++;
		return 0;
	}
	if (*at < end && **at >= 0xcc && **at <= 0xcf)
		width = (size_t)1 << (**at - 0xcc);
	if (width == 0 || (size_t)(end - *at) <= width)
		return -1;
	*ret_number = 0;
	for (size_t i = 1; i <= width; i++)
		*ret_number = *ret_number << 8 | (*at)[i];
	*at += 1 + width;
	return 0;
}

/* Both directions have a state of their own. */
static size_t link_of(const void *state)
{
	for (size_t i = 0; i < LINKS; i++) {
		if (links[i].state == NULL)
			links[i].state = state;
		if (links[i].state == state)
			return i;
	}
	abort();
}

static void heartbeat(const char *what, size_t link, uint64_t composed)
{
	char line[160];
	int len = snprintf(line, sizeof(line),
	    "%s %x-%zu %" PRIu64 " %" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", what, process, link,
	    microseconds(CLOCK_BOOTTIME), (int64_t)(microseconds(CLOCK_REALTIME) - composed),
	    waited_since(composed), links[link].bulk, composed);

	if (write(file, line, (size_t)len) != len)
		abort();
	links[link].bulk = 0;
}

static void frame(const char *what, const void *state, const unsigned char *plain, size_t len)
{
	const unsigned char *at = plain + 1, *end = plain + len;
	size_t link = link_of(state);
	uint64_t type, token, composed;

	if (plain[0] == KIND_BULK_PART || plain[0] == KIND_BULK_LAST)
		links[link].bulk += len;
	if (plain[0] != KIND_CONTROL_LAST || at == end || *at++ != HEARTBEAT_FIELDS)
		return;
	if (take_number(&at, end, &type) == 0 && type == HEARTBEAT_TYPE &&
	    take_number(&at, end, &token) == 0 && take_number(&at, end, &composed) == 0)
		heartbeat(what, link, composed);
}

int crypto_secretstream_xchacha20poly1305_pull(void *state, unsigned char *m, unsigned long long *mlen,
    unsigned char *tag, const unsigned char *c, unsigned long long clen, const unsigned char *ad,
    unsigned long long adlen)
{
	static pull_fn *pull;
	int r;

	if (pull == NULL)
		*(void **)&pull = find("crypto_secretstream_xchacha20poly1305_pull");
	r = pull(state, m, mlen, tag, c, clen, ad, adlen);
	if (r == 0 && is_watched() && clen > SEALED_EXTRA)
		frame("opened", state, m, (size_t)clen - SEALED_EXTRA);
	return r;
}

int crypto_secretstream_xchacha20poly1305_push(void *state, unsigned char *c, unsigned long long *clen,
    const unsigned char *m, unsigned long long mlen, const unsigned char *ad, unsigned long long adlen,
    unsigned char tag)
{
	static push_fn *push;

	if (push == NULL)
		*(void **)&push = find("crypto_secretstream_xchacha20poly1305_push");
	if (is_watched() && mlen > 0)
		frame("sealed", state, m, (size_t)mlen);
	return push(state, c, clen, m, mlen, ad, adlen, tag);
}
