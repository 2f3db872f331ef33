/* A small disk of our own, on which there can be as little room as a test wants. */
#ifndef TESTS_DISK_H
#define TESTS_DISK_H

/* Make the directory and mount a disk of so many megabytes there, which nobody else sees and which ends with
 * this process and its children.  @return 0: this user may not; the directory is there all the same */
int disk_mount(const char *path, int megabytes);
/* Let so much room be left on it, unless others take more at that moment; negative: all. */
void disk_leave(const char *path, long kilobytes);
void disk_unmount(const char *path);

#endif
