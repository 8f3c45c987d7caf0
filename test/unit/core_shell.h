/* SPDX-License-Identifier: MIT */
/*
 * A shell for the core in memory: it keeps what the core wants stored, hands out what was stored, and
 * remembers what was fed and answered. By default everything is done at once; a test that is about the time
 * between asking and getting holds that part back.
 *
 * After every step the core's own invariants are checked.
 */
#ifndef OPTIMUS_TEST_UNIT_CORE_SHELL_H
#define OPTIMUS_TEST_UNIT_CORE_SHELL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/core.h"
#include "queue/error.h"
#include "queue/journal.h"

enum { SHELL_MAX = 4096 };

/* What the core asked of the store and has not heard of. */
struct shell_write {
	enum effect_type type;
	uint64_t token;
	struct opt_id id;
	struct opt_id upload;
	struct opt_id batch;
	struct opt_id node;
	void *data;
	size_t len;
	uint64_t sequence;
};

struct shell_blob {
	struct opt_id id;
	void *data;
	size_t len;
};

struct shell {
	struct core_config config;
	struct core *core;
	struct boot_time now;
	struct utc_time utc;

	/* What is held back until the test says otherwise. */
	bool hold_writes;
	bool hold_loads;
	bool hold_engine;
	bool no_template; /* none is there before one is stored */

	struct shell_write writes[SHELL_MAX];
	size_t write_count;
	struct opt_id loads[SHELL_MAX]; /* shards whose value is asked for */
	bool load_templates[SHELL_MAX]; /* and the template */
	size_t load_count;
	struct opt_id journal_loads[SHELL_MAX];
	uint64_t journal_tokens[SHELL_MAX];
	size_t journal_load_count;
	bool settle, restart, stop; /* asked for */

	/* What is durable. */
	struct shell_blob records[64];
	size_t record_count;
	struct shell_blob entries[SHELL_MAX]; /* of all journals, in the order of their arrival */
	size_t entry_count;
	struct opt_id uploads[64]; /* open ones */
	struct {
		struct opt_id batch, coordinator;
	} upload_abouts[64];
	size_t template_len; /* of the latest upload */
	struct shell_blob registers[64];
	size_t register_count;
	struct shell_blob mark; /* register_mark() */
	uint64_t sequence;      /* queue/lost_writes.h */
	struct {
		struct opt_id shard, upload;
	} values[SHELL_MAX]; /* of shards, their bytes left out */
	size_t value_count;
	size_t upload_count;
	struct opt_id dropped[64]; /* STORE_DROP_UPLOAD */
	size_t dropped_count;

	/* The spool that EVENT_SPOOL tells of. */
	bool spool_alive;
	bool spool_nameless; /* a damaged file is there */
	uint64_t generation;
	struct spool_entry spool[64];
	size_t spool_count;
	char removed[64][64];
	size_t removed_count;

	struct attempt_key fed[SHELL_MAX]; /* in their order */
	size_t fed_count;
	uint64_t outcome_answers[SHELL_MAX];
	size_t outcome_answer_count;
	struct {
		uint64_t reply;
		enum upload_answer answer;
	} upload_answers[64];
	size_t upload_answer_count;
	enum control_answer control_answers[64];
	size_t control_answer_count;
	size_t accepted, done; /* notices */
	struct {
		struct opt_id id, from;
		const char *why;
	} taken[64]; /* the same: shards that it took over */
	size_t taken_count;
	size_t settles;           /* how often the spool was asked for */
	size_t restarts;          /* how often Postfix was started */
	size_t stops;             /* how often it was to be stopped */
	struct boot_time stepped; /* when the core was last stepped */
	uint64_t wake;            /* boot time; 0: nothing asked for */
	size_t timers;            /* EFFECT_TIMERs so far */

	const char *(*domain)(uint32_t index); /* of the mail; NULL: all "example.com" */
	/* Takes the effects that concern other nodes (core_net.h); NULL: they are dropped. */
	void (*other)(struct shell *shell, const struct effect *effect);
	void *net;
};

/* A small window, one domain may hold all of it. */
struct core_config shell_config(void);
/* NULL for shell_config(). The core is started, its Postfix runs. */
struct shell *shell_new(const struct core_config *config);
/* The same before its start: for tests of the start. */
struct shell *shell_new_stopped(const struct core_config *config);
void shell_start(struct shell *shell);
void shell_free(struct shell *shell);
/* The daemon dies and starts again: only what is durable remains. */
void shell_crash(struct shell *shell);

/* Puts an entry into the store, as if it had been written in an earlier life. */
void shell_put_entry(struct shell *shell, const struct opt_id *journal, const struct journal_entry *entry);

void shell_step(struct shell *shell, struct event *event);
/* Does all that is not held back, until nothing is left to do. */
void shell_run(struct shell *shell);
/* Answers the oldest write: 0 stores it. */
void shell_answer_write(struct shell *shell, int status);
/* Answers all that are there now. */
void shell_answer_writes(struct shell *shell, int status);
/* Answers the oldest load of a shard. */
void shell_answer_load(struct shell *shell, int status);
/* Answers the oldest load of a journal with what is durable of it. */
void shell_answer_journal(struct shell *shell);
/* Both clocks go on, with the ticks that were asked for; then shell_run(). */
void shell_advance(struct shell *shell, usec duration);
/* EVENT_TICK now. */
void shell_tick(struct shell *shell);

struct opt_id shell_upload_id(uint32_t number);
struct batch_settings shell_settings(const char *name);
void shell_open(
    struct shell *shell, uint32_t upload, const struct batch_settings *settings, const char *template);
/* `content` stands for the recipients: the same number, the same people. */
void shell_add(struct shell *shell, uint32_t upload, uint32_t count, uint32_t content);
void shell_commit(struct shell *shell, uint32_t upload);
void shell_abort(struct shell *shell, uint32_t upload);
/* Open, one shard, commit, run. The upload's number is chosen. */
void shell_submit(struct shell *shell, const struct batch_settings *settings, uint32_t mails);
void shell_submit_name(struct shell *shell, const char *name, uint32_t mails);
/* The last answer to an upload; fails when there was none. Replies are 1000 + upload, commits 2000 + upload.
 */
enum upload_answer shell_last_answer(const struct shell *shell);

/* The answer to the commit of that upload; false: there is none yet. */
bool shell_committed(const struct shell *shell, uint32_t upload, enum upload_answer *ret_answer);

/* Postfix and pickup speak. None of them runs the shell. */
void shell_tell_fed(struct shell *shell, const struct attempt_key *key, enum fed_status status);
void shell_tell_outcome(
    struct shell *shell, const struct attempt_key *key, enum outcome_kind kind, uint64_t reply);
void shell_tell_left(struct shell *shell, const struct attempt_key *key, uint64_t reply);
void shell_tell_spool(struct shell *shell);
void shell_tell_engine_down(struct shell *shell);
/* It is about to be stopped. */
void shell_tell_engine_ends(struct shell *shell);
void shell_put_in_spool(
    struct shell *shell, const struct attempt_key *key, enum spool_place place, const char *file);

/* EVENT_CONTROL and EVENT_DRAIN. None of them runs the shell. */
void shell_tell_control(struct shell *shell, const char *batch, enum control_what what);
void shell_tell_drain(struct shell *shell, bool on);
/* Gives a command and runs the shell; the answer. */
enum control_answer shell_control(struct shell *shell, const char *batch, enum control_what what);
enum control_answer shell_drain(struct shell *shell, bool on);

/* A copy on the heap; also of nothing. */
void *shell_copy(const void *data, size_t len);
bool shell_answered(const struct shell *shell, uint64_t reply);
/* Whether a write of that type waits for its answer. */
bool shell_waits(const struct shell *shell, enum effect_type type);
struct batch_view shell_view(const struct shell *shell, const char *name);
uint64_t shell_count(const struct shell *shell, const char *name, enum mail_state state);

#endif
