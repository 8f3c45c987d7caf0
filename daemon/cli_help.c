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
                               "  nodes     show the cluster's nodes\n"
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
    "  --replicas R           nodes that keep each mail (default: the cluster's)\n"
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
	    {"nodes", NODES},
	    {"keygen", KEYGEN},
	};

	for (size_t i = 0; command != NULL && i < sizeof table / sizeof table[0]; i++)
		if (strcmp(command, table[i].command) == 0)
			return table[i].text;
	return OVERVIEW;
}
