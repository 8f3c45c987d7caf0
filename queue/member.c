/* SPDX-License-Identifier: MIT */
/* The members as `optimus nodes` shows them: the view's word, and what their heartbeats say. */
#include "queue/cluster.h"
#include "queue/error.h"
#include "queue/heartbeat.h"

static const struct member *member_after(const struct core *core, const struct opt_id *after)
{
	const struct member *member = view_first(core->view);

	while (member != NULL &&
	       (member->forgotten || (after != NULL && id_compare(&member->presence.node, after) <= 0)))
		member = view_next(core->view, member);
	return member;
}

int core_member_next(const struct core *core, const struct opt_id *after, struct member_view *ret_view)
{
	const struct member *member = member_after(core, after);
	const struct peer *peer;
	struct peer_load load;
	bool self;

	if (member == NULL)
		return OPT_E_NOT_FOUND;
	peer = peer_of((struct core *)(uintptr_t)core, &member->presence.node);
	self = peer == core->self;
	load = self ? heartbeat_load(core) : peer->load;
	*ret_view = (struct member_view){
	    .id = member->presence.node,
	    .address = member->presence.address,
	    .version = member->presence.version,
	    .state = member_state_name(member),
	    .weight = member->presence.weight,
	    .self = self,
	    .linked = peer->linked,
	    .load_known = self || peer->load_at.us > 0,
	    .owned = load.owned,
	    .replicas = load.replicas,
	    .in_flight = load.in_flight,
	    .sent = load.sent,
	    .rate = load.rate / 100.0,
	    .postfix = load.postfix != 0,
	};
	return 0;
}
