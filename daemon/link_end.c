/* SPDX-License-Identifier: MIT */
/*
 * The book of ended connections. An attacker decides how often each cause happens, so the number of lines in
 * the log must not be his: one for each cause and minute, which tells how many it stands for.
 */
#include "daemon/link_end.h"

#include <stddef.h>
#include <time.h>

#include "daemon/log.h"

enum { LOG_SECONDS = 60 };

static const struct {
	const char *name;
	const char *hint; /* NULL: everyday, not worth a line */
} causes[LINK_ENDS] = {
    [LINK_CLOSED] = {"closed", NULL},
    [LINK_REPLACED] = {"replaced", NULL},
    [LINK_RESET] = {"reset", NULL},
    [LINK_TIMEOUT] = {"timeout", NULL},
    [LINK_REFUSED] = {"refused", NULL},
    [LINK_UNREACHABLE] = {"unreachable", NULL},
    [LINK_SELF] = {"self", NULL},
    [LINK_WRONG_NODE] = {"wrong_node", "another node of the cluster answers at this address"},
    [LINK_SLOW] = {"slow", "no complete handshake in time"},
    [LINK_CROWDED] = {"crowded", "too many connections that do not finish their handshake"},
    [LINK_VERSION] = {"version", "the other side speaks another version of the protocol"},
    [LINK_FOREIGN] = {"foreign", "the other side does not have this cluster's key, or somebody interferes"},
    [LINK_SIGNATURE] = {"signature", "a holder of the cluster key claims an identity that is not his"},
    [LINK_CUT] = {"cut", "the other side closed in the middle; has it the same cluster key?"},
    [LINK_OVERSIZED] = {"oversized", "a frame above the limit: no node of ours sends that"},
    [LINK_DAMAGED] = {"damaged", "bytes were altered on their way"},
    [LINK_MALFORMED] = {"malformed", "a peer with the cluster key sends what no node of ours sends"},
};

const char *link_end_name(enum link_end why)
{
	return (unsigned int)why < LINK_ENDS ? causes[why].name : "unknown";
}

static uint64_t boot_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec;
}

void link_account_end(struct link_account *account, enum link_end why, const char *address)
{
	uint64_t now;

	account->ended[why]++;
	if (causes[why].hint == NULL) {
		log_debug("link_ended", "why", causes[why].name, "address", address, NULL);
		return;
	}
	now = boot_seconds();
	if (account->logged[why] != 0 && now - account->logged[why] < LOG_SECONDS) {
		account->silent[why]++;
		return;
	}
	log_warning("link_ended", "why", causes[why].name, "address", address, "hint", causes[why].hint,
	    "not_logged", log_u64(account->silent[why]), NULL);
	account->logged[why] = now != 0 ? now : 1;
	account->silent[why] = 0;
}
