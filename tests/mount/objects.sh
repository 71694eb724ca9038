#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
echo 1..0
