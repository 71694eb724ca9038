/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/unit.h"
int main(void)
{
	return unit_done();
}
