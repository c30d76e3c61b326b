/* A made-up root directory, for what reads /proc and /sys. */
#ifndef WEIR_TEST_SUPPORT_MADE_ROOT_H
#define WEIR_TEST_SUPPORT_MADE_ROOT_H

/* An empty one; the caller gives it to made_root_destroy(), which removes all that is in it. */
char *made_root_create(void);
void made_root_destroy(char *root);
/* `path` below it ("/proc/self/cgroup"), with the directories that lead there. */
void made_root_write(const char *root, const char *path, const char *text);

#endif
