/* SPDX-License-Identifier: MIT */
/*
 * Steps through UTF-8. Pure functions over borrowed bytes; broken input is reported or counted as single
 * octets, never read past its end.
 */
#include "queue/message/utf8.h"

#include <string.h>

static const uint32_t REPLACEMENT = 0xfffd;

/* The length of a well-formed character, or 0. */
static size_t decode(const unsigned char *at, size_t len, uint32_t *point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t need;

	if (at[0] < 0x80) {
		*point = at[0];
		return 1;
	}
	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	need = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	if (need > len)
		return 0;
	*point = at[0] & (0x7fu >> need);
	for (size_t i = 1; i < need; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		*point = *point << 6 | (at[i] & 0x3f);
	}
	if (*point < least[need] || *point > 0x10ffff || (*point >= 0xd800 && *point <= 0xdfff))
		return 0;
	return need;
}

bool utf8_valid(const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + len;

	while (at < end) {
		uint32_t point;
		size_t step;
		uint64_t eight;

		/* Eight octets of ASCII at a time: most text is that. */
		if (end - at >= 8) {
			memcpy(&eight, at, 8);
			if ((eight & 0x8080808080808080u) == 0) {
				at += 8;
				continue;
			}
		}
		step = decode(at, (size_t)(end - at), &point);
		if (step == 0)
			return false;
		at += step;
	}
	return true;
}

size_t utf8_next(const char *text, size_t len, uint32_t *ret_point)
{
	uint32_t point;
	size_t step = decode((const unsigned char *)text, len, &point);

	if (step == 0) {
		step = 1;
		point = REPLACEMENT;
	}
	if (ret_point != NULL)
		*ret_point = point;
	return step;
}

size_t utf8_cut(const char *text, size_t len, size_t max)
{
	size_t cut = max;

	if (len <= max)
		return len;
	/* At most three octets back there is a first octet, or it is no UTF-8 and any place will do. */
	for (size_t back = 0; back < 4 && cut > 0; back++, cut--) {
		if (((unsigned char)text[cut] & 0xc0) != 0x80)
			return cut;
	}
	return max;
}
