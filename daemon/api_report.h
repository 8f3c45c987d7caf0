/* SPDX-License-Identifier: MIT */
/*
 * The page that streams the report of a batch.
 */
#ifndef OPTIMUS_DAEMON_API_REPORT_H
#define OPTIMUS_DAEMON_API_REPORT_H

#include <stdbool.h>

#include "daemon/api_request.h"

void api_report_start(struct api_request *request);
void api_report_gone(struct api_request *request, bool completed);

#endif
