/* SPDX-License-Identifier: BSD-2-Clause */
#include "mount/value.h"

#include <stddef.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)
/* 100 years: room to add a clock to it. */
#define DURATION_MAX_NS (36500 * (86400 * SECOND_NS))

struct unit {
	char letter;
	uint64_t scale;
};

static const struct unit duration_units[] = {
    {'\0', SECOND_NS},	     {'s', SECOND_NS},	       {'m', 60 * SECOND_NS},
    {'h', 3600 * SECOND_NS}, {'d', 86400 * SECOND_NS}, {0, 0},
};

static const struct unit size_units[] = {
    {'\0', 1}, {'K', 1 << 10}, {'M', 1 << 20}, {'G', 1 << 30}, {'T', UINT64_C(1) << 40}, {0, 0},
};

/* scale * 0.digits, rounded down. From the seventh digit on they are ignored. */
static uint64_t fraction(const char *digits, size_t count, uint64_t scale)
{
	uint64_t number = 0, divisor = 1;

	for (size_t i = 0; i < count && i < 6; i++) {
		number = number * 10 + (uint64_t)(digits[i] - '0');
		divisor *= 10;
	}
	/* The scales of durations are multiples of 10^6, those of sizes are small enough. */
	return scale % divisor == 0 ? scale / divisor * number : scale * number / divisor;
}

/* A decimal number with an optional fraction and unit, no more than max. */
static bool parse_scaled(const char *text, const struct unit *unit, uint64_t max, uint64_t *out)
{
	static const char digits[] = "0123456789";
	size_t whole = strspn(text, digits);
	size_t decimals = text[whole] == '.' ? strspn(text + whole + 1, digits) : 0;
	const char *rest = text + whole + (decimals ? decimals + 1 : 0);
	uint64_t value = 0;

	if (whole == 0 || (*rest && rest[1]))
		return false;
	while (unit->scale && unit->letter != *rest)
		unit++;
	if (!unit->scale || (decimals && unit->scale == 1))
		return false;
	for (size_t i = 0; i < whole; i++) {
		uint64_t digit = (uint64_t)(text[i] - '0');

		if (value > (max / unit->scale - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	value = value * unit->scale + fraction(text + whole + 1, decimals, unit->scale);
	*out = value;
	return value <= max;
}

bool value_duration(const char *text, int64_t *ns)
{
	uint64_t value;

	if (!parse_scaled(text, duration_units, DURATION_MAX_NS, &value))
		return false;
	*ns = (int64_t)value;
	return true;
}

bool value_size(const char *text, uint64_t *bytes)
{
	return parse_scaled(text, size_units, INT64_MAX, bytes);
}

bool value_number(const char *text, unsigned min, unsigned max, unsigned *out)
{
	unsigned value = 0;

	if (!*text || strlen(text) > 6 || text[strspn(text, "0123456789")])
		return false;
	for (; *text; text++)
		value = value * 10 + (unsigned)(*text - '0');
	*out = value;
	return value >= min && value <= max;
}
