/* SPDX-License-Identifier: MIT */
/*
 * A dialler is idle, pausing, looking a name up, or has a connection in the making. A look-up can't always be
 * cancelled: it is an object of its own that outlives its dialler.
 *
 * The pause doubles up to its maximum and gets a random quarter on top, so that nodes that lost each other at
 * the same moment do not all come back at the same moment.
 */
#include "daemon/link_dialler.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "queue/error.h"

struct look_up {
	uv_getaddrinfo_t request;
	struct link_ground *ground;
	struct link_dialler *dialler; /* NULL when it is no longer wanted */
};

static void attempt(uv_timer_t *timer);

static void settled(struct link_ground *ground)
{
	ground->diallers--;
	ground->events->settled(ground->context);
}

static void drop_candidates(struct link_dialler *dialler)
{
	if (dialler->found != NULL)
		uv_freeaddrinfo(dialler->found);
	dialler->found = dialler->next = NULL;
}

static void pause_then_again(struct link_dialler *dialler)
{
	uint64_t pause = dialler->pause + randombytes_uniform((uint32_t)(dialler->pause / 4 + 1));

	uv_timer_start(&dialler->timer, attempt, pause, 0);
	dialler->pause = 2 * dialler->pause < dialler->pause_max ? 2 * dialler->pause : dialler->pause_max;
}

static void next_candidate(struct link_dialler *dialler)
{
	struct addrinfo *candidate = dialler->next;

	if (candidate != NULL) {
		dialler->next = candidate->ai_next;
		dialler->tried++;
		dialler->connection = connection_dial(dialler->ground, candidate->ai_addr, dialler);
		return;
	}
	drop_candidates(dialler);
	pause_then_again(dialler);
	/* Last, since the one who hears it may free the dialler. */
	if (dialler->tried > 0 && dialler->refused == dialler->tried)
		dialler->events->refused(dialler->context, dialler);
}

static void looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct look_up *look_up = request->data;
	struct link_ground *ground = look_up->ground;
	struct link_dialler *dialler = look_up->dialler;

	free(look_up);
	if (dialler == NULL) {
		if (found != NULL)
			uv_freeaddrinfo(found);
	} else {
		dialler->look_up = NULL;
		if (status < 0) {
			log_debug("link_name", "address", dialler->text, "reason", uv_strerror(status), NULL);
			ground->account.ended[LINK_UNREACHABLE]++;
		}
		dialler->found = dialler->next = status < 0 ? NULL : found;
		next_candidate(dialler);
	}
	settled(ground);
}

static void start_look_up(struct link_dialler *dialler)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct look_up *look_up = calloc(1, sizeof(*look_up));

	if (look_up == NULL)
		abort();
	look_up->ground = dialler->ground;
	look_up->dialler = dialler;
	look_up->request.data = look_up;
	if (uv_getaddrinfo(dialler->ground->loop, &look_up->request, looked_up, dialler->address.host,
	        dialler->address.port, &hints) < 0) {
		free(look_up);
		pause_then_again(dialler);
		return;
	}
	dialler->look_up = look_up;
	dialler->ground->diallers++;
}

static void attempt(uv_timer_t *timer)
{
	struct link_dialler *dialler = timer->data;

	dialler->tried = dialler->refused = 0;
	if (!dialler->events->needed(dialler->context, dialler)) {
		if (dialler->ticks)
			pause_then_again(dialler);
		return;
	}
	dialler->found = dialler->next = link_address_numbers(&dialler->address);
	if (dialler->found != NULL)
		next_candidate(dialler);
	else
		start_look_up(dialler);
}

int dialler_new(struct link_ground *ground, const struct link_dialler_events *events, void *context,
    const char *text, uint64_t pause_min_ms, uint64_t pause_max_ms, struct link_dialler **ret_dialler)
{
	struct link_dialler *dialler;
	struct link_address address;

	if (link_address_parse(text, &address) != 0)
		return OPT_E_INVALID;
	dialler = calloc(1, sizeof(*dialler));
	if (dialler == NULL)
		abort();
	dialler->ground = ground;
	dialler->events = events;
	dialler->context = context;
	dialler->address = address;
	snprintf(dialler->text, sizeof(dialler->text), "%s", text);
	dialler->pause = dialler->pause_min = pause_min_ms;
	dialler->pause_max = pause_max_ms;
	uv_timer_init(ground->loop, &dialler->timer);
	dialler->timer.data = dialler;
	ground->diallers++;
	uv_timer_start(&dialler->timer, attempt, 0, 0);
	*ret_dialler = dialler;
	return 0;
}

void dialler_wake(struct link_dialler *dialler)
{
	if (dialler->connection != NULL || dialler->look_up != NULL)
		return;
	dialler->pause = dialler->pause_min;
	pause_then_again(dialler);
}

void dialler_succeeded(struct link_dialler *dialler)
{
	dialler->connection = NULL;
	drop_candidates(dialler);
	dialler->pause = dialler->pause_min;
	if (dialler->ticks)
		pause_then_again(dialler);
}

void dialler_failed(struct link_dialler *dialler, enum link_end why)
{
	dialler->connection = NULL;
	if (why == LINK_REFUSED)
		dialler->refused++;
	next_candidate(dialler);
}

static void timer_closed(uv_handle_t *handle)
{
	struct link_dialler *dialler = handle->data;
	struct link_ground *ground = dialler->ground;

	free(dialler);
	settled(ground);
}

void dialler_free(struct link_dialler *dialler)
{
	if (dialler == NULL)
		return;
	if (dialler->look_up != NULL) {
		dialler->look_up->dialler = NULL;
		uv_cancel((uv_req_t *)&dialler->look_up->request);
	}
	drop_candidates(dialler);
	if (dialler->connection != NULL) {
		dialler->connection->owner = NULL;
		connection_end(dialler->connection, LINK_CLOSED);
	}
	uv_close((uv_handle_t *)&dialler->timer, timer_closed);
}
