/* SPDX-License-Identifier: MIT */
/*
 * Shows batches as JSON. The words are those of users: what waits before its acceptance is `ready` too, and a
 * mail in doubt is `claimed`, for nobody outside can do anything about the difference.
 *
 * Views borrow from the core until its next step, so the JSON is made before this returns to the loop.
 */
#include "daemon/api_batches.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api_time.h"

static json_t *time_json(struct utc_time time)
{
	char text[API_TIME_MAX];

	return time.us ? json_string(api_time_format(time, text)) : json_null();
}

static void set_number(json_t *body, const char *name, uint64_t value)
{
	json_object_set_new(body, name, json_integer((json_int_t)value));
}

json_t *api_batch_json(const struct batch_view *view)
{
	const uint64_t *states = view->states;
	json_t *body = json_object();

	json_object_set_new(body, "id", json_string(view->name));
	json_object_set_new(body, "state", json_string(batch_state_name(view->state)));
	set_number(body, "total", view->total);
	set_number(body, "ready", states[MAIL_STAGED] + states[MAIL_READY]);
	set_number(body, "claimed", states[MAIL_CLAIMED] + states[MAIL_IN_DOUBT]);
	set_number(body, "retry", states[MAIL_RETRY]);
	set_number(body, "sent", states[MAIL_SENT]);
	set_number(body, "bounced", states[MAIL_BOUNCED]);
	set_number(body, "expired", states[MAIL_EXPIRED]);
	set_number(body, "cancelled", states[MAIL_CANCELLED]);
	set_number(body, "suppressed", states[MAIL_SUPPRESSED]);
	set_number(body, "unknown", states[MAIL_UNKNOWN]);
	set_number(body, "unavailable", 0); /* every shard has its one replica here */
	set_number(body, "replicas", view->replicas);
	set_number(body, "duplicates", view->duplicates);
	set_number(body, "in_doubt_resent", view->in_doubt_resent);
	json_object_set_new(body, "created", time_json(view->created));
	json_object_set_new(body, "finished", time_json(view->finished));
	return body;
}

/* Newest first; those that are still coming in, which have no time yet, before them; then by name. */
static int newest_first(const void *a, const void *b)
{
	const struct batch_view *one = a, *two = b;
	uint64_t first = one->created.us ? one->created.us : UINT64_MAX;
	uint64_t second = two->created.us ? two->created.us : UINT64_MAX;

	if (first != second)
		return first > second ? -1 : 1;
	return strcmp(one->name, two->name);
}

void api_batches_list(struct api_request *request)
{
	const struct core *core = node_core(request->node);
	struct batch_view *views = NULL, view;
	size_t count = 0, size = 0;
	struct opt_id after;
	json_t *list;

	if (!api_recovered(request))
		return;
	for (int status = core_batch_next(core, NULL, &view); status == 0;
	     status = core_batch_next(core, &after, &view)) {
		after = view.key;
		if (!request->admin && view.uid != request->uid)
			continue;
		if (count == size) {
			size = size ? size * 2 : 64;
			views = realloc(views, size * sizeof views[0]);
			if (!views)
				abort();
		}
		views[count++] = view;
	}
	if (count > 0)
		qsort(views, count, sizeof views[0], newest_first);
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, api_batch_json(&views[i]));
	free(views);
	api_answer(request, MHD_HTTP_OK, json_pack("{s:o}", "batches", list));
}

void api_batches_show(struct api_request *request)
{
	struct batch_view view;

	if (api_batch(request, &view))
		api_answer(request, MHD_HTTP_OK, api_batch_json(&view));
}
