/* One HTTP/1.1 question to a weir on this host, blocking, for the subcommands. Needs nothing but libc: the commands also go into a
 * static program that is copied into containers of other images. */
#ifndef WEIR_COMMAND_ASK_H
#define WEIR_COMMAND_ASK_H

#include <stddef.h>
#include <stdint.h>

struct weir_answer {
    int status;      /* of HTTP; 0: none came, and `text` says why */
    char text[2048]; /* the body, cut; NUL-terminated */
};
/* `url`: http://ADDRESS:PORT/PATH, the address numeric ("[::1]" for IPv6) or localhost. At most `timeout_ms`. */
void weir_ask(const char *method, const char *url, uint64_t timeout_ms, struct weir_answer *out);
/* "60s", "1.5s", "250ms", "2m", "1h" or seconds without a unit. False: it is none of them. */
int weir_duration_read(const char *text, uint64_t *out_ms);
uint64_t weir_clock_ms(void); /* monotonic */

#endif
