/* SPDX-License-Identifier: MIT */
/*
 * Dialling one address again and again while a link is needed: look the name up, try each of its addresses,
 * wait, begin anew.
 */
#ifndef OPTIMUS_DAEMON_LINK_DIALLER_H
#define OPTIMUS_DAEMON_LINK_DIALLER_H

#include "daemon/link_connection.h"

struct link_dialler;

struct link_dialler_events {
	/* Whether a link is still missing; asked before each attempt. */
	bool (*needed)(void *context, const struct link_dialler *dialler);
	/* Each address of the host was tried and refused. */
	void (*refused)(void *context, const struct link_dialler *dialler);
};

struct link_dialler {
	TAILQ_ENTRY(link_dialler) link; /* for the owner */
	struct link_ground *ground;
	const struct link_dialler_events *events;
	void *context;
	char text[LINK_ADDRESS_SIZE];
	bool answered; /* a node of the cluster was there, if only this one itself */
	struct link_address address;
	bool known; /* `peer` is who is, or was last, at this address */
	bool ticks; /* looks again by itself when nothing was needed */
	struct opt_id peer;
	struct look_up *look_up;       /* under way, or NULL */
	struct addrinfo *found, *next; /* candidates of this attempt */
	struct link_connection *connection;
	unsigned int tried, refused;
	uint64_t pause, pause_min, pause_max; /* milliseconds */
	uv_timer_t timer;
};

/* OPT_E_INVALID when `text` is no address. The first attempt begins with the loop's next turn. */
int dialler_new(struct link_ground *ground, const struct link_dialler_events *events, void *context,
    const char *text, uint64_t pause_min_ms, uint64_t pause_max_ms, struct link_dialler **ret_dialler);
/* A link was lost: an attempt after the shortest pause. Does nothing when one is under way. */
void dialler_wake(struct link_dialler *dialler);
/* Its connection is proven, and no longer the dialler's. */
void dialler_succeeded(struct link_dialler *dialler);
/* Its connection ended without that. */
void dialler_failed(struct link_dialler *dialler, enum link_end why);
/* Gives up a connection that is being made, too. */
void dialler_free(struct link_dialler *dialler);

#endif
