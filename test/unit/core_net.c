/* SPDX-License-Identifier: MIT */
/* Several cores, with a net between them that loses nothing unless a link is cut. */
#include "core_net.h"

#include <stdio.h>

#include "queue/peer.h"

struct opt_id net_node(uint32_t number)
{
	struct opt_id id;

	memset(id.bytes, 0x11 * (int)(number + 1), OPT_ID_SIZE);
	return id;
}

static uint32_t number_of(const struct net *net, const struct opt_id *node)
{
	for (uint32_t i = 0; i < net->count; i++) {
		if (id_equal(&net->shells[i]->config.node, node))
			return i;
	}
	return net->count;
}

static bool linked(const struct net *net, uint32_t a, uint32_t b)
{
	return !net->cut[a][b] && !net->down[a] && !net->down[b];
}

static bool is_heartbeat(const void *data, size_t len)
{
	return len > 1 && ((const uint8_t *)data)[1] == PEER_HEARTBEAT;
}

static void take_send(struct net *net, uint32_t from, const struct effect *effect)
{
	uint32_t to = number_of(net, &effect->id);

	if (to == net->count || !linked(net, from, to))
		return;
	assert_true(net->frame_count < SHELL_MAX && effect->len <= PEER_MESSAGE_MAX);
	net->frames[net->frame_count++] = (struct net_frame){
	    from, to, net->shells[from]->now, shell_copy(effect->data, effect->len), effect->len};
	if (!is_heartbeat(effect->data, effect->len)) {
		net->sent[from]++;
		net->sent_to[to]++;
	}
}

static void take_view(struct net_answer *answer, const struct effect *effect)
{
	answer->count++;
	answer->status = effect->status;
	if (effect->view == NULL)
		return;
	answer->view = *effect->view;
	strcpy(answer->name, effect->view->name);
	strcpy(answer->sender, effect->view->sender);
	answer->view.name = answer->name;
	answer->view.sender = answer->sender;
}

static void take_fetched(struct net_answer *answer, const struct effect *effect)
{
	assert_true(effect->len <= sizeof(answer->data));
	answer->count++;
	answer->status = effect->status;
	answer->len = effect->len;
	answer->entries = effect->entry_count;
	if (effect->len > 0)
		memcpy(answer->data, effect->data, effect->len);
}

/* Effects that want an answer get it in a step of their own: the one that they come from is not over. */
static struct {
	struct shell *shell;
	struct effect effect;
} asked[64];
static size_t asked_count;

static void take_effect(struct shell *shell, const struct effect *effect)
{
	struct net *net = shell->net;
	uint32_t number = number_of(net, &shell->config.node);

	switch (effect->type) {
	case EFFECT_SEND:
		take_send(net, number, effect);
		return;
	case EFFECT_QUERY_ANSWER:
		take_view(&net->answers[number], effect);
		return;
	case EFFECT_FETCH_ANSWER:
		take_fetched(&net->answers[number], effect);
		return;
	case EFFECT_LOAD_VALUE:
	case EFFECT_DIRECTORY_GET:
		assert_true(asked_count < 64);
		asked[asked_count].shell = shell;
		asked[asked_count++].effect = *effect;
		return;
	default:
		return;
	}
}

static void answer_directory(struct net *net, struct shell *shell, const struct effect *effect)
{
	struct event event = {.type = EVENT_DIRECTORY,
	    .directory = {.token = effect->token,
	        .status = net->directory_status,
	        .homes = net->directory,
	        .count = net->directory_status == 0 ? net->directory_count : 0}};

	net->directory_gets++;
	if (!net->directory_silent)
		shell_step(shell, &event);
}

/* The test has put it there, or the core has stored it. */
static bool has_value(const struct net *net, size_t value, uint32_t number)
{
	const struct shell *shell = net->shells[number];

	if ((net->values[value].shells & 1U << number) != 0)
		return true;
	if (id_is_zero(&net->values[value].id))
		return shell->template_len > 0;
	for (size_t i = 0; i < shell->value_count; i++) {
		if (id_equal(&shell->values[i].shard, &net->values[value].id) &&
		    id_equal(&shell->values[i].upload, &net->values[value].upload))
			return true;
	}
	return false;
}

static void answer_value(struct net *net, struct shell *shell, const struct effect *effect)
{
	struct event event = {
	    .type = EVENT_VALUE_LOADED, .value_loaded = {.token = effect->token, .status = OPT_E_NOT_FOUND}};
	uint32_t number = number_of(net, &shell->config.node);

	for (size_t i = 0; i < net->value_count; i++) {
		if (has_value(net, i, number) && id_equal(&net->values[i].id, &effect->id) &&
		    id_equal(&net->values[i].upload, &effect->upload)) {
			event.value_loaded.status = 0;
			event.value_loaded.data = net->values[i].data;
			event.value_loaded.len = net->values[i].len;
		}
	}
	shell_step(shell, &event);
}

static bool answer_one(struct net *net)
{
	struct shell *shell = asked[0].shell;
	const struct effect effect = asked[0].effect;

	if (asked_count == 0)
		return false;
	memmove(asked, asked + 1, --asked_count * sizeof(asked[0]));
	if (effect.type == EFFECT_LOAD_VALUE)
		answer_value(net, shell, &effect);
	else
		answer_directory(net, shell, &effect);
	return true;
}

static bool deliver_one(struct net *net)
{
	struct event event = {.type = EVENT_FRAME};
	struct net_frame frame;
	size_t i = 0;

	while (i < net->frame_count && net->hold != NULL && net->hold(net, &net->frames[i]))
		i++;
	if (i == net->frame_count)
		return false;
	frame = net->frames[i];
	memmove(net->frames + i, net->frames + i + 1, (--net->frame_count - i) * sizeof(frame));
	event.frame.node = net->shells[frame.from]->config.node;
	event.frame.data = frame.data;
	event.frame.len = frame.len;
	if (linked(net, frame.from, frame.to))
		shell_step(net->shells[frame.to], &event);
	if (linked(net, frame.from, frame.to) && !is_heartbeat(frame.data, frame.len) &&
	    ++net->delivered == net->stop_after)
		net->stop(net);
	free(frame.data);
	return true;
}

void net_run(struct net *net)
{
	for (int rounds = 0; rounds < 100000; rounds++) {
		for (uint32_t i = 0; i < net->count; i++) {
			if (!net->down[i])
				shell_run(net->shells[i]);
		}
		if (!answer_one(net) && !deliver_one(net))
			return;
	}
	fail_msg("the cores do not come to rest");
}

static void set_clocks(struct net *net, uint64_t now)
{
	for (uint32_t i = 0; i < net->count; i++) {
		net->shells[i]->utc.us += now - net->shells[i]->now.us;
		net->shells[i]->now.us = now;
	}
}

void net_advance(struct net *net, usec duration)
{
	uint64_t end = net->shells[0]->now.us + duration;

	net_run(net);
	for (int ticks = 0; ticks < 100000; ticks++) {
		struct shell *next = NULL;

		for (uint32_t i = 0; i < net->count; i++) {
			if (!net->down[i] && net->shells[i]->wake != 0 && net->shells[i]->wake <= end &&
			    (next == NULL || net->shells[i]->wake < next->wake))
				next = net->shells[i];
		}
		if (next == NULL) {
			set_clocks(net, end);
			return;
		}
		if (next->wake > next->now.us)
			set_clocks(net, next->wake);
		shell_tick(next);
		net_run(net);
	}
	fail_msg("the cores never sleep");
}

struct net *net_new(uint32_t count, uint32_t replicas)
{
	struct net *net = calloc(1, sizeof(*net));

	assert_non_null(net);
	assert_true(count <= NET_MAX);
	asked_count = 0;
	net->count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct core_config config = shell_config();

		config.node = net_node(i);
		config.replicas = replicas;
		config.seed = i + 1;
		config.presence.node = config.node;
		config.presence.weight = WEIGHT_ONE;
		config.presence.incarnation = 1000 + i;
		snprintf(config.presence.address, sizeof(config.presence.address), "127.0.0.1:%u", 4100 + i);
		net->shells[i] = shell_new_stopped(&config);
		net->shells[i]->other = take_effect;
		net->shells[i]->net = net;
	}
	return net;
}

void net_free(struct net *net)
{
	for (uint32_t i = 0; i < net->count; i++)
		shell_free(net->shells[i]);
	for (size_t i = 0; i < net->frame_count; i++)
		free(net->frames[i].data);
	free(net);
}

static void tell_peer(struct net *net, uint32_t to, uint32_t about, enum event_type type)
{
	struct event event = {.type = type, .peer.node = net->shells[about]->config.node};

	if (!net->down[to])
		shell_step(net->shells[to], &event);
}

void net_set_broken(struct net *net, uint32_t rule)
{
	for (uint32_t i = 0; i < net->count; i++) {
		struct shell *shell = net->shells[i];

		shell->config.broken_rule = rule;
		core_free(shell->core);
		shell->core = core_new(&shell->config);
	}
}

/* Two nodes hear of each other and get a link. */
static void meet(struct net *net, uint32_t a, uint32_t b)
{
	struct event event = {.type = EVENT_PRESENCE, .presence.presence = &net->shells[b]->config.presence};

	if (!linked(net, a, b))
		return;
	shell_step(net->shells[a], &event);
	event.presence.presence = &net->shells[a]->config.presence;
	shell_step(net->shells[b], &event);
	tell_peer(net, a, b, EVENT_PEER_UP);
	tell_peer(net, b, a, EVENT_PEER_UP);
}

void net_start(struct net *net)
{
	for (uint32_t i = 0; i < net->count; i++) {
		if (!net->down[i])
			shell_start(net->shells[i]);
	}
	for (uint32_t i = 0; i < net->count; i++) {
		for (uint32_t k = 0; k < i; k++)
			meet(net, i, k);
	}
	net_advance(net, 2 * USEC_PER_SEC);
	memset(net->sent, 0, sizeof(net->sent));
	memset(net->sent_to, 0, sizeof(net->sent_to));
}

void net_restart(struct net *net, uint32_t number)
{
	struct shell *shell = net->shells[number];

	net->down[number] = false;
	shell->config.presence.incarnation += 1000;
	for (uint32_t i = 0; i < net->count; i++) {
		if (i != number && linked(net, i, number))
			tell_peer(net, i, number, EVENT_PEER_DOWN);
	}
	shell_crash(shell);
	for (uint32_t i = 0; i < net->count; i++) {
		if (i != number)
			meet(net, i, number);
	}
}

void net_resume(struct net *net, uint32_t number)
{
	net->down[number] = false;
	for (uint32_t i = 0; i < net->count; i++) {
		if (i == number)
			continue;
		tell_peer(net, number, i, EVENT_PEER_DOWN);
		meet(net, i, number);
	}
}

void net_cut(struct net *net, uint32_t a, uint32_t b)
{
	net->cut[a][b] = net->cut[b][a] = true;
	tell_peer(net, a, b, EVENT_PEER_DOWN);
	tell_peer(net, b, a, EVENT_PEER_DOWN);
}

void net_link(struct net *net, uint32_t a, uint32_t b)
{
	net->cut[a][b] = net->cut[b][a] = false;
	tell_peer(net, a, b, EVENT_PEER_UP);
	tell_peer(net, b, a, EVENT_PEER_UP);
}

void net_kill(struct net *net, uint32_t number)
{
	net->down[number] = true;
	for (uint32_t i = 0; i < net->count; i++) {
		if (i == number)
			continue;
		tell_peer(net, i, number, EVENT_PEER_DOWN);
		tell_peer(net, i, number, EVENT_PEER_REFUSED);
	}
}

void net_refuse(struct net *net, uint32_t number)
{
	for (uint32_t i = 0; i < net->count; i++) {
		if (i != number)
			tell_peer(net, i, number, EVENT_PEER_REFUSED);
	}
}

void net_forget(struct net *net, uint32_t number, uint32_t node)
{
	struct event event = {.type = EVENT_FORGET, .forget = {.reply = 1, .node = net_node(node)}};

	shell_step(net->shells[number], &event);
}

void net_query(struct net *net, uint32_t number, const char *batch)
{
	struct event event = {.type = EVENT_QUERY, .query = {.reply = 1, .batch = batch}};

	shell_step(net->shells[number], &event);
}

void net_fetch(struct net *net, uint32_t number, const char *batch, uint32_t index)
{
	struct event event = {
	    .type = EVENT_FETCH, .fetch = {.reply = 1, .batch = batch_key(batch), .index = index}};

	shell_step(net->shells[number], &event);
}
