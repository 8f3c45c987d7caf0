/* SPDX-License-Identifier: MIT */
/*
 * Shows a batch as JSON. The words are those of users: what waits before its acceptance is `ready` too, and a
 * mail in doubt is `claimed`, for nobody outside can do anything about the difference.
 *
 * Views are borrowed, so the JSON is made before this returns to the loop.
 */
#include "daemon/api_batches.h"

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

void api_batch_add_up(struct batch_view *view)
{
	uint64_t here = 0;

	for (int state = 0; state < MAIL_STATES; state++)
		here += view->states[state];
	view->unavailable = here < view->total ? view->total - here : 0;
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
	set_number(body, "unavailable", view->unavailable);
	set_number(body, "replicas", view->replicas);
	set_number(body, "duplicates", view->duplicates);
	set_number(body, "in_doubt_resent", view->in_doubt_resent);
	json_object_set_new(body, "created", time_json(view->created));
	json_object_set_new(body, "finished", time_json(view->finished));
	return body;
}

static void show(struct api_request *request, const struct batch_view *view)
{
	api_answer(request, MHD_HTTP_OK, api_batch_json(view));
}

void api_batches_show(struct api_request *request)
{
	api_batch(request, show);
}
