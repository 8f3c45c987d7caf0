/* SPDX-License-Identifier: MIT */
/*
 * Whether anything of a Postfix instance is still alive that could have something to report.
 */
#ifndef OPTIMUS_GLUE_AFTERLIFE_H
#define OPTIMUS_GLUE_AFTERLIFE_H

#include <stdbool.h>

/*
 * True while the caller's process group holds a process other than the outcome servers and postlogd(8). True
 * also when /proc can't be read. Linux only.
 */
bool afterlife_has_others(void);

#endif
