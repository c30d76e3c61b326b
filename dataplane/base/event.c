#include "dataplane/base/event.h"

#include <time.h>
#include <unistd.h>

#include "dataplane/base/out.h"

void weir_event_print(const char *event, struct weir_str source, struct weir_str message)
{
    struct weir_out o = {0};
    char at[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    weir_out_printf(&o, "{\"event\":\"%s\",\"source\":", event);
    weir_out_string(&o, source);
    weir_out_printf(&o, ",\"message\":");
    weir_out_string(&o, message);
    weir_out_printf(&o, ",\"time\":\"%s\"}\n", at);
    for (size_t done = 0; done < o.n;) {
        ssize_t n = write(STDOUT_FILENO, o.p + done, o.n - done);
        if (n <= 0) break; /* nobody reads it: the log has it too */
        done += (size_t)n;
    }
    weir_out_deinit(&o);
}
