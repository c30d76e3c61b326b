/* weir drain: asks the weir beside us to let its clients go while it serves on, for a preStop hook: no shell and no curl is needed.
 * The connections end with their next answer (Connection: close, GOAWAY); new ones are taken and told the same. */
#include <stdio.h>
#include <string.h>

#include "dataplane/command/ask.h"
#include "dataplane/command/command.h"

#define ASK_MS 5000u

static int usage(FILE *to)
{
    fprintf(to, "USAGE: weir drain [--inbound-only] [--admin URL]\n\n"
                "  --inbound-only\n        only listeners with traffic_direction INBOUND\n"
                "  --admin URL\n        the admin of the weir to drain; default http://127.0.0.1:15000\n");
    return to == stdout ? 0 : 2;
}

int weir_drain_main(int argc, char **argv)
{
    const char *admin = "http://127.0.0.1:15000";
    char url[1024];
    int inbound_only = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--inbound-only") == 0) inbound_only = 1;
        else if (strcmp(argv[i], "--admin") == 0 && i + 1 < argc) admin = argv[++i];
        else if (strcmp(argv[i], "--help") == 0) return usage(stdout);
        else {
            fprintf(stderr, "weir drain: unknown or incomplete flag '%s'\n", argv[i]);
            return usage(stderr);
        }
    }
    struct weir_answer a;
    snprintf(url, sizeof(url), "%.900s/drain_listeners?graceful%s", admin, inbound_only ? "&inboundonly" : "");
    weir_ask("POST", url, ASK_MS, &a);
    if (a.status == 200) return 0;
    fprintf(stderr, "weir drain: %s: %s%.*s\n", url, a.status != 0 ? "refused: " : "", (int)strcspn(a.text, "\n"), a.text);
    return 1;
}
