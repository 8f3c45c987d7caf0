/* SPDX-License-Identifier: MIT */
/*
 * Several cores in one test: shells in memory (core_shell.h) whose messages are delivered in their order, as
 * long as the link between the two is not cut. All clocks are one.
 *
 * Values of shards are in every shell's store that the test put them in.
 */
#ifndef OPTIMUS_TEST_UNIT_CORE_NET_H
#define OPTIMUS_TEST_UNIT_CORE_NET_H

#include "core_shell.h"

struct shard;

enum { NET_MAX = 8, NET_VALUES_MAX = 256 };

struct net_frame {
	uint32_t from, to;
	struct boot_time at;
	void *data;
	size_t len;
};

/* The latest answer to a question, in memory of its own. */
struct net_answer {
	size_t count; /* answers so far */
	int status;
	struct batch_view view;
	char name[BATCH_NAME_MAX + 1];
	char sender[BATCH_SENDER_MAX + 1];
	char data[4096];
	size_t len;
	size_t entries;
};

struct net {
	uint32_t count;
	struct shell *shells[NET_MAX];
	bool down[NET_MAX];         /* its process is not there */
	bool cut[NET_MAX][NET_MAX]; /* no link between the two */
	struct net_frame frames[SHELL_MAX];
	size_t frame_count;
	size_t sent[NET_MAX]; /* messages, heartbeats not counted */
	size_t sent_to[NET_MAX];
	struct net_answer answers[NET_MAX];
	size_t delivered;  /* messages, heartbeats not counted */
	size_t stop_after; /* so many: then `stop` is called */
	void (*stop)(struct net *net);
	bool (*hold)(const struct net *net, const struct net_frame *frame); /* it is still on its way */
	struct opt_id directory[NET_MAX]; /* what EFFECT_DIRECTORY_GET finds */
	size_t directory_count;
	int directory_status;
	bool directory_silent; /* it never answers */
	size_t directory_gets;
	struct {
		struct opt_id id, upload;
		char data[4096];
		size_t len;
		uint32_t shells; /* bits */
	} values[NET_VALUES_MAX];
	size_t value_count;
};

/* Not started yet: the test may put records into the shells. R is `replicas`. */
struct net *net_new(uint32_t count, uint32_t replicas);
void net_free(struct net *net);
/* Plants a bug into all of them, before net_start(). */
void net_set_broken(struct net *net, uint32_t rule);
/* Starts all that are not `down`, lets them know each other and links them. */
void net_start(struct net *net);
struct opt_id net_node(uint32_t number);

/*
 * The record of a batch with one shard for each line of `members`, which ends with NULL: the numbers
 * of its members, the owner first ("012"). Each shard has `mails` mails. The homes are the members of
 * `homes`.
 */
struct buffer net_record(const char *name, const char *homes, const char *const *members, uint32_t mails);
/* Puts the record into the stores of these shells ("013"), before net_start(). */
void net_put_record(struct net *net, const char *shells, const struct buffer *record);
/* Both of them. */
void net_put_batch(struct net *net, const char *shells, const char *name, const char *homes,
    const char *const *members, uint32_t mails);
/* A value of a shard in these shells' stores. */
void net_put_value(struct net *net, const char *shells, const struct opt_id *id, const struct opt_id *upload,
    const char *data);
/* Values of the first `shards` shards of net_record()'s batch, and of its template. */
void net_put_values(struct net *net, const char *shells, const char *name, uint32_t shards);
void net_put_template(struct net *net, const char *shells);
/*
 * Starts with a batch of one shard that all are members of. Node 0 owns it, and has all of its mails in its
 * Postfix's active queue.
 */
void net_start_active(struct net *net, const char *name, uint32_t mails);
/* What the core of that node has of the batch's shard (queue/state.h); NULL: nothing. */
struct shard *net_shard(const struct net *net, uint32_t number, const char *batch, uint32_t index);

/* Delivers and answers until nothing is left to do. */
void net_run(struct net *net);
/* All clocks go on. */
void net_advance(struct net *net, usec duration);
/* Breaks or makes a link; both sides hear of it. */
void net_cut(struct net *net, uint32_t a, uint32_t b);
void net_link(struct net *net, uint32_t a, uint32_t b);
/* kill -9: its links break, and dials of its port are refused. */
void net_kill(struct net *net, uint32_t number);
/* SIGCONT, after net_kill() that was but a SIGSTOP: it goes on, and meets all that are there. */
void net_resume(struct net *net, uint32_t number);
/* Everybody dials it once more, and is refused. */
void net_refuse(struct net *net, uint32_t number);
/* It starts (again), as a new incarnation with what is durable, and meets all that are there. */
void net_restart(struct net *net, uint32_t number);

/*
 * A submission to that node: four mails, on as many replicas as is usual. `content` stands for the
 * recipients, as in shell_add().
 */
void net_submit(struct net *net, uint32_t number, uint32_t upload, const char *name, uint32_t content);
/* Whether that was its answer to the commit. */
bool net_said(const struct net *net, uint32_t number, uint32_t upload, enum upload_answer what);
/* Whether that node shows the batch as accepted. */
bool net_has_batch(const struct net *net, uint32_t number, const char *name);
/* Mails that the Postfix of all nodes was given. */
size_t net_fed(const struct net *net);
/* The operator says on `number` that `node` will not come back. */
void net_forget(struct net *net, uint32_t number, uint32_t node);

/* EVENT_QUERY to that node. The answer may come later. */
void net_query(struct net *net, uint32_t number, const char *batch);
/* EVENT_FETCH */
void net_fetch(struct net *net, uint32_t number, const char *batch, uint32_t index);

#endif
