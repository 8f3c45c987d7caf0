/* SPDX-License-Identifier: MIT */
/*
 * A node between two others and a stranger who say whatever comes to their minds. The bytes choose what
 * happens: messages of every type with fields from a small world that the node knows parts of (a batch with
 * three shards that it keeps, another one that it has not heard of), answers to its own requests, links that
 * go and come, commands, outcomes of mails that it fed, time that passes. Whatever they say, the core ends no
 * program, comes to rest, and keeps the invariants of its own state.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/peer.h"
#include "queue/register.h"
#include "test/unit/core_net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { STEPS_MAX = 48, MAILS = 3, ASKED_MAX = 16, ENTRIES_MAX = 4, STRANGER = 3 };

static const struct opt_id nobody;

/* What the bytes have left, and what their choices may refer to. */
struct world {
	const uint8_t *next, *end;
	struct shell *shell;
	struct buffer records[2]; /* of the batch here, and of the one elsewhere */
	struct {
		enum peer_type type;
		uint64_t token;
	} asked[ASKED_MAX]; /* the latest requests of the node */
	size_t asked_count;
	uint64_t reply;
	/* Effects that want an answer, which comes when the step is over. */
	struct effect loads[ASKED_MAX];
	size_t load_count;
	/* What the message under way points to. */
	struct buffer data, bytes[ENTRIES_MAX];
	struct span entries[ENTRIES_MAX];
	struct shard_counts counts[ENTRIES_MAX];
	struct digest_entry digest[ENTRIES_MAX];
};

static uint32_t draw(struct world *world, uint32_t below)
{
	return world->next == world->end ? 0 : *world->next++ % below;
}

static uint32_t draw_number(struct world *world)
{
	const uint32_t number = draw(world, 16);

	if (number < 14)
		return number;
	return number == 14 ? 500 : PEER_NUMBER_MAX;
}

static const char *draw_name(struct world *world)
{
	return draw(world, 4) == 3 ? "there" : "here";
}

static struct opt_id draw_node(struct world *world)
{
	uint32_t number = draw(world, 5);

	return number == 4 ? nobody : net_node(number);
}

static struct opt_id draw_upload(struct world *world)
{
	uint32_t number = draw(world, 4);

	return number == 3 ? nobody : shell_upload_id(1 + number);
}

static struct opt_id draw_shard(struct world *world)
{
	struct opt_id batch = batch_key(draw_name(world));

	return shard_id(&batch, draw(world, 4));
}

static struct utc_time draw_time(struct world *world)
{
	static const int64_t minutes[] = {0, -1, 1, -60, 60, -10000, 10000, 60 * 24 * 365};
	const uint32_t which = draw(world, 9);

	if (which == 8)
		return (struct utc_time){0};
	return (struct utc_time){world->shell->utc.us + (uint64_t)(minutes[which] * 60000000)};
}

/* ---- what a journal may hold */

static void draw_facts(struct world *world, struct journal_entry *entry, struct claim *claims,
    struct outcome *outcomes, struct opt_id *members)
{
	entry->count = 1 + draw(world, 2);
	for (size_t i = 0; i < entry->count; i++) {
		claims[i] = (struct claim){
		    .index = draw(world, MAILS + 1), .attempt = draw_number(world), .flags = draw(world, 4)};
		outcomes[i] = (struct outcome){.key = {.index = draw(world, MAILS + 1),
		                                   .epoch = draw_number(world),
		                                   .node = draw_node(world),
		                                   .attempt = draw_number(world)},
		    .kind = (enum outcome_kind)draw(world, OUTCOME_KINDS),
		    .claim_flags = draw(world, 4),
		    .dsn = "",
		    .relay = "",
		    .reason = "",
		    .at = draw_time(world)};
		members[i] = draw_node(world);
	}
}

/* Appends an entry's bytes, or nonsense. */
static void draw_entry(struct world *world, struct buffer *out)
{
	struct claim claims[2];
	struct outcome outcomes[2];
	struct opt_id members[2];
	struct journal_entry entry = {.type = (enum journal_type)draw(world, JOURNAL_TOLD + 1)};

	buffer_clear(out);
	if (entry.type == 0) {
		buffer_add(out, "\x93\x01\x02", 1 + draw(world, 3));
		return;
	}
	draw_facts(world, &entry, claims, outcomes, members);
	entry.node = draw_node(world);
	entry.epoch = draw_number(world);
	entry.config = draw_number(world);
	entry.generation = draw(world, 3);
	entry.at = draw_time(world);
	entry.claims = claims;
	entry.outcomes = outcomes;
	entry.members = members;
	entry.control = (struct control){draw(world, 4), (enum control_what)draw(world, 3), entry.at};
	if (entry.type == JOURNAL_FINISHED)
		entry.count = 0;
	journal_encode(&entry, out);
}

/* ---- what a message may hold */

static struct ballot draw_ballot(struct world *world)
{
	struct ballot ballot = {.round = draw(world, 5), .node = draw_node(world)};

	if (ballot.round == 4)
		ballot.round = INT64_MAX;
	return ballot;
}

static void draw_register(struct world *world, struct buffer *out)
{
	struct reg reg = {.promised = draw_ballot(world)};
	const uint32_t which = draw(world, 3);
	const struct ballot ballot = draw_ballot(world);
	const struct opt_id upload = draw_upload(world);

	register_accept(&reg, &ballot, &upload, world->records[which % 2].data,
	    which == 2 ? 0 : world->records[which % 2].len);
	register_encode(&reg, out);
	register_done(&reg);
}

static void draw_data(struct world *world, struct peer_message *message)
{
	buffer_clear(&world->data);
	switch (draw(world, 8)) {
	case 0:
		break;
	case 1:
		draw_register(world, &world->data);
		break;
	case 2:
		draw_entry(world, &world->data);
		break;
	case 3:
		buffer_add(&world->data, "a template or a shard", 21);
		break;
	case 4:
	case 5:
		buffer_add(&world->data, world->records[0].data, world->records[0].len);
		break;
	default:
		buffer_add(&world->data, world->records[1].data, world->records[1].len);
	}
	message->data = world->data.data;
	message->len = world->data.len;
}

static void draw_lists(struct world *world, struct peer_message *message)
{
	bool ids = message->answer && (message->type == PEER_GIVE || message->type == PEER_STATUS);

	message->entry_count = draw(world, ENTRIES_MAX);
	for (size_t i = 0; i < message->entry_count; i++) {
		if (ids) {
			struct opt_id id = draw(world, 2) == 0 ? draw_shard(world) : draw_node(world);

			buffer_clear(&world->bytes[i]);
			buffer_add(&world->bytes[i], id.bytes, OPT_ID_SIZE);
		} else {
			draw_entry(world, &world->bytes[i]);
		}
		world->entries[i] = (struct span){world->bytes[i].data, world->bytes[i].len};
	}
	message->shard_count = draw(world, ENTRIES_MAX);
	for (size_t i = 0; i < message->shard_count; i++) {
		world->counts[i] = (struct shard_counts){.index = (uint32_t)i,
		    .last = draw_time(world),
		    .epoch = draw_number(world),
		    .owner = draw(world, 2) == 1,
		    .finished = draw(world, 2) == 1};
		world->counts[i].states[draw(world, MAIL_STATES)] = (uint16_t)draw_number(world);
	}
	message->member_count = draw(world, 5);
	for (uint32_t i = 0; i < message->member_count; i++)
		message->members[i] = draw_node(world);
}

static void draw_digest(struct world *world, struct peer_message *message)
{
	message->digest_count = draw(world, ENTRIES_MAX);
	for (size_t i = 0; i < message->digest_count; i++) {
		struct digest_entry *entry = &world->digest[i];

		*entry = (struct digest_entry){.beat = draw_number(world),
		    .age = draw(world, 2) == 0 ? 100 : UINT32_MAX,
		    .asks = draw(world, 2) == 1,
		    .forgotten = draw(world, 4) == 3};
		entry->presence = (struct presence){.node = draw_node(world),
		    .incarnation = 1000 + draw_number(world),
		    .sequence = draw_number(world),
		    .weight = WEIGHT_ONE,
		    .flags = draw(world, 8)};
		strcpy(entry->presence.address, "127.0.0.1:4100");
	}
}

static void draw_rest(struct world *world, struct peer_message *message)
{
	const struct opt_id batch = batch_key(draw_name(world));

	message->batch = batch;
	message->upload = draw_upload(world);
	message->shard = draw_shard(world);
	message->node = draw_node(world);
	message->index = draw(world, 4);
	message->epoch = draw_number(world);
	message->config = draw_number(world);
	message->count = draw_number(world);
	message->what = draw(world, 4);
	message->from = draw_number(world);
	message->next = draw_number(world);
	message->version = draw(world, 4);
	if (message->version == 3) {
		message->version = message->given = PEER_VERSION_MAX;
		message->heard = (struct heard_of){.life = 1, .before = PEER_HEARD_MAX};
	}
	message->at = draw_time(world);
	message->ballot = draw_ballot(world);
	message->accepted = draw_ballot(world);
	message->load = (struct peer_load){
	    .ready = draw_number(world), .owned = draw_number(world), .postfix = draw(world, 2)};
	draw_data(world, message);
	draw_lists(world, message);
	draw_digest(world, message);
	message->entries = world->entries;
	message->shards = world->counts;
	message->digest = world->digest;
}

/* ---- what happens */

static void say(struct world *world)
{
	struct peer_message message = {.type = (enum peer_type)(1 + draw(world, PEER_TYPES - 1))};
	struct event event = {.type = EVENT_FRAME, .frame.node = net_node(1 + draw(world, STRANGER))};
	struct buffer out;

	message.token = draw(world, 4);
	if (world->asked_count > 0 && draw(world, 2) == 1) {
		const size_t which = draw(world, ASKED_MAX) % world->asked_count;

		message.answer = true;
		message.type = world->asked[which].type;
		message.token = world->asked[which].token;
		message.status =
		    (enum peer_status)(draw(world, 4) < 3 ? PEER_OK : draw(world, PEER_STATUSES));
	}
	draw_rest(world, &message);
	buffer_init(&out);
	peer_encode(&message, &out);
	event.frame.data = out.data;
	event.frame.len = out.len;
	shell_step(world->shell, &event);
	buffer_done(&out);
}

static void command(struct world *world)
{
	struct event event = {
	    .type = EVENT_QUERY, .query = {.reply = ++world->reply, .batch = draw_name(world)}};

	switch (draw(world, 4)) {
	case 0:
		shell_tell_drain(world->shell, draw(world, 2) == 1);
		return;
	case 1:
		break;
	case 2:
		event = (struct event){.type = EVENT_FORGET,
		    .forget = {.reply = world->reply, .node = net_node(1 + draw(world, STRANGER))}};
		break;
	default:
		event = (struct event){.type = EVENT_CONTROL,
		    .control = {.reply = world->reply,
		        .batch = draw_name(world),
		        .what = (enum control_what)draw(world, 3)}};
	}
	shell_step(world->shell, &event);
}

static void change_link(struct world *world)
{
	static const enum event_type types[] = {EVENT_PEER_DOWN, EVENT_PEER_REFUSED, EVENT_PEER_UP};
	struct event event = {
	    .type = types[draw(world, 3)], .peer.node = net_node(1 + draw(world, STRANGER))};

	shell_step(world->shell, &event);
}

static void speak_postfix(struct world *world)
{
	static const enum outcome_kind kinds[] = {
	    OUTCOME_SENT, OUTCOME_BOUNCED, OUTCOME_DEFERRED, OUTCOME_RETURNED};
	struct shell *shell = world->shell;
	const struct attempt_key *key;

	if (shell->fed_count == 0)
		return;
	key = &shell->fed[draw(world, 256) % shell->fed_count];
	switch (draw(world, 3)) {
	case 0:
		shell_tell_fed(shell, key, draw(world, 2) == 0 ? FED_QUEUED : FED_NOT_NOW);
		return;
	case 1:
		shell_tell_outcome(shell, key, kinds[draw(world, 4)], ++world->reply);
		return;
	default:
		shell_tell_left(shell, key, ++world->reply);
	}
}

/* Long times pass at once, as when the machine sleeps. */
static void pass_time(struct world *world)
{
	static const uint32_t seconds[] = {0, 0, 0, 10, 70, 400};
	const usec slept = seconds[draw(world, 6)] * USEC_PER_SEC;

	world->shell->now.us += slept;
	world->shell->utc.us += slept;
	shell_advance(world->shell, draw(world, 2) == 0 ? USEC_PER_SEC / 10 : 3 * USEC_PER_SEC);
}

/* ---- the node and its surroundings */

static void remember(struct world *world, const struct effect *effect)
{
	struct peer_reader *reader = peer_reader_new();
	struct peer_message message;

	/* Whatever it has heard, what it says can be read. */
	if (peer_read(reader, effect->data, effect->len, &message) != 0)
		abort();
	if (!message.answer && message.type != PEER_HEARTBEAT) {
		size_t at = world->asked_count < ASKED_MAX ? world->asked_count++ : message.token % ASKED_MAX;

		world->asked[at].type = message.type;
		world->asked[at].token = message.token;
	}
	peer_reader_free(reader);
}

static void take_effect(struct shell *shell, const struct effect *effect)
{
	struct world *world = shell->net;

	if (effect->type == EFFECT_SEND)
		remember(world, effect);
	else if ((effect->type == EFFECT_LOAD_VALUE || effect->type == EFFECT_DIRECTORY_GET) &&
	         world->load_count < ASKED_MAX)
		world->loads[world->load_count++] = *effect;
}

static void answer_loads(struct world *world)
{
	while (world->load_count > 0) {
		const struct effect effect = world->loads[--world->load_count];
		struct event event = {.type = EVENT_DIRECTORY, .directory.token = effect.token};

		if (effect.type == EFFECT_LOAD_VALUE) {
			event = (struct event){.type = EVENT_VALUE_LOADED,
			    .value_loaded = {
			        .token = effect.token, .data = "a template or a shard", .len = 21}};
			if (draw(world, 2) == 1)
				event.value_loaded.status = OPT_E_NOT_FOUND;
		}
		shell_step(world->shell, &event);
		shell_run(world->shell);
	}
}

static void meet(struct shell *shell, uint32_t number)
{
	struct presence presence = {.node = net_node(number), .weight = WEIGHT_ONE, .incarnation = 1000};
	struct event event = {.type = EVENT_PRESENCE, .presence.presence = &presence};

	strcpy(presence.address, "127.0.0.1:4100");
	shell_step(shell, &event);
	event = (struct event){.type = EVENT_PEER_UP, .peer.node = presence.node};
	shell_step(shell, &event);
}

static void start(struct world *world)
{
	static const char *const here[] = {"012", "120", "201", NULL}, *const there[] = {"102", "12", NULL};
	struct core_config config = shell_config();
	struct shell *shell;

	config.node = net_node(0);
	config.replicas = 3;
	config.seed = 1;
	config.presence = (struct presence){.node = config.node, .weight = WEIGHT_ONE, .incarnation = 1000};
	strcpy(config.presence.address, "127.0.0.1:4100");
	world->records[0] = net_record("here", "012", here, MAILS);
	world->records[1] = net_record("there", "12", there, MAILS);
	shell = shell_new_stopped(&config);
	world->shell = shell;
	shell->net = (struct net *)world;
	shell->other = take_effect;
	shell->records[0] = (struct shell_blob){
	    .id = batch_key("here"), .data = malloc(world->records[0].len), .len = world->records[0].len};
	memcpy(shell->records[0].data, world->records[0].data, world->records[0].len);
	shell->record_count = 1;
	shell_start(shell);
	meet(shell, 1);
	meet(shell, 2);
}

static void end(struct world *world)
{
	shell_free(world->shell);
	buffer_done(&world->records[0]);
	buffer_done(&world->records[1]);
	buffer_done(&world->data);
	for (size_t i = 0; i < ENTRIES_MAX; i++)
		buffer_done(&world->bytes[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct world world = {.next = data, .end = data + len};

	buffer_init(&world.data);
	for (size_t i = 0; i < ENTRIES_MAX; i++)
		buffer_init(&world.bytes[i]);
	start(&world);
	for (int steps = 0; steps < STEPS_MAX && world.next < world.end; steps++) {
		uint32_t what = draw(&world, 16);

		if (what < 11)
			say(&world);
		else if (what == 11)
			change_link(&world);
		else if (what == 12)
			command(&world);
		else if (what == 13)
			speak_postfix(&world);
		else
			pass_time(&world);
		shell_run(world.shell);
		answer_loads(&world);
	}
	end(&world);
	return 0;
}
