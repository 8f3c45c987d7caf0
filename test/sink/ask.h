/* SPDX-License-Identifier: MIT */
/*
 * The other end of the control socket.
 */
#ifndef OPTIMUS_SINK_ASK_H
#define OPTIMUS_SINK_ASK_H

/*
 * Sends one command to the sink at `path` and prints its answer. 0, or 1 when there was no answer, or one
 * that starts with "error".
 */
int ask_control(const char *path, const char *command);

#endif
