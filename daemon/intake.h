/* SPDX-License-Identifier: MIT */
/*
 * Uploads under way: what a node knows of a batch between its settings and its commit.
 */
#ifndef OPTIMUS_DAEMON_INTAKE_H
#define OPTIMUS_DAEMON_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/api_request.h"
#include "daemon/api_row.h"
#include "daemon/api_settings.h"
#include "queue/message/buffer.h"
#include "queue/message/recipients.h"

enum {
	INTAKES_MAX = 64,
	INTAKE_PENDING_MAX = 8,          /* shards on their way to the store before reading stops */
	INTAKE_IDLE_MS = 60 * 1000,      /* silence after which an upload is aborted */
	INTAKE_SETTINGS_MAX = 256 << 20, /* bytes of all settings that are being received */
};

struct intake {
	struct intakes *intakes;
	struct opt_id id;
	char name[BATCH_NAME_MAX + 1];
	uid_t uid;
	bool opened;
	struct api_request *request; /* that works on it right now; NULL: none */
	uint64_t reply;              /* that is waited for; 0: none */
	bool waiting;                /* for the store to make room */
	struct api_settings settings;
	struct row_parser *parser;
	struct recipients_writer *writer;
	bool verp; /* the sender depends on the recipient */
	uint64_t rows;
	uint64_t shards;
	struct buffer line; /* the beginning of a row whose end has not come yet */
	struct buffer scratch;
	uv_timer_t idle;
	struct intake *next;
};

struct intakes {
	struct node *node;
	uv_loop_t *loop;
	struct intake *list;
	size_t count;
	size_t settings_bytes;
	uint64_t idle_ms;
};

struct intakes *intakes_new(struct node *node, uv_loop_t *loop);
/* Forgets all uploads. No request may be left. The loop must turn once more. Takes NULL. */
void intakes_free(struct intakes *intakes);
void intakes_set_idle(struct intakes *intakes, uint64_t milliseconds);

/* Takes the insides of settings. */
struct intake *intake_new(struct intakes *intakes, struct api_settings *settings, uid_t uid);
/* Forgets it. What the core knows of it stays. */
void intake_free(struct intake *intake);
/* Tells the core to drop all of it, then forgets it. */
void intake_abort(struct intake *intake);
struct intake *intake_find(struct intakes *intakes, const struct opt_id *id);

/* Starts, or stops, waiting for the client's next request. */
void intake_idle(struct intake *intake, bool on);

/*
 * Takes more bytes of rows in, cut anywhere. On failure a negative code and the error, with its row; the
 * upload is then of no more use.
 */
int intake_rows(struct intake *intake, const char *data, size_t len, struct api_error *ret_error);
/* The end of one request's rows: the last line may have come without its line feed. */
int intake_rows_end(struct intake *intake, struct api_error *ret_error);
/* Hands the last shard over, before the commit. */
void intake_flush(struct intake *intake);

#endif
