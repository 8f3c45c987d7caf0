/* SPDX-License-Identifier: MIT */
/* See node_check.h. */
#include "daemon/node_check.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "queue/error.h"
#include "queue/record.h"
#include "queue/register.h"

enum { ID_TEXT = OPT_ID_HEX - 1 };

void node_check_read(int status, const char *event)
{
	if (status == 0)
		return;
	log_error(event, "error", opt_strerror(status), NULL);
	exit(1);
}

void node_check_record(const struct span *value)
{
	struct batch_record record;

	if (record_decode(value->data, value->len, &record) != 0) {
		log_error("batch_record_unreadable", "advice",
		    "the store is damaged: restore it, or remove the batch's key", NULL);
		exit(1);
	}
	record_done(&record);
}

static int text_id(const char *text, struct opt_id *ret_id)
{
	char hex[OPT_ID_HEX] = "";

	memcpy(hex, text, ID_TEXT);
	return id_from_hex(hex, ret_id);
}

/* The sequence is a number, or as good as none: the other nodes know it as well (queue/lost_writes.h). */
static bool readable(const struct opt_id *id, const struct span *value)
{
	const struct opt_id sequence = register_sequence();
	struct reg reg;

	if (id_equal(id, &sequence))
		return true;
	if (register_decode(value->data, value->len, &reg) != 0)
		return false;
	register_done(&reg);
	return true;
}

struct opt_id node_check_register(const struct span *field, const struct span *value)
{
	char hex[OPT_ID_HEX] = "";
	struct opt_id id;

	if (field->len == ID_TEXT && text_id(field->data, &id) == 0) {
		if (readable(&id, value))
			return id;
		id_to_hex(&id, hex);
	}
	log_error("register_unreadable", "batch", hex, "advice", "the store is damaged: restore it", NULL);
	exit(1);
}

int node_check_upload(const struct span *field, const struct span *value, struct opt_id *ret_upload,
    struct opt_id *ret_batch, struct opt_id *ret_coordinator)
{
	const char *about = value->data;

	if (field->len != ID_TEXT || value->len != 2 * ID_TEXT + 1 || about[ID_TEXT] != ' ')
		return OPT_E_INVALID;
	if (text_id(field->data, ret_upload) != 0 || text_id(about, ret_batch) != 0 ||
	    text_id(about + ID_TEXT + 1, ret_coordinator) != 0)
		return OPT_E_INVALID;
	return 0;
}
