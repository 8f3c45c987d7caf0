/* SPDX-License-Identifier: MIT */
/*
 * Whether Postfix has anything to complete in the addresses of a message's headers.
 */
#ifndef OPTIMUS_POSTFIX_GLUE_QUALIFIED_H
#define OPTIMUS_POSTFIX_GLUE_QUALIFIED_H

#include <stdbool.h>
#include <stddef.h>

/*
 * True when every address in the headers that cleanup(8) rewrites is plainly local@domain, so that rewriting
 * would change nothing. False when in doubt. `text` is a whole message with lines that end in LF.
 */
bool headers_are_qualified(const char *text, size_t len);

#endif
