/* SPDX-License-Identifier: MIT */
/*
 * The check that each of our programs inside Postfix makes first.
 */
#ifndef OPTIMUS_GLUE_VERSION_H
#define OPTIMUS_GLUE_VERSION_H

/*
 * Exits by msg_fatal() unless the Postfix library that is loaded is of the version whose headers the program
 * was compiled with. Internal structures and protocols change between versions without notice.
 */
void version_require(void);

#endif
