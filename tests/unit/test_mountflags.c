/* SPDX-License-Identifier: BSD-2-Clause */
/* Mounts of tmpfs in a namespace of the test's own stand for those of a daemon. */
#include "mount/mountflags.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

/* What mountflags_check says of a mount with these flags; 2: no mount can be made. */
static int check_with(unsigned long flags)
{
	struct scratch s;
	struct stat st;
	int r = 2;

	scratch_init(&s);
	if (mount("test", s.path, "tmpfs", flags, NULL) == 0) {
		CHECK_EQ(stat(s.path, &st), 0);
		r = mountflags_check(s.path, st.st_dev);
		CHECK_EQ(umount(s.path), 0);
	}
	scratch_release(&s);
	return r;
}

static void a_mount_without_a_flag_is_refused(void)
{
	if (unshare(CLONE_NEWNS) != 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || check_with(0) == 2) {
		SKIP("only root mounts");
		return;
	}
	CHECK_EQ(check_with(0), -1);
	CHECK_EQ(check_with(MS_NOSUID), -1);
	CHECK_EQ(check_with(MS_NODEV), -1);
	CHECK_EQ(check_with(MS_NOSUID | MS_NODEV), -1); /* no default_permissions */
}

static void a_mount_that_is_not_seen_is_not_refused(void)
{
	CHECK_EQ(mountflags_check("/nowhere", 0x7ffff), 0);
}

int main(void)
{
	RUN(a_mount_without_a_flag_is_refused);
	RUN(a_mount_that_is_not_seen_is_not_refused);
	return unit_done();
}
