/* SPDX-License-Identifier: MIT */
/*
 * The body of POST /v1/batches/ID: what the submitter wants, checked.
 */
#ifndef OPTIMUS_DAEMON_API_SETTINGS_H
#define OPTIMUS_DAEMON_API_SETTINGS_H

#include <stddef.h>

#include "daemon/api_error.h"
#include "queue/clock.h"
#include "queue/message/template.h"
#include "queue/record.h"

enum {
	/* A template in JSON may take six bytes a byte at worst; ordinary ones take little more than one. */
	SETTINGS_BYTES_MAX = 2 * TEMPLATE_SIZE_MAX,
	SETTINGS_COLUMNS_MAX = 1000,
	SETTINGS_EXPIRE_DEFAULT = 5 * 86400,
	SETTINGS_EXPIRE_MAX = 30 * 86400,
	SETTINGS_AHEAD_MAX = 366 * 86400,
	SETTINGS_REPLICAS_DEFAULT = 3,
	SETTINGS_REPLICAS_MAX = 7,
};

struct api_settings {
	struct batch_settings batch; /* uid is left 0 */
	char *source;                /* the template, any bytes */
	size_t source_len;
	struct template *template;
};

/*
 * Reads and checks everything, the template too. `name` is the batch id, which is valid. On failure
 * OPT_E_INVALID or OPT_E_LIMIT and the error. On success free the insides with api_settings_done().
 */
int api_settings_parse(const char *name, const void *data, size_t len, struct utc_time now,
    struct api_settings *ret_settings, struct api_error *ret_error);
void api_settings_done(struct api_settings *settings);

#endif
