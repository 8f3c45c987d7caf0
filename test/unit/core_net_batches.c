/* SPDX-License-Identifier: MIT */
/*
 * The batches of several cores: what a test finds in their stores at the start, what it submits, and how it
 * looks at what became of that.
 */
#include "core_net.h"

#include "queue/shard.h"

struct buffer net_record(const char *name, const char *homes, const char *const *members, uint32_t mails)
{
	struct batch_record record = {.settings = shell_settings(name), .upload = shell_upload_id(1)};
	struct buffer bytes;
	struct opt_id id;

	while (members[record.shard_count] != NULL)
		record.shard_count++;
	record.settings.replicas = (uint32_t)strlen(homes);
	record.created.us = UINT64_C(1700000000) * USEC_PER_SEC;
	record.expires.us = record.created.us + record.settings.expire;
	record.shards = calloc(record.shard_count + 1, sizeof(*record.shards));
	assert_non_null(record.shards);
	for (; homes[record.home_count] != '\0'; record.home_count++) {
		id = net_node((uint32_t)(homes[record.home_count] - '0'));
		assert_int_equal(record_node(&record, &id, &record.homes[record.home_count]), 0);
	}
	for (uint32_t i = 0; i < record.shard_count; i++) {
		struct record_shard *shard = &record.shards[i];

		shard->count = mails;
		for (; members[i][shard->replica_count] != '\0'; shard->replica_count++) {
			id = net_node((uint32_t)(members[i][shard->replica_count] - '0'));
			assert_int_equal(
			    record_node(&record, &id, &shard->replicas[shard->replica_count]), 0);
		}
	}
	buffer_init(&bytes);
	record_encode(&record, &bytes);
	record_done(&record);
	return bytes;
}

void net_put_record(struct net *net, const char *shells, const struct buffer *record)
{
	struct batch_record decoded;

	assert_int_equal(record_decode(record->data, record->len, &decoded), 0);
	for (; *shells != '\0'; shells++) {
		struct shell *shell = net->shells[*shells - '0'];

		shell->records[shell->record_count++] =
		    (struct shell_blob){.id = batch_key(decoded.settings.name),
		        .data = shell_copy(record->data, record->len),
		        .len = record->len};
	}
	record_done(&decoded);
}

void net_put_value(struct net *net, const char *shells, const struct opt_id *id, const struct opt_id *upload,
    const char *data)
{
	assert_true(net->value_count < NET_VALUES_MAX && strlen(data) < sizeof(net->values[0].data));
	net->values[net->value_count].id = *id;
	net->values[net->value_count].upload = *upload;
	net->values[net->value_count].len = strlen(data);
	strcpy(net->values[net->value_count].data, data);
	for (; *shells != '\0'; shells++)
		net->values[net->value_count].shells |= 1U << (*shells - '0');
	net->value_count++;
}

void net_put_batch(struct net *net, const char *shells, const char *name, const char *homes,
    const char *const *members, uint32_t mails)
{
	struct buffer record = net_record(name, homes, members, mails);

	net_put_record(net, shells, &record);
	buffer_done(&record);
}

void net_put_values(struct net *net, const char *shells, const char *name, uint32_t shards)
{
	const struct opt_id key = batch_key(name), upload = shell_upload_id(1);

	for (uint32_t i = 0; i < shards; i++) {
		const struct opt_id id = shard_id(&key, i);

		net_put_value(net, shells, &id, &upload, "recipients");
	}
}

void net_put_template(struct net *net, const char *shells)
{
	const struct opt_id template = {{0}}, upload = shell_upload_id(1);

	net_put_value(net, shells, &template, &upload, "template");
}

void net_start_active(struct net *net, const char *name, uint32_t mails)
{
	struct shell *shell = net->shells[0];
	char all[NET_MAX + 1] = "";
	const char *const members[] = {all, NULL};

	for (uint32_t i = 0; i < net->count; i++)
		all[i] = (char)('0' + i);
	net_put_batch(net, all, name, all, members, mails);
	net_put_values(net, all, name, 1);
	net_start(net);
	net_advance(net, USEC_PER_SEC);
	assert_int_equal(shell->fed_count, mails);
	for (size_t i = 0; i < mails; i++)
		shell_put_in_spool(shell, &shell->fed[i], SPOOL_ACTIVE, "active/x");
}

struct shard *net_shard(const struct net *net, uint32_t number, const char *batch, uint32_t index)
{
	const struct opt_id key = batch_key(batch), id = shard_id(&key, index);

	return shard_find(net->shells[number]->core, &id);
}

void net_submit(struct net *net, uint32_t number, uint32_t upload, const char *name, uint32_t content)
{
	struct batch_settings settings = shell_settings(name);

	settings.replicas = 0;
	shell_open(net->shells[number], upload, &settings, "template");
	shell_add(net->shells[number], upload, 4, content);
	shell_commit(net->shells[number], upload);
}

bool net_said(const struct net *net, uint32_t number, uint32_t upload, enum upload_answer what)
{
	enum upload_answer said;

	return shell_committed(net->shells[number], upload, &said) && said == what;
}

bool net_has_batch(const struct net *net, uint32_t number, const char *name)
{
	struct batch_view view;

	return core_batch(net->shells[number]->core, name, &view) == 0 && view.state != BATCH_UPLOADING;
}

size_t net_fed(const struct net *net)
{
	size_t count = 0;

	for (uint32_t i = 0; i < net->count; i++)
		count += net->shells[i]->fed_count;
	return count;
}
