/* SPDX-License-Identifier: MIT */
/*
 * The in-memory shell. The durable part is a list of records and one list of journal entries; a crash throws
 * everything else away. It owns all bytes that it keeps.
 *
 * It is no simulator: nothing happens by chance and nothing goes wrong unless the test says so.
 */
#include "core_shell.h"

#include "queue/register.h"

void *shell_copy(const void *data, size_t len)
{
	void *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

struct core_config shell_config(void)
{
	struct core_config config = core_config_default();

	config.window = 100;
	config.domain_share = 100;
	memset(config.node.bytes, 0x4e, OPT_ID_SIZE);
	return config;
}

static void take_write(struct shell *shell, const struct effect *effect)
{
	assert_true(shell->write_count < SHELL_MAX);
	shell->writes[shell->write_count++] = (struct shell_write){
	    .type = effect->type,
	    .token = effect->token,
	    .id = effect->id,
	    .upload = effect->upload,
	    .batch = effect->batch,
	    .node = effect->node,
	    .data = shell_copy(effect->data, effect->len),
	    .len = effect->len,
	    .sequence = effect->sequence,
	};
}

static void take_feed(struct shell *shell, const struct effect *effect)
{
	for (size_t i = 0; i < effect->mail_count; i++) {
		assert_true(shell->fed_count < SHELL_MAX);
		shell->fed[shell->fed_count++] = (struct attempt_key){
		    .shard = effect->id,
		    .index = effect->mails[i].index,
		    .epoch = effect->epoch,
		    .node = shell->config.node,
		    .attempt = effect->mails[i].attempt,
		};
	}
}

static void take_notice(struct shell *shell, const struct effect *effect)
{
	if (strcmp(effect->text, "shard_taken_over") != 0 || shell->taken_count == 64)
		return;
	shell->taken[shell->taken_count].id = effect->id;
	shell->taken[shell->taken_count].from = effect->node;
	shell->taken[shell->taken_count++].why = effect->why;
}

static void take_effect(struct shell *shell, const struct effect *effect)
{
	switch (effect->type) {
	case EFFECT_STORE_UPLOAD:
	case EFFECT_STORE_SHARD:
	case EFFECT_STORE_COMMIT:
	case EFFECT_STORE_DROP_UPLOAD:
	case EFFECT_STORE_APPEND:
	case EFFECT_STORE_SQUASH:
	case EFFECT_STORE_REGISTER:
		take_write(shell, effect);
		return;
	case EFFECT_LOAD_JOURNAL:
		assert_true(shell->journal_load_count < SHELL_MAX);
		shell->journal_tokens[shell->journal_load_count] = effect->token;
		shell->journal_loads[shell->journal_load_count++] = effect->id;
		return;
	case EFFECT_LOAD_SHARD:
		assert_true(shell->load_count < SHELL_MAX);
		shell->load_templates[shell->load_count] = effect->and_template;
		shell->loads[shell->load_count++] = effect->id;
		return;
	case EFFECT_ENGINE_SETTLE:
		shell->settle = true;
		shell->settles++;
		return;
	case EFFECT_ENGINE_RESTART:
		shell->restart = true;
		return;
	case EFFECT_ENGINE_STOP:
		shell->stop = true;
		shell->stops++;
		return;
	case EFFECT_SPOOL_REMOVE:
		assert_true(shell->removed_count < 64 && strlen(effect->text) < sizeof(shell->removed[0]));
		strcpy(shell->removed[shell->removed_count++], effect->text);
		return;
	case EFFECT_FEED:
		take_feed(shell, effect);
		return;
	case EFFECT_OUTCOME_ANSWER:
		assert_true(shell->outcome_answer_count < SHELL_MAX);
		shell->outcome_answers[shell->outcome_answer_count++] = effect->reply;
		return;
	case EFFECT_UPLOAD_ANSWER:
		assert_true(shell->upload_answer_count < 64);
		shell->upload_answers[shell->upload_answer_count].reply = effect->reply;
		shell->upload_answers[shell->upload_answer_count++].answer = effect->answer;
		return;
	case EFFECT_CONTROL_ANSWER:
		assert_true(shell->control_answer_count < 64);
		shell->control_answers[shell->control_answer_count++] = effect->control;
		return;
	case EFFECT_TIMER:
		shell->wake = effect->deadline.us;
		shell->timers++;
		return;
	case EFFECT_BATCH_ACCEPTED:
		shell->accepted++;
		return;
	case EFFECT_BATCH_DONE:
		shell->done++;
		return;
	case EFFECT_NOTICE:
		take_notice(shell, effect);
		return;
	default:
		if (shell->other != NULL)
			shell->other(shell, effect);
		return;
	}
}

void shell_put_entry(struct shell *shell, const struct opt_id *journal, const struct journal_entry *entry)
{
	struct buffer bytes;

	buffer_init(&bytes);
	journal_encode(entry, &bytes);
	shell->entries[shell->entry_count++] =
	    (struct shell_blob){.id = *journal, .data = bytes.data, .len = bytes.len};
}

void shell_step(struct shell *shell, struct event *event)
{
	struct effects effects;
	const char *broken;

	effects_init(&effects);
	event->now = shell->now;
	event->utc = shell->utc;
	shell->stepped = shell->now;
	core_step(shell->core, event, &effects);
	for (size_t i = 0; i < effects.count; i++)
		take_effect(shell, &effects.items[i]);
	effects_done(&effects);
	broken = core_check(shell->core);
	if (broken != NULL)
		fail_msg("%s", broken);
}

static void forget_upload(struct shell *shell, const struct opt_id *upload)
{
	for (size_t i = 0; i < shell->upload_count; i++) {
		if (!id_equal(&shell->uploads[i], upload))
			continue;
		shell->upload_abouts[i] = shell->upload_abouts[--shell->upload_count];
		shell->uploads[i--] = shell->uploads[shell->upload_count];
	}
}

static void forget_values(struct shell *shell, const struct opt_id *upload)
{
	for (size_t i = 0; i < shell->value_count; i++) {
		if (id_equal(&shell->values[i].upload, upload))
			shell->values[i--] = shell->values[--shell->value_count];
	}
}

static void forget_register(struct shell *shell, const struct opt_id *batch)
{
	for (size_t i = 0; i < shell->register_count; i++) {
		if (!id_equal(&shell->registers[i].id, batch))
			continue;
		free(shell->registers[i].data);
		shell->registers[i--] = shell->registers[--shell->register_count];
	}
}

static struct shell_blob keep(const struct shell_write *write)
{
	return (struct shell_blob){
	    .id = write->id, .data = shell_copy(write->data, write->len), .len = write->len};
}

static void forget_record(struct shell *shell, const struct opt_id *batch)
{
	for (size_t i = 0; i < shell->record_count; i++) {
		if (!id_equal(&shell->records[i].id, batch))
			continue;
		free(shell->records[i].data);
		shell->records[i] = shell->records[--shell->record_count];
		return;
	}
}

static bool is_mark(const struct shell_write *write)
{
	const struct opt_id mark = register_mark();

	return id_equal(&write->id, &mark);
}

static void recover_register(struct shell *shell, const struct shell_blob *blob)
{
	struct event event = {.type = EVENT_RECOVER_REGISTER,
	    .recover_register = {.batch = blob->id, .data = blob->data, .len = blob->len}};

	shell_step(shell, &event);
}

static void recover_sequence(struct shell *shell)
{
	char number[SEQUENCE_TEXT];
	struct shell_blob blob = {.id = register_sequence(), .data = number};

	blob.len = strlen(register_sequence_text(shell->sequence, number));
	recover_register(shell, &blob);
}

static void make_durable(struct shell *shell, const struct shell_write *write)
{
	if (write->sequence > 0)
		shell->sequence = write->sequence;
	switch (write->type) {
	case EFFECT_STORE_UPLOAD:
		assert_true(shell->upload_count < 64);
		shell->template_len = write->len;
		shell->upload_abouts[shell->upload_count].batch = write->id;
		shell->upload_abouts[shell->upload_count].coordinator = write->node;
		shell->uploads[shell->upload_count++] = write->upload;
		return;
	case EFFECT_STORE_SHARD:
		assert_true(shell->value_count < SHELL_MAX);
		shell->values[shell->value_count].shard = write->id;
		shell->values[shell->value_count++].upload = write->upload;
		return;
	case EFFECT_STORE_REGISTER:
		if (is_mark(write)) {
			free(shell->mark.data);
			shell->mark = keep(write);
			return;
		}
		forget_register(shell, &write->id);
		assert_true(shell->register_count < 64);
		if (write->len > 0)
			shell->registers[shell->register_count++] = keep(write);
		return;
	case EFFECT_STORE_COMMIT:
		forget_record(shell, &write->id);
		assert_true(shell->record_count < 64);
		shell->records[shell->record_count++] = keep(write);
		forget_upload(shell, &write->upload);
		forget_register(shell, &write->id);
		return;
	case EFFECT_STORE_DROP_UPLOAD:
		assert_true(shell->dropped_count < 64);
		shell->dropped[shell->dropped_count++] = write->upload;
		forget_values(shell, &write->upload);
		forget_upload(shell, &write->upload);
		return;
	case EFFECT_STORE_APPEND:
		assert_true(shell->entry_count < SHELL_MAX);
		shell->entries[shell->entry_count++] = keep(write);
		return;
	default:
		return;
	}
}

void shell_answer_write(struct shell *shell, int status)
{
	struct shell_write write;
	struct event event = {.type = EVENT_STORE_DONE, .store_done.status = status};

	assert_true(shell->write_count > 0);
	write = shell->writes[0];
	memmove(shell->writes, shell->writes + 1, --shell->write_count * sizeof(write));
	if (status == 0)
		make_durable(shell, &write);
	free(write.data);
	event.store_done.token = write.token;
	shell_step(shell, &event);
}

void shell_answer_writes(struct shell *shell, int status)
{
	for (size_t count = shell->write_count; count > 0; count--)
		shell_answer_write(shell, status);
}

void shell_answer_load(struct shell *shell, int status)
{
	const char *domains[500];
	struct event event = {.type = EVENT_SHARD_LOADED, .shard_loaded.status = status};

	assert_true(shell->load_count > 0);
	if (shell->load_templates[0] && shell->no_template && shell->template_len == 0)
		event.shard_loaded.status = OPT_E_NOT_FOUND;
	event.shard_loaded.shard = shell->loads[0];
	memmove(shell->load_templates, shell->load_templates + 1,
	    (shell->load_count - 1) * sizeof(shell->load_templates[0]));
	memmove(shell->loads, shell->loads + 1, --shell->load_count * sizeof(shell->loads[0]));
	/* How many mails are in it is in the batch's record; here every batch has shards of one size. */
	for (size_t i = 0; i < shell->record_count; i++) {
		struct batch_record record;

		assert_int_equal(record_decode(shell->records[i].data, shell->records[i].len, &record), 0);
		for (uint32_t s = 0; s < record.shard_count; s++) {
			struct opt_id id = shard_id(&shell->records[i].id, s);

			if (id_equal(&id, &event.shard_loaded.shard))
				event.shard_loaded.count = record.shards[s].count;
		}
		record_done(&record);
	}
	for (uint32_t i = 0; i < event.shard_loaded.count; i++)
		domains[i] = shell->domain == NULL ? "example.com" : shell->domain(i);
	event.shard_loaded.domains = domains;
	shell_step(shell, &event);
}

void shell_answer_journal(struct shell *shell)
{
	struct span *spans = calloc(SHELL_MAX, sizeof(*spans));
	struct event event = {.type = EVENT_JOURNAL_LOADED};

	assert_non_null(spans);
	event.journal_loaded.id = shell->journal_loads[0];
	event.journal_loaded.token = shell->journal_tokens[0];
	memmove(shell->journal_tokens, shell->journal_tokens + 1,
	    (shell->journal_load_count - 1) * sizeof(shell->journal_tokens[0]));
	memmove(shell->journal_loads, shell->journal_loads + 1,
	    --shell->journal_load_count * sizeof(shell->journal_loads[0]));
	for (size_t i = 0; i < shell->entry_count; i++) {
		if (id_equal(&shell->entries[i].id, &event.journal_loaded.id))
			spans[event.journal_loaded.count++] =
			    (struct span){shell->entries[i].data, shell->entries[i].len};
	}
	event.journal_loaded.entries = spans;
	shell_step(shell, &event);
	free(spans);
}

void shell_tell_spool(struct shell *shell)
{
	struct event event = {
	    .type = EVENT_SPOOL,
	    .spool =
	        {
	            .alive = shell->spool_alive,
	            .nameless_tried = shell->spool_nameless,
	            .generation = shell->generation,
	            .entries = shell->spool,
	            .count = shell->spool_count,
	        },
	};

	shell->settle = false;
	shell_step(shell, &event);
}

static void start_engine(struct shell *shell)
{
	struct event event = {.type = EVENT_ENGINE_UP, .engine_up.generation = ++shell->generation};

	shell->restart = false;
	shell->restarts++;
	shell->spool_alive = true;
	shell->spool_nameless = false;
	shell->spool_count = 0;
	shell_step(shell, &event);
}

/* In order: what is in active was in nobody's hands. */
static void stop_engine(struct shell *shell)
{
	shell->stop = false;
	for (size_t i = 0; i < shell->spool_count; i++) {
		if (shell->spool[i].place == SPOOL_ACTIVE)
			shell->spool[i].place = SPOOL_INCOMING;
	}
	shell_tell_engine_down(shell);
}

void shell_run(struct shell *shell)
{
	for (int rounds = 0; rounds < 10000; rounds++) {
		if (shell->write_count > 0 && !shell->hold_writes)
			shell_answer_write(shell, 0);
		else if (shell->journal_load_count > 0 && !shell->hold_loads)
			shell_answer_journal(shell);
		else if (shell->load_count > 0 && !shell->hold_loads)
			shell_answer_load(shell, 0);
		else if (shell->stop && !shell->hold_engine)
			stop_engine(shell);
		else if (shell->settle && !shell->hold_engine)
			shell_tell_spool(shell);
		else if (shell->restart && !shell->hold_engine)
			start_engine(shell);
		else
			return;
	}
	fail_msg("the core does not come to rest");
}

void shell_tick(struct shell *shell)
{
	struct event event = {.type = EVENT_TICK};

	shell->wake = 0;
	shell_step(shell, &event);
}

void shell_advance(struct shell *shell, usec duration)
{
	uint64_t end = shell->now.us + duration;

	shell_run(shell);
	for (int ticks = 0; shell->wake != 0 && shell->wake <= end; ticks++) {
		usec passed = shell->wake > shell->now.us ? shell->wake - shell->now.us : 0;

		assert_true(ticks < 10000);
		shell->now.us += passed;
		shell->utc.us += passed;
		shell_tick(shell);
		shell_run(shell);
	}
	shell->utc.us += end - shell->now.us;
	shell->now.us = end;
}

struct shell *shell_new_stopped(const struct core_config *config)
{
	struct shell *shell = calloc(1, sizeof(*shell));

	assert_non_null(shell);
	shell->config = config == NULL ? shell_config() : *config;
	shell->core = core_new(&shell->config);
	shell->now.us = 1000 * USEC_PER_SEC;
	shell->utc.us = UINT64_C(1700000000) * USEC_PER_SEC;
	return shell;
}

void shell_start(struct shell *shell)
{
	const usec away = shell->now.us - shell->stepped.us;
	struct event event;

	for (size_t i = 0; i < shell->record_count; i++) {
		event = (struct event){.type = EVENT_RECOVER_BATCH,
		    .recover_batch = {shell->records[i].data, shell->records[i].len}};
		shell_step(shell, &event);
	}
	for (size_t i = 0; i < shell->upload_count; i++) {
		event = (struct event){.type = EVENT_RECOVER_UPLOAD,
		    .recover_upload = {.upload = shell->uploads[i],
		        .batch = shell->upload_abouts[i].batch,
		        .coordinator = shell->upload_abouts[i].coordinator}};
		shell_step(shell, &event);
	}
	for (size_t i = 0; i < shell->register_count; i++)
		recover_register(shell, &shell->registers[i]);
	if (shell->mark.len > 0)
		recover_register(shell, &shell->mark);
	if (shell->sequence > 0)
		recover_sequence(shell);
	event = (struct event){.type = EVENT_RECOVER_DONE, .recover_done.away = away};
	shell_step(shell, &event);
	shell_run(shell);
}

struct shell *shell_new(const struct core_config *config)
{
	struct shell *shell = shell_new_stopped(config);

	shell_start(shell);
	assert_true(core_numbers(shell->core).engine_up);
	return shell;
}

static void forget_writes(struct shell *shell)
{
	for (size_t i = 0; i < shell->write_count; i++)
		free(shell->writes[i].data);
	shell->write_count = 0;
}

void shell_free(struct shell *shell)
{
	core_free(shell->core);
	forget_writes(shell);
	for (size_t i = 0; i < shell->record_count; i++)
		free(shell->records[i].data);
	for (size_t i = 0; i < shell->register_count; i++)
		free(shell->registers[i].data);
	free(shell->mark.data);
	for (size_t i = 0; i < shell->entry_count; i++)
		free(shell->entries[i].data);
	free(shell);
}

void shell_crash(struct shell *shell)
{
	core_free(shell->core);
	forget_writes(shell);
	shell->load_count = shell->journal_load_count = 0;
	shell->settle = shell->restart = shell->stop = false;
	shell->wake = 0;
	shell->core = core_new(&shell->config);
	shell_start(shell);
}
