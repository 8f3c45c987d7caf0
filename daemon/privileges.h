/* SPDX-License-Identifier: MIT */
/*
 * What optimusd does as root, before it stops being root: the data folder and the change of user.
 */
#ifndef OPTIMUS_DAEMON_PRIVILEGES_H
#define OPTIMUS_DAEMON_PRIVILEGES_H

#include <stddef.h>

#include "daemon/config.h"

/*
 * Makes the data folder where it is missing (root's, with room in it for the configured user, readable for
 * the group), and the store's folder in it (the user's alone), and locks it: *ret_lock is the open lock file,
 * held until the process ends. OPT_E_AGAIN when another optimusd has it, OPT_E_IO; `error` says why.
 */
int privileges_open_data(const struct config *config, int *ret_lock, char *error, size_t size);

/* Gives up root for the configured user, for good. Does nothing for who is not root. OPT_E_DENIED,
 * OPT_E_NOT_FOUND. */
int privileges_drop(const struct config *config, char *error, size_t size);

#endif
