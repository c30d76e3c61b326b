/* Words of retry policies; called when routes are compiled and for x-envoy-retry-on of internal requests. */
#include "dataplane/base/headers.h"
#include "dataplane/route/route.h"

uint32_t weir_retry_on_parse(struct weir_str words)
{
    static const struct {
        struct weir_str word;
        uint32_t bit;
    } known[] = {
        {WEIR_STR_INIT("5xx"), WEIR_RETRY_5XX},
        {WEIR_STR_INIT("gateway-error"), WEIR_RETRY_GATEWAY_ERROR},
        {WEIR_STR_INIT("reset"), WEIR_RETRY_RESET},
        {WEIR_STR_INIT("reset-before-request"), WEIR_RETRY_RESET_BEFORE_REQUEST},
        {WEIR_STR_INIT("connect-failure"), WEIR_RETRY_CONNECT_FAILURE},
        {WEIR_STR_INIT("retriable-4xx"), WEIR_RETRY_RETRIABLE_4XX},
        {WEIR_STR_INIT("refused-stream"), WEIR_RETRY_REFUSED_STREAM},
        {WEIR_STR_INIT("retriable-status-codes"), WEIR_RETRY_RETRIABLE_STATUS_CODES},
        {WEIR_STR_INIT("envoy-ratelimited"), WEIR_RETRY_ENVOY_RATELIMITED},
        {WEIR_STR_INIT("cancelled"), WEIR_RETRY_GRPC_CANCELLED},
        {WEIR_STR_INIT("deadline-exceeded"), WEIR_RETRY_GRPC_DEADLINE_EXCEEDED},
        {WEIR_STR_INIT("resource-exhausted"), WEIR_RETRY_GRPC_RESOURCE_EXHAUSTED},
        {WEIR_STR_INIT("unavailable"), WEIR_RETRY_GRPC_UNAVAILABLE},
        {WEIR_STR_INIT("internal"), WEIR_RETRY_GRPC_INTERNAL},
    };
    uint32_t bits = 0;
    struct weir_str word;
    for (size_t at = 0; weir_header_list_next(words, &at, &word);)
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (weir_str_eq(known[i].word, word))
                bits |= known[i].bit;
    return bits;
}
