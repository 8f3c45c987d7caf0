/* SPDX-License-Identifier: MIT */
/*
 * Compares the version in the headers with that of the loaded library. Postfix's own check only warns: right
 * for its own programs, which are upgraded together with the library, wrong for ours, which are not.
 */
#include "postfix-glue/version.h"

#include <string.h>

#include <sys_defs.h>
#include <mail_version.h>
#include <msg.h>

void version_require(void)
{
	if (strcmp(DEF_MAIL_VERSION, get_mail_version()) != 0) {
		msg_fatal(
		    "built for Postfix %s, but Postfix %s is installed: rebuild OPTIMUS (scripts/setup)",
		    DEF_MAIL_VERSION, get_mail_version());
	}
}
