/* SPDX-License-Identifier: MIT */
/*
 * The core of a node: everything that OPTIMUS decides, as one function from events to effects.
 *
 * The core reads no clock, does no I/O and draws no randomness of its own. The same code runs in optimusd,
 * under real Redis and real Postfix, and in the simulator, under a virtual clock and every fault that we
 * could think of. What the shell must do in return is little: carry the effects out in their order, and tell
 * the truth in events.
 */
#ifndef OPTIMUS_QUEUE_CORE_H
#define OPTIMUS_QUEUE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/presence.h"
#include "queue/clock.h"
#include "queue/effect.h"
#include "queue/event.h"
#include "queue/id.h"
#include "queue/mail.h"
#include "queue/record.h"

struct core;

struct core_config {
	struct opt_id node;
	uint32_t window;       /* mails inside Postfix, or on their way, at once */
	uint32_t domain_share; /* percent of the window that one destination domain may hold */
	uint32_t claim_group;  /* claims made together */
	usec min_backoff;      /* Postfix's minimal_backoff_time and maximal_backoff_time */
	usec max_backoff;
	usec domain_hold;    /* the first rest of a next hop that Postfix suspended: queue/hop.h */
	const char *relay;   /* one server for all mail; NULL: the domains' mail exchangers. Borrowed */
	char *const *routes; /* "DOMAIN=SERVER", each: for one domain. Borrowed */
	size_t route_count;
	bool resend_in_doubt; /* on_doubt = resend; otherwise a mail in doubt ends unknown */
	uint32_t
	    open_mails_max; /* mails that are not final, of shards that are open; beyond it only to go on */
	struct presence presence;  /* of this node: address, incarnation, weight, version */
	bool company;              /* there are, or were, other members: alone, nothing is accepted */
	bool joins;                /* it was told of nodes to join, and has not heard them: EVENT_JOINED */
	uint32_t replicas;         /* the default R */
	uint32_t unreplicated_max; /* outcomes that may lack a majority while Postfix is answered */
	usec doubt_hold;           /* how long mail in doubt waits for its old owner */
	usec replace_after;        /* how long a member is gone before another one takes its place */
	usec alone_after;     /* how long silence is taken for death where no majority is left; 0: never */
	uint32_t stage_part;  /* bytes of a template that fit into a message */
	uint64_t seed;        /* of the core's own randomness: who tries again when */
	uint32_t broken_rule; /* 0; the simulator plants a bug by its number (enum core_bug) */
};

/* Bugs for the tests of the tests: each breaks one promise, and the simulator must find it. */
enum core_bug {
	CORE_BUG_NONE,
	CORE_BUG_FEED_BEFORE_CLAIM,    /* feeds without waiting for the claim to be durable */
	CORE_BUG_OUTCOME_DROPPED,      /* answers Postfix before the outcome is durable */
	CORE_BUG_ACCEPT_EARLY,         /* says accepted before the record is durable */
	CORE_BUG_SPOOL_FORGOTTEN,      /* takes claims of an older spool for never fed */
	CORE_BUG_STAGED_FED,           /* feeds an upload that was not committed */
	CORE_BUG_RETRY_FORGOTTEN,      /* never wakes a deferred mail again */
	CORE_BUG_DOUBT_AS_SENT,        /* takes a mail that left the spool without a word for sent */
	CORE_BUG_LATE_OUTCOME_IGNORED, /* drops an outcome of an older attempt */
	CORE_BUG_CANCEL_FORGOTTEN,     /* a cancel does not survive a restart */
	CORE_BUG_PAUSE_IGNORED,        /* feeds a paused batch once one of its mails was deferred */
	CORE_BUG_CONTROL_EARLY,        /* says OK to a command before it is durable */
	/* Of a cluster. */
	CORE_BUG_PROMISE_IGNORED,          /* a replica takes claims of a lower epoch than it promised */
	CORE_BUG_OUTCOMES_FENCED,          /* a replica drops outcomes of a lower epoch */
	CORE_BUG_CLAIM_WITHOUT_MAJORITY,   /* feeds when the claim is durable on this node alone */
	CORE_BUG_TAKEOVER_WITHOUT_UNION,   /* owns a shard without asking for what others know */
	CORE_BUG_REGISTER_FORGETS_PROMISE, /* a home answers a proposer without keeping its promise */
	CORE_BUG_STAGE_DROPPED_EARLY,      /* a holder drops staged shards without asking the homes */
	CORE_BUG_CANCEL_NOT_REFUSED,       /* a replica takes claims of a cancelled batch */
	CORE_BUG_CONFIG_OLD_MAJORITY_ONLY, /* new members count when a majority of the old ones knows of them
	                                    */
	CORE_BUG_NEWCOMER_EMPTY,           /* a new member counts before it has anything of the shard */
	CORE_BUG_ALONE_WITHOUT_PROOF,      /* who is away counts as dead at once */
	CORE_BUG_LOST_WRITES_IGNORED,      /* a store that came back older votes as if nothing was missing */
	CORE_BUG_HALF_A_TEMPLATE,          /* what the record overtakes of a template is not waited for */
	CORE_BUG_OUTCOMES_NOT_HELD,        /* answers Postfix however many outcomes lack a majority */
	CORE_BUG_ISOLATION_IGNORED,        /* an owner without a majority lets its Postfix run */
	CORE_BUGS,
};

/* The defaults that optimusd starts from. */
struct core_config core_config_default(void);

struct core *core_new(const struct core_config *config);
void core_free(struct core *core);

/* One event in; effects are appended to the list. Never fails: what can go wrong is an effect. */
void core_step(struct core *core, const struct event *event, struct effects *effects);

/* Looking. Nothing here changes the core. */

enum batch_state {
	BATCH_UPLOADING,
	BATCH_SCHEDULED,
	BATCH_SENDING,
	BATCH_PAUSED,
	BATCH_DONE,
	BATCH_CANCELLED,
};

const char *batch_state_name(enum batch_state state);

struct batch_view {
	const char *name;
	struct opt_id key;
	struct opt_id upload;
	enum batch_state state;
	uint32_t uid;
	uint32_t replicas;
	uint32_t shards;
	uint64_t total;
	uint64_t states[MAIL_STATES]; /* adds up to total */
	uint64_t duplicates;
	uint64_t in_doubt_resent;
	struct utc_time created;  /* 0: not yet */
	struct utc_time finished; /* 0: not yet */
	const char *sender;
	uint64_t unavailable; /* of total, and in no state: no live node has the shard */
};

/* OPT_E_NOT_FOUND when there is none. The view is valid until the next step. */
int core_batch(const struct core *core, const char *name, struct batch_view *ret_view);
/*
 * Every batch, in the order of their keys: starts with after = NULL, goes on with the key of the last one.
 * OPT_E_NOT_FOUND at the end.
 */
int core_batch_next(const struct core *core, const struct opt_id *after, struct batch_view *ret_view);

/* Shards of an upload that are not durable yet: the shell stops reading when there are many. */
uint32_t core_upload_pending(const struct core *core, const struct opt_id *upload);
/* How many shards the upload can have, 0 when there is no such upload. */
uint32_t core_upload_shards_max(const struct core *core, const struct opt_id *upload);
/* Mails of an upload so far, 0 when there is no such upload. */
uint64_t core_upload_mails(const struct core *core, const struct opt_id *upload);

struct core_numbers {
	uint32_t owned;        /* shards that are not finished, owned by this node */
	uint32_t replicas;     /* shards that are not finished, replicated here */
	uint32_t in_flight;    /* mails inside Postfix or on their way */
	uint64_t sent;         /* since the start */
	uint64_t unreplicated; /* outcomes that no majority of their shard's members has yet */
	uint64_t writes;       /* that the store, or a peer, has not answered */
	bool recovered;        /* the start is over */
	bool engine_up;
	bool stale;    /* it was away, and others may have sent what its Postfix has */
	bool draining; /* claims nothing new */
};

struct core_numbers core_numbers(const struct core *core);

/* A member of the cluster, as this node sees it. */
struct member_view {
	struct opt_id id;
	const char *address;
	const char *version;
	const char *state; /* "up", "draining", "suspect", "gone" */
	uint32_t weight;   /* WEIGHT_ONE is an ordinary node */
	bool self;
	bool member; /* else it is shown because something waits for it */
	bool linked;
	bool load_known;   /* the rest comes from its latest heartbeat */
	uint64_t owned;    /* of one that is gone: those of the next that it owned */
	uint64_t replicas; /* of one that is gone: shards of which no member is alive */
	uint64_t in_flight;
	uint64_t sent;
	double rate; /* mails a second */
	bool postfix;
};

/*
 * Members in the order of their ids: NULL to start. OPT_E_NOT_FOUND at the end. Nodes that were forgotten, or
 * that nobody has named since this node's start, are among them, as "gone", while something waits for them.
 */
int core_member_next(const struct core *core, const struct opt_id *after, struct member_view *ret_view);

/*
 * The invariants of the core's own state, walked in full. NULL when they hold, else what is broken. For the
 * simulator and the tests.
 */
const char *core_check(const struct core *core);

#endif
