/* SPDX-License-Identifier: MIT */
/*
 * What --help prints. docs/man/optimus.1 says the same at length.
 */
#include <stddef.h>
#include <string.h>

#include "daemon/cli_help.h"

static const char OVERVIEW[] = "Usage: optimus [--api ADDRESS] COMMAND [OPTION]...\n"
                               "\n"
                               "Sends mass e-mail through an OPTIMUS cluster and shows what becomes of it.\n"
                               "\n"
                               "Commands:\n"
                               "  send      send a template to a file of recipients\n"
                               "  status    show batches, or one batch\n"
                               "  report    one line for each recipient of a batch\n"
                               "  pause     stop feeding a batch for a while\n"
                               "  resume    go on with it\n"
                               "  cancel    end a batch: what is not sent stays unsent\n"
                               "  nodes     show the cluster's nodes\n"
                               "  drain     let a node claim no more mails\n"
                               "  undrain   let it take part again\n"
                               "  forget    a node is gone for good\n"
                               "  top       watch nodes and batches\n"
                               "  keygen    print a new cluster key\n"
                               "\n"
                               "Options:\n"
                               "  --api ADDRESS   the node to talk to: unix:PATH or http://HOST:PORT\n"
                               "                  (default: OPTIMUS_API, or unix:/run/optimus/api.sock)\n"
                               "  --help          this text; after a command, that command's\n"
                               "  --version       the version\n";

static const char SEND[] =
    "Usage: optimus send --from ADDRESS --template FILE --recipients FILE [OPTION]...\n"
    "\n"
    "Sends the template to every recipient of the file. Prints the batch's id.\n"
    "\n"
    "  --from ADDRESS         envelope sender; {{verp}} in it becomes local=domain of the recipient\n"
    "  --template FILE        the message, headers and body, with {{fields}}\n"
    "  --recipients FILE      CSV with a header line, or NDJSON (.ndjson, .jsonl); - is standard input.\n"
    "                         The column or member \"email\" is the address\n"
    "  --id ID                the batch's id (default: a random one). Repeating a command with the same id\n"
    "                         never sends anything twice\n"
    "  --at TIME              not before: 2026-12-01T08:00:00Z, or +30m from now\n"
    "  --expire DURATION      give up on what is undelivered by then: 90s, 15m, 12h, 5d (default 5d)\n"
    "  --invalid fail|skip    rows that are invalid: send nothing at all (default), or leave them out\n"
    "  --duplicates skip|keep repeated addresses: leave them out (default), or send to them again\n"
    "  --replicas R           nodes that keep each mail, 1 to 7 (default 3)\n"
    "  --priority P           -100 to 100; higher goes first (default 0)\n"
    "  --watch                stay until all is done and show progress on standard error\n"
    "  --json                 print the accepted batch as JSON instead of its id\n";

static const char STATUS[] = "Usage: optimus status [BATCH] [--watch] [--json]\n"
                             "\n"
                             "Shows one batch, or a table of all of them.\n"
                             "\n"
                             "  --watch   stay, and show what changes, until the batch has ended\n"
                             "  --json    print what the node's API gives\n";

static const char REPORT[] =
    "Usage: optimus report BATCH [--format csv|jsonl] [--only STATE]\n"
    "\n"
    "Prints one line for each recipient of the batch.\n"
    "\n"
    "  --format csv|jsonl   CSV with a header line (default), or a JSON object a line\n"
    "  --only STATE         only recipients in that state, such as sent, bounced, retry, expired\n";

static const char NODES[] = "Usage: optimus nodes [--json]\n"
                            "\n"
                            "Shows the cluster's nodes as the one that is asked sees them.\n"
                            "\n"
                            "  --json    print what the node's API gives\n";

static const char PAUSE[] =
    "Usage: optimus pause BATCH\n"
    "\n"
    "Feeds no more of the batch to Postfix until it is resumed. What Postfix has goes on;\n"
    "the time after which mails expire goes on too.\n";

static const char RESUME[] = "Usage: optimus resume BATCH\n"
                             "\n"
                             "Goes on with a batch that was paused.\n";

static const char CANCEL[] =
    "Usage: optimus cancel BATCH\n"
    "\n"
    "Ends the batch for good: what is not in Postfix by now is not sent. What is there is\n"
    "finished, and ends as it ends; nothing is tried again.\n";

static const char DRAIN[] =
    "Usage: optimus drain [NODE]\n"
    "\n"
    "The node claims no more mails, also after a restart, until it is undrained. What its\n"
    "Postfix has goes on. Other nodes take its shards over. NODE is an address, or an id or\n"
    "as many digits of it as no other node's begins with; without it, or with \"self\", the node\n"
    "that is asked.\n";

static const char UNDRAIN[] = "Usage: optimus undrain [NODE]\n"
                              "\n"
                              "A draining node takes part again. NODE as for drain.\n";

static const char FORGET[] =
    "Usage: optimus forget NODE\n"
    "\n"
    "Tells the cluster that a node is gone for good: stop it first. What was on no other\n"
    "node ends as unknown. NODE as for drain; a node can't forget itself.\n";

static const char TOP[] =
    "Usage: optimus top\n"
    "\n"
    "A live view of nodes and batches, for a terminal. q ends it, the arrow keys scroll.\n";

static const char KEYGEN[] =
    "Usage: optimus keygen\n"
    "\n"
    "Prints a new cluster key. All nodes of a cluster share one; keep it in a file that only they can read:\n"
    "\n"
    "  (umask 077; optimus keygen > cluster.key)\n";

const char *help_text(const char *command)
{
	static const struct {
		const char *command;
		const char *text;
	} table[] = {
	    {"send", SEND},
	    {"status", STATUS},
	    {"report", REPORT},
	    {"pause", PAUSE},
	    {"resume", RESUME},
	    {"cancel", CANCEL},
	    {"nodes", NODES},
	    {"drain", DRAIN},
	    {"undrain", UNDRAIN},
	    {"forget", FORGET},
	    {"top", TOP},
	    {"keygen", KEYGEN},
	};

	for (size_t i = 0; command != NULL && i < sizeof table / sizeof table[0]; i++)
		if (strcmp(command, table[i].command) == 0)
			return table[i].text;
	return OVERVIEW;
}
