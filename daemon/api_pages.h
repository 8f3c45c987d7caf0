/* SPDX-License-Identifier: MIT */
/*
 * The pages of the HTTP API.
 */
#ifndef OPTIMUS_DAEMON_API_PAGES_H
#define OPTIMUS_DAEMON_API_PAGES_H

#include "daemon/api_request.h"

/*
 * The page for this path and method, with request->name set from the path. NULL when there is none; then the
 * request is already answered.
 */
const struct api_page *api_page_find(struct api_request *request, const char *url, const char *method);

#endif
