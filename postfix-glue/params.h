/* SPDX-License-Identifier: MIT */
/*
 * Postfix's mail_params.h, which defines a type named bool, beside C's own bool.
 */
#ifndef OPTIMUS_GLUE_PARAMS_H
#define OPTIMUS_GLUE_PARAMS_H

#include <stdbool.h>

#pragma push_macro("bool")
#undef bool
#include <mail_params.h>
#pragma pop_macro("bool")

#endif
