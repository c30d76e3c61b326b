/* transport/hello.c over arbitrary bytes: whole, and as a prefix of every length, which must never say DONE with other views
 * than the whole does. */
#include <stdlib.h>
#include <string.h>

#include "dataplane/limits.h"
#include "dataplane/transport/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_hello whole, part;
    if (size > 2 * WEIR_HELLO_WIRE_BYTES_MAX) return 0;
    uint8_t *scratch = malloc(size + 1), *other = malloc(size + 1);
    if (scratch == NULL || other == NULL) abort();
    enum weir_hello_state state = weir_hello_parse(data, size, scratch, &whole);
    size_t step = size / 64 + 1;
    for (size_t n = 0; n < size; n += step) {
        enum weir_hello_state early = weir_hello_parse(data, n, other, &part);
        if (early == WEIR_HELLO_MORE) continue;
        /* Once decided, more bytes change nothing. */
        if (early != state) abort();
        if (early == WEIR_HELLO_DONE && (!weir_str_eq(part.server_name, whole.server_name) || !weir_str_eq(part.alpn, whole.alpn))) abort();
    }
    if (state == WEIR_HELLO_DONE) {
        size_t at = 0, sum = 0;
        struct weir_str name;
        while ((name = weir_alpn_next(whole.alpn, &at)).n != 0)
            sum += name.n + 1;
        if (sum != whole.alpn.n) abort();
        if (whole.server_name.n > 255) abort();
    }
    free(scratch);
    free(other);
    return 0;
}
