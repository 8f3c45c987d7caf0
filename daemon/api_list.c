/* SPDX-License-Identifier: MIT */
/*
 * Lists the batches that this node knows: those of which it is a home or keeps a shard, and uploads to it.
 *
 * Of many of them it has only some shards, so it asks the cluster for the counts of each, a number of batches
 * at once. What has ended here has ended everywhere and is not asked about. When nobody can tell, the list
 * shows what this node knows, and the rest of the batch's mails as unavailable: one batch that can't be
 * counted does not take the list away.
 */
#include "daemon/api_list.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api_batches.h"

enum { ASKED_AT_ONCE = 128 };

struct entry {
	struct list *list;
	json_t *json; /* what is known so far */
	char name[BATCH_NAME_MAX + 1];
	struct utc_time created;
	uint64_t reply; /* 0: not asked about */
	bool complete;
};

struct list {
	struct api_request *request;
	struct entry *entries;
	size_t count, size;
	size_t next; /* to be asked about */
	size_t asking;
	bool busy; /* go_on() is running */
};

/* Newest first; those that are still coming in, which have no time yet, before them; then by name. */
static int newest_first(const void *a, const void *b)
{
	const struct entry *one = a, *two = b;
	uint64_t first = one->created.us ? one->created.us : UINT64_MAX;
	uint64_t second = two->created.us ? two->created.us : UINT64_MAX;

	if (first != second)
		return first > second ? -1 : 1;
	return strcmp(one->name, two->name);
}

static void list_free(struct list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->entries[i].reply)
			node_forget(list->request->node, list->entries[i].reply);
		json_decref(list->entries[i].json);
	}
	free(list->entries);
	free(list);
}

static void add(struct list *list, struct batch_view *view)
{
	struct entry *entry;

	if (list->count == list->size) {
		list->size = list->size ? list->size * 2 : 64;
		list->entries = realloc(list->entries, list->size * sizeof list->entries[0]);
		if (!list->entries)
			abort();
	}
	api_batch_add_up(view);
	entry = &list->entries[list->count++];
	*entry = (struct entry){.list = list, .created = view->created};
	entry->complete =
	    view->state == BATCH_UPLOADING || (view->finished.us != 0 && view->unavailable == 0);
	strcpy(entry->name, view->name);
	entry->json = api_batch_json(view);
}

static void finish(struct list *list)
{
	struct api_request *request = list->request;
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append(array, list->entries[i].json);
	request->state = NULL;
	list_free(list);
	api_answer(request, MHD_HTTP_OK, json_pack("{s:o}", "batches", array));
}

static void go_on(struct list *list);

static void on_counts(void *context, const struct effect *effect)
{
	struct entry *entry = context;
	struct list *list = entry->list;

	entry->reply = 0;
	list->asking--;
	if (effect->status == 0) {
		json_decref(entry->json);
		entry->json = api_batch_json(effect->view);
	}
	if (!list->busy)
		go_on(list);
}

/* The answer may come inside node_event(). */
static void go_on(struct list *list)
{
	list->busy = true;
	while (list->next < list->count && list->asking < ASKED_AT_ONCE) {
		struct entry *entry = &list->entries[list->next++];
		struct event event = {.type = EVENT_QUERY};

		if (entry->complete)
			continue;
		list->asking++;
		entry->reply = node_expect(list->request->node, on_counts, entry);
		event.query.reply = entry->reply;
		event.query.batch = entry->name;
		node_event(list->request->node, &event);
	}
	list->busy = false;
	if (list->next == list->count && list->asking == 0)
		finish(list);
}

void api_list_start(struct api_request *request)
{
	const struct core *core = node_core(request->node);
	struct batch_view view;
	struct opt_id after;
	struct list *list;

	if (!api_recovered(request))
		return;
	list = calloc(1, sizeof *list);
	if (!list)
		abort();
	list->request = request;
	request->state = list;
	for (int status = core_batch_next(core, NULL, &view); status == 0;
	     status = core_batch_next(core, &after, &view)) {
		after = view.key;
		if (request->admin || view.uid == request->uid)
			add(list, &view);
	}
	if (list->count > 0)
		qsort(list->entries, list->count, sizeof list->entries[0], newest_first);
	go_on(list);
}

void api_list_gone(struct api_request *request, bool completed)
{
	(void)completed;
	if (request->state)
		list_free(request->state);
}
