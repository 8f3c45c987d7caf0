/* SPDX-License-Identifier: MIT */
/*
 * Where pickup gets its messages from: templates and shards in the node's Redis, kept open as long as they
 * are in use.
 */
#ifndef OPTIMUS_GLUE_SOURCE_H
#define OPTIMUS_GLUE_SOURCE_H

#include <stdbool.h>

#include "queue/id.h"
#include "queue/message/recipients.h"
#include "queue/message/template.h"

struct source;

/*
 * `socket` is the path of Redis's Unix socket. `keep_trying` is asked while Redis is away, about ten times a
 * second, and ends the wait by returning false. Both are borrowed for the source's life.
 */
struct source *source_new(const char *socket, bool (*keep_trying)(void *context), void *context);
void source_free(struct source *source);

/* One shard of one upload, ready to render. Borrowed from the source until the next source_open(). */
struct source_shard {
	const struct template *template;
	const struct recipients *recipients;
};

/*
 * Opens a shard. On failure OPT_E_STORE (Redis is away and stayed away), OPT_E_NOT_FOUND or OPT_E_INVALID,
 * and *ret_reason says why (static memory).
 */
int source_open(struct source *source, const struct opt_id *upload, const struct opt_id *shard,
    struct source_shard *ret_shard, const char **ret_reason);

#endif
