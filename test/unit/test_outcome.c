/* SPDX-License-Identifier: MIT */
/*
 * Facts merge to the same state in any order, and Postfix's words mean what they mean.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/outcome.h"

#define EACH_KIND(k)  for (enum outcome_kind k = 0; k < OUTCOME_KINDS; k++)
#define EACH_STATE(s) for (enum mail_state s = 0; s < MAIL_STATES; s++)

static void facts_commute_from_every_state(void **state)
{
	(void)state;
	EACH_STATE(s)
	EACH_KIND(a)
	EACH_KIND(b)
	assert_int_equal(outcome_merge(outcome_merge(s, a), b), outcome_merge(outcome_merge(s, b), a));
}

static void facts_may_be_grouped_as_one_likes(void **state)
{
	(void)state;
	EACH_STATE(s)
	EACH_KIND(a)
	EACH_KIND(b)
	EACH_KIND(c)
	{
		enum mail_state expected = outcome_merge(outcome_merge(outcome_merge(s, a), b), c);

		assert_int_equal(outcome_merge(outcome_merge(outcome_merge(s, c), a), b), expected);
		assert_int_equal(outcome_merge(outcome_merge(outcome_merge(s, b), c), a), expected);
		assert_int_equal(outcome_merge(outcome_merge(outcome_merge(s, c), b), a), expected);
	}
}

static void a_fact_that_comes_twice_changes_nothing(void **state)
{
	(void)state;
	EACH_STATE(s)
	EACH_KIND(a)
	assert_int_equal(outcome_merge(outcome_merge(s, a), a), outcome_merge(s, a));
}

static void the_order_is_sent_bounced_expired_cancelled_suppressed_unknown(void **state)
{
	static const enum outcome_kind order[] = {OUTCOME_UNKNOWN, OUTCOME_SUPPRESSED, OUTCOME_CANCELLED,
	    OUTCOME_EXPIRED, OUTCOME_BOUNCED, OUTCOME_SENT};

	(void)state;
	for (size_t low = 0; low < 6; low++) {
		assert_int_equal(outcome_merge(MAIL_CLAIMED, order[low]), outcome_state(order[low]));
		for (size_t high = low; high < 6; high++)
			assert_int_equal(outcome_merge(outcome_state(order[high]), order[low]),
			    outcome_state(order[high]));
	}
}

static void only_final_facts_settle_a_mail_and_every_merge_is_a_legal_move(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		assert_int_equal(outcome_final(kind), kind >= OUTCOME_UNKNOWN);
		if (outcome_final(kind))
			assert_true(mail_state_final(outcome_state(kind)));
		for (enum mail_state s = MAIL_READY; s < MAIL_STATES; s++) {
			enum mail_state to = outcome_merge(s, kind);

			if (!outcome_final(kind))
				assert_int_equal(to, s);
			assert_true(to == s || mail_move_allowed(s, to));
		}
	}
	assert_false(outcome_final(OUTCOME_KINDS));
}

static void every_kind_has_its_name(void **state)
{
	(void)state;
	assert_string_equal(outcome_kind_name(OUTCOME_DEFERRED), "deferred");
	assert_string_equal(outcome_kind_name(OUTCOME_SENT), "sent");
	EACH_KIND(kind)
	{
		assert_string_not_equal(outcome_kind_name(kind), "invalid");
		EACH_KIND(other)
		if (other != kind)
			assert_string_not_equal(outcome_kind_name(kind), outcome_kind_name(other));
	}
	assert_string_equal(outcome_kind_name(OUTCOME_KINDS), "invalid");
}

static void postfix_is_understood(void **state)
{
	static const struct {
		const char *action, *dsn, *reason;
		enum outcome_kind kind;
	} reports[] = {
	    {"relayed", "2.0.0", "250 2.0.0 Ok: queued as 4Wg3Jp5Kz1", OUTCOME_SENT},
	    {"delivered", "2.0.0", "delivered to mailbox", OUTCOME_SENT},
	    {"expanded", "2.0.0", "alias expanded", OUTCOME_SENT},
	    /* A delivery stays one whatever the words behind it are. */
	    {"relayed", "2.0.0", "delivery temporarily suspended: ha", OUTCOME_SENT},
	    {"failed", "5.1.1",
	        "host mx.example.com[192.0.2.1] said: 550 5.1.1 <jane@example.com>: Recipient address "
	        "rejected: User unknown in local recipient table (in reply to RCPT TO command)",
	        OUTCOME_BOUNCED},
	    {"failed", "5.4.4",
	        "Host or domain name not found. Name service error for name=nowhere.invalid type=A: Host "
	        "not found",
	        OUTCOME_BOUNCED},
	    {"failed", "5.1.0", "Domain example.com does not accept mail (nullMX)", OUTCOME_BOUNCED},
	    {"failed", "4.4.1", "connect to mx.example.com[192.0.2.1]:25: Connection refused",
	        OUTCOME_BOUNCED},
	    {"delayed", "4.4.1", "connect to mx.example.com[192.0.2.1]:25: Connection timed out",
	        OUTCOME_DEFERRED},
	    {"delayed", "4.7.1",
	        "host mx.example.com[192.0.2.1] said: 450 4.7.1 Greylisted, see "
	        "http://postgrey.example.com/help (in reply to RCPT TO command)",
	        OUTCOME_DEFERRED},
	    {"delayed", "4.4.2",
	        "lost connection with mx.example.com[192.0.2.1] while sending end of data -- message may be "
	        "sent more than once",
	        OUTCOME_DEFERRED},
	    {"delayed", "4.4.3",
	        "Host or domain name not found. Name service error for name=example.com type=MX: Host not "
	        "found, try again",
	        OUTCOME_DEFERRED},
	    /* Never tried by qmgr(8). */
	    {"delayed", "4.4.1",
	        "delivery temporarily suspended: connect to mx.example.com[192.0.2.1]:25: Connection refused",
	        OUTCOME_RETURNED},
	    {"delayed", "4.3.0", "delivery temporarily suspended: unknown mail transport error",
	        OUTCOME_RETURNED},
	    {"delayed", "4.3.0", "mail transport unavailable", OUTCOME_RETURNED},
	    {"delayed", "4.3.0", "unknown mail transport error", OUTCOME_RETURNED},
	    /* Our own servers failed: what happened at the other side is not known. */
	    {"delayed", "4.3.0", "4Wg3Jp5Kz1: trace service failed", OUTCOME_IN_DOUBT},
	    {"delayed", "4.3.0", "4Wg3Jp5Kz1: bounce or trace service failure", OUTCOME_IN_DOUBT},
	    /* The same words in the mouth of a remote server are its answer. */
	    {"delayed", "4.3.0",
	        "host mx.example.com[192.0.2.1] said: 451 4.3.0 content service failed (in reply to end of "
	        "DATA command)",
	        OUTCOME_DEFERRED},
	    {"delayed", "4.3.0",
	        "host mx.example.com[192.0.2.1] said: 451 4.3.0 delivery temporarily suspended",
	        OUTCOME_DEFERRED},
	    {"delayed", "4.3.1", "queue file write error", OUTCOME_DEFERRED},
	    {"", "", "", OUTCOME_DEFERRED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
		enum outcome_kind kind =
		    outcome_classify(reports[i].action, reports[i].dsn, reports[i].reason);

		if (kind != reports[i].kind)
			fail_msg("'%s' is taken for %s", reports[i].reason, outcome_kind_name(kind));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(facts_commute_from_every_state),
	    cmocka_unit_test(facts_may_be_grouped_as_one_likes),
	    cmocka_unit_test(a_fact_that_comes_twice_changes_nothing),
	    cmocka_unit_test(the_order_is_sent_bounced_expired_cancelled_suppressed_unknown),
	    cmocka_unit_test(only_final_facts_settle_a_mail_and_every_merge_is_a_legal_move),
	    cmocka_unit_test(every_kind_has_its_name),
	    cmocka_unit_test(postfix_is_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
