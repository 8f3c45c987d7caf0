/* SPDX-License-Identifier: MIT */
/*
 * The pages by which an open upload becomes a batch: recipients, commit; or giving up.
 */
#ifndef OPTIMUS_DAEMON_API_UPLOAD_H
#define OPTIMUS_DAEMON_API_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/api_request.h"

void api_rows_begin(struct api_request *request);
void api_rows_body(struct api_request *request, const char *data, size_t len);
void api_rows_end(struct api_request *request);
void api_rows_gone(struct api_request *request, bool completed);

void api_commit_begin(struct api_request *request);
void api_commit_body(struct api_request *request, const char *data, size_t len);
void api_commit_end(struct api_request *request);
void api_commit_gone(struct api_request *request, bool completed);

void api_upload_drop(struct api_request *request);

#endif
