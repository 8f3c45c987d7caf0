/* SPDX-License-Identifier: MIT */
/*
 * The page that opens an upload.
 */
#ifndef OPTIMUS_DAEMON_API_OPEN_H
#define OPTIMUS_DAEMON_API_OPEN_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/api_request.h"

void api_open_begin(struct api_request *request);
void api_open_body(struct api_request *request, const char *data, size_t len);
void api_open_end(struct api_request *request);
void api_open_gone(struct api_request *request, bool completed);

#endif
