/* SPDX-License-Identifier: MIT */
/*
 * What the world says to the core in a test: clients upload, pickup and Postfix report. Each function is one
 * event, or a few in their usual order; looking at the result is here too.
 */
#include "core_shell.h"

struct opt_id shell_upload_id(uint32_t number)
{
	struct opt_id id;

	memset(id.bytes, 0x75, OPT_ID_SIZE);
	memcpy(id.bytes, &number, sizeof(number));
	return id;
}

struct batch_settings shell_settings(const char *name)
{
	struct batch_settings settings = {.expire = 5 * 86400 * USEC_PER_SEC, .replicas = 1};

	strcpy(settings.name, name);
	strcpy(settings.sender, "bounces@example.org");
	return settings;
}

static struct opt_id hash_of(const char *text, uint32_t number)
{
	struct id_hash hash;

	id_hash_init(&hash);
	id_hash_add(&hash, text, strlen(text));
	id_hash_add(&hash, &number, sizeof(number));
	return id_hash_done(&hash);
}

void shell_open(
    struct shell *shell, uint32_t upload, const struct batch_settings *settings, const char *template)
{
	struct event event = {
	    .type = EVENT_UPLOAD_OPEN,
	    .upload_open =
	        {
	            .reply = 1000 + upload,
	            .upload = shell_upload_id(upload),
	            .settings = settings,
	            .template_hash = hash_of(template, 0),
	            .template_value = template,
	            .template_len = strlen(template),
	        },
	};

	shell_step(shell, &event);
}

void shell_add(struct shell *shell, uint32_t upload, uint32_t count, uint32_t content)
{
	struct event event = {
	    .type = EVENT_UPLOAD_SHARD,
	    .upload_shard =
	        {
	            .upload = shell_upload_id(upload),
	            .count = count,
	            .hash = hash_of("recipients", content),
	            .value = "recipients",
	            .len = 10,
	        },
	};

	shell_step(shell, &event);
}

void shell_commit(struct shell *shell, uint32_t upload)
{
	struct event event = {.type = EVENT_UPLOAD_COMMIT,
	    .upload_commit = {.reply = 2000 + upload, .upload = shell_upload_id(upload)}};

	shell_step(shell, &event);
}

void shell_abort(struct shell *shell, uint32_t upload)
{
	struct event event = {.type = EVENT_UPLOAD_ABORT, .upload_abort.upload = shell_upload_id(upload)};

	shell_step(shell, &event);
}

void shell_submit(struct shell *shell, const struct batch_settings *settings, uint32_t mails)
{
	const uint32_t upload = (uint32_t)(100 + shell->record_count);

	shell_open(shell, upload, settings, "template");
	for (uint32_t shard = 0; mails > 0; shard++) {
		uint32_t count = mails > 500 ? 500 : mails;

		shell_add(shell, upload, count, shard);
		mails -= count;
	}
	shell_commit(shell, upload);
	shell_run(shell);
}

void shell_submit_name(struct shell *shell, const char *name, uint32_t mails)
{
	const struct batch_settings settings = shell_settings(name);

	shell_submit(shell, &settings, mails);
}

enum upload_answer shell_last_answer(const struct shell *shell)
{
	assert_true(shell->upload_answer_count > 0);
	return shell->upload_answers[shell->upload_answer_count - 1].answer;
}

bool shell_committed(const struct shell *shell, uint32_t upload, enum upload_answer *ret_answer)
{
	for (size_t i = 0; i < shell->upload_answer_count; i++) {
		if (shell->upload_answers[i].reply != 2000 + upload)
			continue;
		*ret_answer = shell->upload_answers[i].answer;
		return true;
	}
	return false;
}

void shell_tell_fed(struct shell *shell, const struct attempt_key *key, enum fed_status status)
{
	struct event event = {
	    .type = EVENT_FED, .fed = {.key = *key, .status = status, .reason = "pickup's words"}};

	shell_step(shell, &event);
}

void shell_tell_outcome(
    struct shell *shell, const struct attempt_key *key, enum outcome_kind kind, uint64_t reply)
{
	struct event event = {
	    .type = EVENT_OUTCOME,
	    .outcome =
	        {
	            .reply = reply,
	            .outcome =
	                {
	                    .key = *key,
	                    .kind = kind,
	                    .at = shell->utc,
	                    .dsn = kind == OUTCOME_SENT ? "2.0.0" : "4.0.0",
	                    .relay = "mx.example.com[192.0.2.1]:25",
	                    .reason = "the remote's words",
	                },
	        },
	};

	shell_step(shell, &event);
}

void shell_tell_left(struct shell *shell, const struct attempt_key *key, uint64_t reply)
{
	struct event event = {.type = EVENT_LEFT_SPOOL, .left_spool = {.reply = reply, .key = *key}};

	shell_step(shell, &event);
}

void shell_tell_engine_down(struct shell *shell)
{
	struct event event = {.type = EVENT_ENGINE_DOWN};

	shell->spool_alive = false;
	shell_step(shell, &event);
}

void shell_tell_engine_ends(struct shell *shell)
{
	struct event event = {.type = EVENT_ENGINE_DOWN, .engine_down.lives = true};

	shell_step(shell, &event);
}

void shell_put_in_spool(
    struct shell *shell, const struct attempt_key *key, enum spool_place place, const char *file)
{
	assert_true(shell->spool_count < 64);
	shell->spool[shell->spool_count++] = (struct spool_entry){.key = *key, .place = place, .file = file};
}

bool shell_answered(const struct shell *shell, uint64_t reply)
{
	for (size_t i = 0; i < shell->outcome_answer_count; i++) {
		if (shell->outcome_answers[i] == reply)
			return true;
	}
	return false;
}

bool shell_waits(const struct shell *shell, enum effect_type type)
{
	for (size_t i = 0; i < shell->write_count; i++) {
		if (shell->writes[i].type == type)
			return true;
	}
	return false;
}

struct batch_view shell_view(const struct shell *shell, const char *name)
{
	struct batch_view view;

	assert_int_equal(core_batch(shell->core, name, &view), 0);
	return view;
}

uint64_t shell_count(const struct shell *shell, const char *name, enum mail_state state)
{
	return shell_view(shell, name).states[state];
}

void shell_tell_control(struct shell *shell, const char *batch, enum control_what what)
{
	struct event event = {.type = EVENT_CONTROL, .control = {.reply = 1, .batch = batch, .what = what}};

	shell_step(shell, &event);
}

void shell_tell_drain(struct shell *shell, bool on)
{
	struct event event = {.type = EVENT_DRAIN, .drain = {.reply = 1, .on = on}};

	shell_step(shell, &event);
}

enum control_answer shell_control(struct shell *shell, const char *batch, enum control_what what)
{
	size_t before = shell->control_answer_count;

	shell_tell_control(shell, batch, what);
	shell_run(shell);
	assert_int_equal(shell->control_answer_count, before + 1);
	return shell->control_answers[before];
}

enum control_answer shell_drain(struct shell *shell, bool on)
{
	size_t before = shell->control_answer_count;

	shell_tell_drain(shell, on);
	shell_run(shell);
	assert_int_equal(shell->control_answer_count, before + 1);
	return shell->control_answers[before];
}
