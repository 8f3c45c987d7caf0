/* SPDX-License-Identifier: MIT */
/*
 * What the store gives back at the start, before the core gets it. A node that went on without what it can't
 * read would forget mail, or its word: where that is so these end the program, and let a person look.
 */
#ifndef OPTIMUS_DAEMON_NODE_CHECK_H
#define OPTIMUS_DAEMON_NODE_CHECK_H

#include "daemon/store.h"

/* The read itself; `event` is what the log says. */
void node_check_read(int status, const char *event);
/* A batch's record. */
void node_check_record(const struct span *value);
/* A field of the registers, whose id comes back, and what stands under it. */
struct opt_id node_check_register(const struct span *field, const struct span *value);
/* The fields of an upload that was open, id and "batch coordinator". OPT_E_INVALID: they say nothing, and
 * nothing hangs on them but room on the disk. */
int node_check_upload(const struct span *field, const struct span *value, struct opt_id *ret_upload,
    struct opt_id *ret_batch, struct opt_id *ret_coordinator);

#endif
