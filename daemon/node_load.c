/* SPDX-License-Identifier: MIT */
/*
 * Reading for the core. Of a shard's value the core gets the destination domains and nothing else: who the
 * recipients are is pickup's business.
 */
#include "daemon/node_load.h"

#include <stdlib.h>

#include "daemon/log.h"
#include "queue/error.h"
#include "queue/journal.h"
#include "queue/message/address.h"
#include "queue/message/recipients.h"

struct load {
	struct node *node;
	struct opt_id id, upload;
	uint64_t token;
};

static struct load *load_new(struct node *node, const struct opt_id *id, uint64_t token)
{
	struct load *load = calloc(1, sizeof(*load));

	if (load == NULL)
		abort();
	load->node = node;
	load->id = *id;
	load->token = token;
	return load;
}

/* An entry that can't be read is a fact that is lost: mails may be sent twice. Somebody has to know. */
static void check_entries(const struct opt_id *id, const struct span *values, size_t count)
{
	struct journal_reader *reader = journal_reader_new();
	struct journal_entry entry;
	char hex[OPT_ID_HEX];

	for (size_t i = 0; i < count; i++) {
		if (journal_read(reader, id, values[i].data, values[i].len, &entry) != 0)
			log_error("journal_entry_unreadable", "journal", id_to_hex(id, hex), "entry",
			    log_u64(i), NULL);
	}
	journal_reader_free(reader);
}

/*
 * Nothing can be said about the mails of a journal that can't be read at all, so a node does not start with
 * it. One that runs leaves those mails alone, and whoever reports about them waits. Reading it again would
 * not help: the store repeats by itself what a lost connection took away.
 */
static void journal_unreadable(const struct load *load, int status)
{
	char hex[OPT_ID_HEX];

	log_error("journal_unreadable", "journal", id_to_hex(&load->id, hex), "error", opt_strerror(status),
	    "advice", "the store is damaged: restore it", NULL);
	if (!core_numbers(node_core(load->node)).recovered)
		exit(1);
}

static void journal_read_done(void *context, int status, const struct span *values, size_t count)
{
	struct load *load = context;
	struct event event = {.type = EVENT_JOURNAL_LOADED};

	if (status != 0 && status != OPT_E_NOT_FOUND) {
		journal_unreadable(load, status);
		free(load);
		return;
	}
	if (status == 0)
		check_entries(&load->id, values, count);
	event.journal_loaded.token = load->token;
	event.journal_loaded.id = load->id;
	event.journal_loaded.status = 0;
	event.journal_loaded.entries = values;
	event.journal_loaded.count = status == 0 ? count : 0;
	node_event(load->node, &event);
	free(load);
}

/* The domains of a shard's recipients, for the order of feeding. */
static void shard_read_done(void *context, int status, const struct span *values, size_t count)
{
	struct load *load = context;
	struct event event = {.type = EVENT_SHARD_LOADED};
	struct recipients *recipients = NULL;
	char(*domains)[ADDRESS_MAX + 1] = NULL;
	const char **pointers = NULL;
	size_t mails = 0;

	if (status == 0)
		status =
		    count == 1 ? recipients_open(values[0].data, values[0].len, &recipients) : OPT_E_INVALID;
	if (status == 0) {
		mails = recipients_count(recipients);
		domains = calloc(mails, sizeof(*domains));
		pointers = calloc(mails, sizeof(*pointers));
		if (domains == NULL || pointers == NULL)
			abort();
		for (size_t i = 0; i < mails; i++)
			pointers[i] = address_domain(recipients_email(recipients, i), domains[i]);
	} else {
		char hex[OPT_ID_HEX];

		log_error("shard_unreadable", "shard", id_to_hex(&load->id, hex), "error",
		    opt_strerror(status), NULL);
	}
	event.shard_loaded.shard = load->id;
	event.shard_loaded.status = status;
	event.shard_loaded.domains = pointers;
	event.shard_loaded.count = mails;
	node_event(load->node, &event);
	recipients_free(recipients);
	free(pointers);
	free(domains);
	free(load);
}

static void value_read_done(void *context, int status, const struct span *values, size_t count)
{
	struct load *load = context;
	struct event event = {.type = EVENT_VALUE_LOADED};

	event.value_loaded.token = load->token;
	event.value_loaded.status = status == 0 && count != 1 ? OPT_E_NOT_FOUND : status;
	if (event.value_loaded.status == 0) {
		event.value_loaded.data = values[0].data;
		event.value_loaded.len = values[0].len;
	}
	node_event(load->node, &event);
	free(load);
}

void node_load_journal(struct node *node, const struct opt_id *id, uint64_t token)
{
	store_read_journal(node_store(node), id, journal_read_done, load_new(node, id, token));
}

void node_load_value(struct node *node, const struct effect *effect)
{
	struct load *load = load_new(node, &effect->id, effect->token);

	if (id_is_zero(&effect->id))
		store_read_template(node_store(node), &effect->upload, value_read_done, load);
	else
		store_read_shard(node_store(node), &effect->id, &effect->upload, value_read_done, load);
}

/* A shard without its template is as good as none. */
static void template_looked_for(void *context, int status, const struct span *values, size_t count)
{
	struct load *load = context;

	(void)values;
	if (status == 0 && count == 1)
		store_read_shard(node_store(load->node), &load->id, &load->upload, shard_read_done, load);
	else
		shard_read_done(load, status == 0 ? OPT_E_NOT_FOUND : status, NULL, 0);
}

void node_load_shard(struct node *node, const struct effect *effect)
{
	struct load *load = load_new(node, &effect->id, 0);

	load->upload = effect->upload;
	if (effect->and_template)
		store_read_template(node_store(node), &effect->upload, template_looked_for, load);
	else
		store_read_shard(node_store(node), &effect->id, &effect->upload, shard_read_done, load);
}
