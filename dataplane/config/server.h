/* The whole of a running weir: control thread, workers, compile thread, publication, the ADS client, admin. Made and run by
 * main. What start-up waits for can be asked at any time. */
#ifndef WEIR_CONFIG_SERVER_H
#define WEIR_CONFIG_SERVER_H

#include "dataplane/config/bootstrap.h"
#include "dataplane/config/publish.h"
#include "dataplane/config/support.h"

/* As /ready and server.state name them. */
enum weir_server_state { WEIR_LIVE, WEIR_DRAINING, WEIR_PRE_INITIALIZING, WEIR_INITIALIZING };

struct weir_server;
/* Takes over the bootstrap, compiles its static part, makes all threads' objects and the admin socket; nothing is served
 * yet. The error is what main prints. */
enum weir_err weir_server_create(const struct weir_options *o, struct weir_bootstrap *b, struct weir_support_log *support, struct weir_server **out,
                                 struct weir_error *e) WEIR_MUST_USE;
/* Starts the threads and runs the control loop until a signal or /quitquitquit ends it. Returns the process's exit code. */
int weir_server_run(struct weir_server *s);
void weir_server_destroy(struct weir_server *s);

#endif
