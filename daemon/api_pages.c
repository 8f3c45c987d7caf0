/* SPDX-License-Identifier: MIT */
/*
 * The table of the pages, and which of them a request means.
 *
 * A path that exists under another method is answered 405 with Allow, every other one 404. A batch id that
 * can't be one is told so where it would be created; elsewhere such a batch just does not exist.
 */
#include "daemon/api_pages.h"

#include <string.h>

#include "daemon/api_batches.h"
#include "daemon/api_control.h"
#include "daemon/api_list.h"
#include "daemon/api_nodes.h"
#include "daemon/api_open.h"
#include "daemon/api_report.h"
#include "daemon/api_upload.h"
#include "daemon/http_server.h"

static const struct api_page pages[] = {
    {"GET", "/v1/batches", .end = api_list_start, .gone = api_list_gone},
    {"GET", "/v1/batches/*", .end = api_batches_show},
    {"POST", "/v1/batches/*", api_open_begin, api_open_body, api_open_end, api_open_gone},
    {"POST", "/v1/batches/*/recipients", api_rows_begin, api_rows_body, api_rows_end, api_rows_gone},
    {"POST", "/v1/batches/*/commit", api_commit_begin, api_commit_body, api_commit_end, api_commit_gone},
    {"DELETE", "/v1/batches/*/upload", .end = api_upload_drop},
    {"GET", "/v1/batches/*/report", .end = api_report_start, .gone = api_report_gone},
    {"POST", "/v1/batches/*/pause", .end = api_batch_pause},
    {"POST", "/v1/batches/*/resume", .end = api_batch_resume},
    {"POST", "/v1/batches/*/cancel", .end = api_batch_cancel},
    {"GET", "/v1/nodes", .end = api_nodes_list},
    {"GET", "/v1/links", .end = api_links_show},
    {"POST", "/v1/nodes/@/drain", .end = api_node_drain},
    {"POST", "/v1/nodes/@/undrain", .end = api_node_undrain},
    {"POST", "/v1/nodes/@/forget", .end = api_node_forget},
};

enum { PAGES = sizeof pages / sizeof pages[0], NAME_SIZE = API_NAME_MAX + 2 };

/*
 * Whether the path is that of the pattern; what stands for * or @ goes into `name`, cut where it is longer
 * than any name, so that it stays none.
 */
static bool matches(const char *pattern, const char *path, char name[NAME_SIZE])
{
	size_t len;

	name[0] = '\0';
	for (; *pattern && *pattern != '*' && *pattern != '@'; pattern++, path++)
		if (*pattern != *path)
			return false;
	if (!*pattern)
		return !*path;
	len = strcspn(path, "/");
	if (len == 0)
		return false;
	memcpy(name, path, len < NAME_SIZE ? len : NAME_SIZE - 1);
	name[len < NAME_SIZE ? len : NAME_SIZE - 1] = '\0';
	return strcmp(pattern + 1, path + len) == 0;
}

static void refuse_method(struct api_request *request, const char *path)
{
	char allow[64] = "", name[NAME_SIZE];

	for (size_t i = 0; i < PAGES; i++) {
		if (!matches(pages[i].path, path, name))
			continue;
		if (allow[0])
			strcat(allow, ", ");
		strcat(allow, pages[i].method);
	}
	if (!allow[0]) {
		api_fail(request, API_NOT_FOUND, "there is no such page; docs/api.md lists them all");
		return;
	}
	api_fail(request, API_METHOD, "this page only knows %s", allow);
	MHD_add_response_header(request->response, MHD_HTTP_HEADER_ALLOW, allow);
}

static void refuse_name(struct api_request *request, const struct api_page *page)
{
	if (strchr(page->path, '@'))
		api_fail(request, API_NOT_FOUND,
		    "there is no such node, for that is no node's id or address; `optimus nodes` lists them");
	else if (strcmp(page->method, "POST") == 0)
		api_fail(request, API_INVALID,
		    "that is no batch id; use 1 to 64 of A-Z a-z 0-9 . _ - with no . or - in front");
	else
		api_fail(request, API_NOT_FOUND, "there is no such batch, for that is no batch id");
}

static bool name_valid(const struct api_page *page, const char *name)
{
	if (strchr(page->path, '@'))
		return strlen(name) <= API_NAME_MAX;
	return !strchr(page->path, '*') || batch_name_valid(name);
}

const struct api_page *api_page_find(struct api_request *request, const char *url, const char *method)
{
	char name[NAME_SIZE];

	for (size_t i = 0; i < PAGES; i++) {
		if (strcmp(pages[i].method, method) != 0 || !matches(pages[i].path, url, name))
			continue;
		if (!name_valid(&pages[i], name)) {
			refuse_name(request, &pages[i]);
			return NULL;
		}
		strcpy(request->name, name);
		return &pages[i];
	}
	refuse_method(request, url);
	return NULL;
}
