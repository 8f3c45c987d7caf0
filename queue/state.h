/* SPDX-License-Identifier: MIT */
/*
 * The inside of the core: what a node remembers. Only queue/ includes this.
 *
 *   core ── batches (by key) ── shards (by index) ── mails (only while something happens to them)
 *     │         └── lanes: mails of this batch that are ready, one queue a destination domain
 *     ├── shards by id, uploads by id, domains by name
 *     ├── peers by id, with the calls (queue/call.h) that they have not answered
 *     ├── writes (queue/write.h): what the store has not answered yet, by token
 *     └── timers, in boot time and in UTC
 *
 * A shard costs about 300 bytes as long as nobody touches it. Its mails get an array of their own when the
 * shard is opened for feeding or a fact about it arrives, and lose it when all of them are final.
 */
#ifndef OPTIMUS_QUEUE_STATE_H
#define OPTIMUS_QUEUE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/core.h"
#include "queue/journal.h"
#include "queue/message/recipients.h"
#include "queue/peer.h"
#include "queue/timer.h"
#include "queue/tree.h"

struct batch;
struct shard;
/* What one part of the core keeps for itself, or has a header of its own for. */
struct call;      /* queue/call.h */
struct write;     /* queue/write.h */
struct upload;    /* queue/upload.h */
struct lane;      /* queue/lane.c */
struct domain;    /* queue/lane.c */
struct sync;      /* queue/sync.c */
struct takeover;  /* queue/takeover.c */
struct stage;     /* queue/stage.c */
struct accept;    /* queue/accept.c */
struct announce;  /* queue/announce.c */
struct proposal;  /* queue/propose.c */
struct registers; /* queue/registers.h */
struct query;     /* queue/query.h */
struct foreign;   /* queue/query.h */
struct telling;   /* queue/tell.c */
struct change;    /* queue/change.c */
struct join;      /* queue/join.c */
struct serve;     /* queue/fetch.c */
struct spread;    /* dht/ring.c */
struct view;      /* dht/view.c */
struct ring;      /* dht/ring.c */

RB_HEAD(call_tree, call);
TAILQ_HEAD(call_list, call);
RB_HEAD(write_tree, write);
TAILQ_HEAD(write_list, write);
RB_HEAD(request_tree, write);
RB_HEAD(upload_tree, upload);
RB_HEAD(domain_tree, domain);
RB_HEAD(hop_tree, hop);
RB_HEAD(lane_tree, lane);
TAILQ_HEAD(lane_list, lane);

/* A node, this one included. Never freed before the core. */
struct peer {
	RB_ENTRY(peer) node; /* by id */
	struct opt_id id;
	TAILQ_ENTRY(peer) links; /* in core->linked, by id, while it is linked */
	TAILQ_ENTRY(peer) needs; /* in core->needed, by id, while its link is needed or wanted */
	bool linked;
	bool in_needed;
	bool wanted;                 /* EFFECT_PEER_WANT was said, for `address` */
	char *address;               /* NULL: it never was */
	struct boot_time needed;     /* when a shard or a call last needed its link */
	struct boot_time held;       /* when the mesh did */
	struct opt_id members;       /* the hash of its members, in its latest heartbeat */
	struct peer_load load;       /* of its latest heartbeat */
	struct boot_time load_at;    /* 0: none yet */
	uint32_t busy_rate;          /* its rate when it last had mails to feed; 0: not known */
	struct boot_time gone_since; /* 0: it is not */
	struct boot_time idle_since; /* its heartbeats say that its Postfix does not run; 0: it does */
	struct boot_time refused_first,
	    refused_last;             /* its port, since it is gone (queue/alone.h); 0: it was not */
	struct boot_time asked_at;    /* for shards, without success; 0: not lately */
	struct boot_time compared_at; /* when it last answered in a sync (queue/sync.h); 0: not yet */
	uint64_t compared;            /* how often it has */
	struct boot_time mute_at;     /* it answered in no sync for long; 0: it has since */
	uint32_t syncs;               /* that wait for its answer */
	struct utc_time utc;          /* its clock then */
	uint64_t seen_incarnation;    /* the one that shards know of */
	struct opt_id homes_pushed; /* the members for which it has pushed what it holds: queue/homesync.h */
	bool homes_new;             /* it does not know yet what was decided before it came */
	bool homes_settled; /* forgotten; everybody else was heard since, so all that it decided is known */
	bool homes_lost;    /* nor has it heard those that it was told to join */
	uint64_t marked;    /* the first write of the mark that names it; 0: the latest does not */
	struct {
		bool away;
		uint32_t owned, shards; /* that wait for it, as of the latest list: queue/member.c */
	} waiting;
	/* Its store's sequence, as it said it: queue/lost_writes.h. */
	struct heard_of heard;
	bool vouched; /* it has said what it heard of our earlier lives */
	bool asks;    /* it wants to be told what we heard of its own */
	struct call_list calls;
	struct request_tree requests; /* the writes for them */
	struct call *ends_call;       /* queue/ends.h */
	struct opt_id ends_batch;     /* the latest one that was looked at, */
	bool ends_begun, ends_left;   /* if any was; whether more are to come */
};
RB_HEAD(peer_tree, peer);
TAILQ_HEAD(peer_list, peer);

enum mail_flag {
	MAIL_IN_LANE = 1,
	MAIL_CLAIM_WRITING = 2, /* the claim is not durable yet: Postfix can't have it */
	MAIL_FEEDING = 4,       /* handed to pickup, which has not answered */
	MAIL_UNCERTAIN = 8,     /* pickup or its connection died in the middle: look into the spool */
	MAIL_LOOKED_FOR = 32,   /* uncertain, and one look into the spool since then did not find it */
	MAIL_AFTER_DOUBT = 16,  /* ready again because its last attempt ended in doubt */
};

struct mail {
	struct domain *domain; /* NULL until the shard is opened */
	struct peer *node;     /* who made its latest claim; NULL: none */
	uint64_t generation;   /* of the spool that its latest claim was meant for */
	uint32_t attempt;      /* of its latest claim; 0: none */
	uint32_t epoch;        /* of its latest claim */
	uint32_t sent_attempt; /* key of its first `sent` */
	uint32_t sent_epoch;
	uint32_t first_try; /* seconds, UTC */
	uint32_t due;       /* RETRY: seconds, boot time */
	uint8_t state;      /* enum mail_state */
	uint8_t flags;      /* enum mail_flag */
};

enum shard_phase {
	SHARD_CLOSED,   /* domains not known: nothing of it can be fed */
	SHARD_LOADING,  /* its value is being read */
	SHARD_OPEN,     /* its ready mails are in lanes */
	SHARD_FINISHED, /* every mail is final */
};

/* What this node knows of a shard's owner, members and promises (queue/header.h). */
enum shard_header {
	HEADER_KNOWN,
	HEADER_UNREAD, /* its batch was over at the start: they are in the journal */
	HEADER_LOADING,
};

/* Whether this node lost writes, and what that means for its vote on a shard (queue/lost_writes.h). */
enum shard_lost {
	LOST_NOTHING,
	LOST_NO_VOTE,  /* not compared with the others since */
	LOST_DOUBTFUL, /* compared with too few: what looks untouched may have been fed */
};

/* A fact that waits for the next write to the journal, with who waits for it. */
struct fact {
	TAILQ_ENTRY(fact) link;
	struct shard *shard;
	uint64_t reply;  /* 0: nobody waits */
	bool left_spool; /* not an outcome, but EVENT_LEFT_SPOOL that came before the journal was read */
	char *file;      /* NULL, or the file in the spool that goes once the fact is durable */
	struct outcome outcome; /* its strings are owned */
};
TAILQ_HEAD(fact_list, fact);

/* Attempts at mails of one shard. An epoch has one owner, so its node need not be named. */
struct attempt_set {
	struct attempt_ref {
		uint32_t index, epoch, attempt;
		bool returned; /* Postfix never tried it */
	} * refs;
	uint32_t count;
};

struct shard {
	RB_ENTRY(shard) node; /* by id */
	TAILQ_ENTRY(shard) closed_link;
	TAILQ_ENTRY(shard) dirty_link;
	struct opt_id id;
	struct batch *batch;
	uint32_t index;
	uint32_t count;
	uint32_t epoch;
	enum shard_phase phase;
	enum shard_header header;
	bool journal_loading; /* facts that arrive wait in `early` */
	struct shard_counts
	    *before;    /* what was known of it before its journal was read again; NULL: nothing */
	bool in_closed; /* in one of the batch's lists of shards to open */
	bool dirty;     /* in the core's list of shards with facts to write */
	uint16_t states[MAIL_STATES];
	uint32_t duplicates;
	uint32_t in_doubt_resent;
	uint32_t writes;               /* of its claims and outcomes, under way */
	struct mail *mails;            /* NULL while all mails are READY without a fact, or all are final */
	struct attempt_set extra_sent; /* the second, third, ... `sent` of a mail: queue/tally.h */
	struct attempt_set resent;     /* claims that repeated an attempt in doubt */
	struct fact_list facts;        /* to be written */
	struct fact_list early;        /* to be taken in once the journal is read */
	struct timer retry;            /* the earliest due of its mails */

	/* Replication (queue/replica.h). A shard of which this node is no member has no facts here. */
	struct peer *members[REPLICAS_MAX];
	uint8_t member_count;
	uint8_t behind;   /* bits of members that lack facts which others have */
	bool mine;        /* this node is a member */
	bool owning;      /* this node feeds it, in `epoch` */
	bool orphan;      /* it took it over from another node: its mails go first */
	bool alone;       /* it does so without the promise of a majority (queue/alone.h) */
	bool synced;      /* its journal was compared with its owner's since one of them was away */
	bool value_here;  /* this node's store has its value; else nobody has looked since the start */
	bool newcomer;    /* it has become a member; the owner has not said that it knows */
	bool cut_off;     /* too few members are alive: nothing of it can be claimed */
	bool resting;     /* its members are silent: nothing of it is claimed for a while */
	uint8_t lost;     /* enum shard_lost */
	bool contested;   /* a member has promised the epoch that this node owns to another one */
	bool reload;      /* more came while the journal was being read */
	bool untold;      /* no member any more, and too few of them may have what is here: queue/left.h */
	uint32_t rereads; /* of its journal, under way: it has more than is known here */
	uint32_t peer_writes; /* appends of peers, under way */
	struct call *catch_up;
	uint32_t config;   /* number of the configuration that `members` is */
	uint32_t promised; /* the highest epoch that was promised or used; `epoch` is that of `owner` */
	struct peer *promised_to;
	struct boot_time promised_at; /* when this node heard of it; 0: in an earlier life */
	struct peer *owner;           /* as far as is known; NULL: nobody */
	uint64_t owner_incarnation;   /* when it was learnt */
	struct utc_time last;         /* of its latest final fact; 0: none */
	struct boot_time owned_at;    /* when this node took it over */
	struct boot_time offered_at;  /* to a node that asked for work; 0: never */
	uint32_t config_used;         /* the highest that this node has made for it */
	struct boot_time config_at;   /* when `config` was learnt */
	bool config_sent; /* this owner needs another epoch: it is not known whether one that it sent counts,
	                     or no number is left */
	struct boot_time heard_at; /* facts of it came, or its owner was asked for them; 0: not yet */
	struct change *change;
	struct call *hand_over;
	struct takeover *takeover;
	struct sync *sync;
	usec claims_rest;             /* the latest rest (queue/silent.h); 0: claims are answered */
	struct boot_time rests_until; /* if it rests */
	struct boot_time unknown_at;  /* when a member last said that it does not know it; 0: never */
	struct timer takeover_timer;  /* boot time */
	struct timer doubt_timer;     /* boot time */
	struct call *claims_told;     /* queue/doubt.c; NULL: answered */
	struct boot_time claims_told_at;
	struct peer *claims_told_to;
};
RB_HEAD(shard_tree, shard);
TAILQ_HEAD(shard_list, shard);

/* Where a batch or the node stands by the operator's commands; queue/control.c keeps it. */
struct control_register {
	struct control now; /* durable */
	uint64_t given;     /* the highest version that any command was given here, durable or not */
	uint64_t taken;     /* the same, durable */
};

struct batch {
	RB_ENTRY(batch) node;  /* by key */
	RB_ENTRY(batch) order; /* by priority, age, key: who is fed first */
	struct opt_id key;
	struct batch_record record;
	struct shard *shards; /* record.shard_count of them */
	uint64_t total;
	uint64_t states[MAIL_STATES];
	uint64_t duplicates;
	uint64_t in_doubt_resent;
	uint32_t unfinished; /* shards */
	uint32_t rereading;  /* shards that were finished, and whose journals are being read again */
	bool started;        /* its start has come */
	bool summary;        /* the counts come from a FINISHED entry; the shards were not read */
	bool done;
	bool in_order;               /* in the core's tree of batches to feed */
	struct utc_time finished;    /* the time of its last final fact here; 0: not done */
	struct utc_time end_version; /* of the latest FINISHED entry in its journal; 0: none */
	bool ended;                  /* that entry says how it ended, and not that it was opened again */
	bool end_held;               /* it ended, and that is to be written when nothing is untold any more */
	uint32_t untold;             /* shards */
	struct opt_id pushed_to;     /* hash of the homes that its record was pushed to: queue/homesync.c */
	struct shard_list closed;    /* shards with ready mails that are to be opened */
	struct shard_list orphans;   /* the same, of those that are opened first */
	uint32_t loading;            /* shards being opened */
	uint64_t lane_mails;         /* in lanes that are not blocked */
	uint64_t lane_blocked;       /* in those that are */
	uint64_t lane_orphans;       /* of orphans, in any lane */
	struct boot_time since;      /* this process knows of it */
	bool template_here;          /* this node's store has it; else nobody has looked since the start */
	struct lane_tree lanes;
	struct lane_list ready; /* lanes that may be fed */
	uint32_t expire_next;   /* the next shard to expire, once the time has come */
	struct timer timer;     /* UTC: start or expiry */
	struct timer rest;      /* boot time: pickup could not take its mails */
	usec rest_time;         /* of the latest rest; 0: a mail was taken since */
	struct control_register control;
	TAILQ_HEAD(, telling) tellings; /* queue/tell.c */
	struct boot_time homes_asked;   /* by queue/tell.c */
	TAILQ_ENTRY(batch) cancelling;
	bool in_cancelling;   /* some of its shards may have mails to cancel */
	uint32_t cancel_next; /* the next of them */
};
RB_HEAD(batch_tree, batch);
RB_HEAD(batch_order, batch);

enum engine_state {
	ENGINE_NONE,      /* the start is not over */
	ENGINE_SETTLING,  /* the shell looks into the spool */
	ENGINE_RESOLVING, /* what was found there is being written down; then Postfix may start */
	ENGINE_STARTING,
	ENGINE_UP,
	ENGINE_STOPPING, /* EFFECT_ENGINE_STOP was said: Postfix still runs */
};

struct core {
	struct core_config config;
	struct boot_time now; /* of this step */
	struct utc_time utc;
	struct effects *effects; /* of this step */

	struct batch_tree batches;
	struct batch_order order;
	struct shard_tree shards;
	struct upload_tree uploads;
	struct domain_tree domains;
	struct hop_tree hops;

	struct write_tree writes;
	uint64_t write_count;
	struct write_list awaited; /* by the store, the oldest first */
	uint64_t awaited_count;
	struct write_list again; /* outcome writes that failed: written again in a moment */
	uint64_t next_token;
	uint32_t claim_writes;
	uint32_t outcome_writes;
	struct shard_list dirty;

	struct control_register drain;
	TAILQ_HEAD(, batch) cancelling;

	bool recover_done; /* all batch records are known */
	uint32_t journals; /* being read */
	bool recovered;    /* all journals are known */

	enum engine_state engine;
	uint64_t generation;
	bool settle_asked;
	bool file_waits;  /* of a Postfix that runs: only the next look tells whether it must go */
	bool master_dead; /* nothing in Postfix takes another mail, until it is started again */
	struct asked_claim {
		struct attempt_key key;
		struct boot_time at;
	} * asked; /* claims that this node is said to have made in shards of others */
	size_t asked_count;
	bool stale;             /* this node was away: others may have sent what is in Postfix */
	uint64_t *held_replies; /* of outcomes, while `stale` */
	size_t held_count, held_size;
	uint32_t resolving; /* outcome writes that ENGINE_RESOLVING waits for */

	uint32_t in_flight;
	uint32_t uncertain;  /* mails with MAIL_UNCERTAIN */
	uint64_t open_mails; /* that are not final, of shards with `mails` */
	uint64_t sent;
	uint32_t unfinished_shards;
	bool feed_held;
	uint32_t resting; /* batches whose `rest` is armed */

	struct timers boot_timers;
	struct timers utc_timers;
	uint64_t timer_told; /* the last deadline of EFFECT_TIMER; 0: none */
	struct timer feed_hold, store_retry, spool_check;
	struct journal_reader *reader;

	/* The cluster (queue/cluster.c). */
	struct peer_tree peers;
	struct peer *self;
	struct peer_list linked; /* those with a link: in a large cluster far fewer than all */
	struct peer_list needed; /* queue/mesh.c */
	struct peer **steps;     /* the members that hold a large cluster together: queue/mesh.c */
	uint32_t step_count;
	bool steps_stale; /* they are to be chosen again */
	struct boot_time steps_at;
	struct opt_id digest_cursor;
	struct view *view;
	struct ring *ring;       /* of the live members */
	struct ring *homes_ring; /* of the members that are not forgotten */
	bool ring_stale;         /* it is to be made again */
	bool homes_stale;
	bool mesh_stale; /* who needs a link is to be looked at again */
	struct call_tree calls;
	uint64_t next_call; /* token */
	struct timer heartbeat;
	bool beating;              /* there was somebody else once */
	struct boot_time beat_at;  /* when the next heartbeats go out */
	bool leaving;              /* EVENT_LEAVE */
	bool clock_wrong;          /* the notice of it was given */
	struct presence published; /* the record that was said last; no incarnation: none yet */
	uint64_t rate_settled;     /* `settled` at the last heartbeats, */
	struct boot_time rate_at;  /* which were then */
	uint32_t rate;             /* settled in a second, in hundredths, smoothed */
	struct peer_reader *peer_reader;
	TAILQ_HEAD(, stage) stages;
	TAILQ_HEAD(, accept) accepts;
	TAILQ_HEAD(, announce) announces;
	TAILQ_HEAD(, proposal) proposals;
	TAILQ_HEAD(, homeread) homereads; /* queue/homeread.c */
	TAILQ_HEAD(, query) queries;
	TAILQ_HEAD(foreign_list, foreign) foreign; /* queue/query.c */
	TAILQ_HEAD(, serve) serves;                /* queue/fetch.c */
	struct registers *registers;
	/* The store's sequence: queue/lost_writes.c. */
	uint64_t sequence;          /* of the latest write */
	uint64_t sequence_durable;  /* what heartbeats say */
	uint64_t sequence_start;    /* what the store had at the start */
	uint64_t sequence_heard;    /* the highest that a peer has heard of our earlier lives */
	bool sequence_answered;     /* at least one has said so */
	bool vouched;               /* all that are there have, or what was lost is made good */
	bool writes_lost;           /* the store came back without some */
	bool writes_missed;         /* it did so in this life: made good or not */
	bool resyncs;               /* there are shards to compare for that */
	uint64_t unreplicated;      /* outcomes that no majority has yet */
	uint32_t held_writes;       /* with `held` */
	uint32_t behind;            /* shards with members that are behind */
	struct opt_id catchup_next; /* the shard that queue/catchup.c looks at next */
	struct opt_id values_next;  /* the same of queue/values.c */
	uint32_t syncs, takeovers;  /* under way */
	uint32_t owned_shards;      /* not finished */
	struct boot_time recovered_at;
	struct boot_time engine_up_at; /* when it was seen running last; 0: not yet */
	struct call *give;             /* queue/move.c */
	uint32_t changes;              /* of members, under way: queue/change.c */
	TAILQ_HEAD(, join) joins;      /* queue/join.c */
	uint32_t join_count;
	struct boot_time give_at;
	uint64_t settled; /* mails of ours with an outcome, since the start */
	uint64_t settled_before;
	struct boot_time progress_at;    /* when one was seen last, or Postfix was empty */
	struct boot_time isolated_since; /* owned shards have no majority; 0: they have */
	bool isolated;                   /* for so long that Postfix has to rest (rule 4) */
	uint64_t random;                 /* state of core_random() */
};

/* A number below `bound`, from the core's own generator. */
uint64_t core_random(struct core *core, uint64_t bound);

static inline uint32_t utc_seconds(struct utc_time t)
{
	return (uint32_t)(t.us / USEC_PER_SEC);
}

#endif
