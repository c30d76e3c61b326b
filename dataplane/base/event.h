/* One line of JSON on stdout for what an operator's tools should see of a configuration, beside the log: a pod's stdout is read where
 * its log format is not. {"event":"ConfigRefused","source":"/etc/weir/lds.yaml","message":"...","time":"2026-01-02T03:04:05Z"} */
#ifndef WEIR_BASE_EVENT_H
#define WEIR_BASE_EVENT_H

#include "dataplane/weir.h"

#define WEIR_EVENT_CONFIG_APPLIED "ConfigApplied"
#define WEIR_EVENT_CONFIG_REFUSED "ConfigRefused"

/* Any thread; a line is one write. `source`: a file, or who sent it. */
void weir_event_print(const char *event, struct weir_str source, struct weir_str message);

#endif
