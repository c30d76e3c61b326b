/* The version that --version, /server_info and the xDS node report. Defined by the build (cmake/version.c.in). */
#ifndef WEIR_DATAPLANE_VERSION_H
#define WEIR_DATAPLANE_VERSION_H

extern const char weir_version[]; /* "MAJOR.MINOR.PATCH" */
extern const int weir_version_parts[3];
/* What --hot-restart-version and admin say: there is none. */
#define WEIR_HOT_RESTART_VERSION "disabled"

#endif
