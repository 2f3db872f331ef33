#include "support/disk.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int disk_mount(const char *path, int megabytes)
{
    char size[40];
    snprintf(size, sizeof size, "size=%dm", megabytes);
    return mkdir(path, 0700) == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0 &&
           mount("none", path, "tmpfs", 0, size) == 0;
}

void disk_leave(const char *path, long kilobytes)
{
    char ballast[600];
    struct statvfs info;
    snprintf(ballast, sizeof ballast, "%s/ballast", path);
    (void)unlink(ballast);
    int fd = kilobytes < 0 ? -1 : open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (fstatvfs(fd, &info) == 0)
        (void)!posix_fallocate(fd, 0, (off_t)(info.f_bavail * info.f_frsize) - kilobytes * 1024);
    close(fd);
}

void disk_unmount(const char *path)
{
    (void)umount2(path, MNT_DETACH);
}
