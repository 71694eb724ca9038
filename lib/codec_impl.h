/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * codec_impl: the codecs that the registry in codec.c knows. For codec*.c alone.
 */
#ifndef NOTEPACKFS_LIB_CODEC_IMPL_H
#define NOTEPACKFS_LIB_CODEC_IMPL_H

#include "lib/codec.h"

extern const struct codec codec_zlib;
extern const struct codec codec_libdeflate; /* with HAVE_LIBDEFLATE */
extern const struct codec codec_isal;	    /* with HAVE_ISAL */

#endif
