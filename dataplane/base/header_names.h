/* Header names that weir itself reads or writes, interned: comparing one is comparing a number. X(enum suffix, "name"),
 * names in lower case. New names go at the end of their group; nothing depends on the order but pseudo headers first. */
#ifndef WEIR_BASE_HEADER_NAMES_H
#define WEIR_BASE_HEADER_NAMES_H

#define WEIR_HEADER_NAMES(X)                                                                                            \
    X(METHOD, ":method") X(SCHEME, ":scheme") X(AUTHORITY, ":authority") X(PATH, ":path") X(PROTOCOL, ":protocol")              \
    X(STATUS, ":status") X(HOST, "host") X(CONNECTION, "connection") X(KEEP_ALIVE, "keep-alive")                                \
    X(PROXY_CONNECTION, "proxy-connection") X(TRANSFER_ENCODING, "transfer-encoding") X(CONTENT_LENGTH, "content-length")       \
    X(CONTENT_TYPE, "content-type") X(CONTENT_ENCODING, "content-encoding") X(UPGRADE, "upgrade") X(TE, "te")                   \
    X(TRAILER, "trailer") X(EXPECT, "expect") X(DATE, "date") X(SERVER, "server") X(VIA, "via") X(LOCATION, "location")         \
    X(COOKIE, "cookie") X(SET_COOKIE, "set-cookie") X(USER_AGENT, "user-agent") X(REFERER, "referer") X(ORIGIN, "origin")       \
    X(ACCEPT, "accept") X(ACCEPT_ENCODING, "accept-encoding") X(AUTHORIZATION, "authorization") X(VARY, "vary")                 \
    X(CACHE_CONTROL, "cache-control") X(RETRY_AFTER, "retry-after") X(HTTP2_SETTINGS, "http2-settings")                         \
    X(GRPC_STATUS, "grpc-status") X(GRPC_MESSAGE, "grpc-message") X(GRPC_TIMEOUT, "grpc-timeout")                               \
    X(GRPC_STATUS_DETAILS, "grpc-status-details-bin") X(GRPC_ACCEPT_ENCODING, "grpc-accept-encoding")                           \
    X(X_FORWARDED_FOR, "x-forwarded-for") X(X_FORWARDED_PROTO, "x-forwarded-proto") X(X_FORWARDED_HOST, "x-forwarded-host")     \
    X(X_FORWARDED_PORT, "x-forwarded-port") X(X_FORWARDED_CLIENT_CERT, "x-forwarded-client-cert")                               \
    X(X_REQUEST_ID, "x-request-id") X(X_ENVOY_INTERNAL, "x-envoy-internal")                                                     \
    X(X_ENVOY_EXTERNAL_ADDRESS, "x-envoy-external-address") X(X_ENVOY_ORIGINAL_PATH, "x-envoy-original-path")                   \
    X(X_ENVOY_ORIGINAL_HOST, "x-envoy-original-host")                                                                           \
    X(X_ENVOY_UPSTREAM_SERVICE_TIME, "x-envoy-upstream-service-time")                                                           \
    X(X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, "x-envoy-expected-rq-timeout-ms") X(X_ENVOY_ATTEMPT_COUNT, "x-envoy-attempt-count")       \
    X(X_ENVOY_OVERLOADED, "x-envoy-overloaded") X(X_ENVOY_RATELIMITED, "x-envoy-ratelimited")                                   \
    X(X_ENVOY_DEGRADED, "x-envoy-degraded") X(X_ENVOY_IMMEDIATE_HEALTH_CHECK_FAIL, "x-envoy-immediate-health-check-fail")       \
    X(X_ENVOY_UPSTREAM_HEALTHCHECKED_CLUSTER, "x-envoy-upstream-healthchecked-cluster")                                         \
    X(X_ENVOY_RETRY_ON, "x-envoy-retry-on") X(X_ENVOY_RETRY_GRPC_ON, "x-envoy-retry-grpc-on")                                   \
    X(X_ENVOY_MAX_RETRIES, "x-envoy-max-retries") X(X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, "x-envoy-upstream-rq-timeout-ms")           \
    X(X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS, "x-envoy-upstream-rq-per-try-timeout-ms")                                         \
    X(X_ENVOY_UPSTREAM_ALT_STAT_NAME, "x-envoy-upstream-alt-stat-name")                                                         \
    X(X_ENVOY_UPSTREAM_CANARY, "x-envoy-upstream-canary") X(X_ENVOY_DECORATOR_OPERATION, "x-envoy-decorator-operation")         \
    X(X_ENVOY_DOWNSTREAM_SERVICE_CLUSTER, "x-envoy-downstream-service-cluster")                                                 \
    X(X_ENVOY_DOWNSTREAM_SERVICE_NODE, "x-envoy-downstream-service-node")                                                       \
    X(X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT, "x-envoy-hedge-on-per-try-timeout")                                                     \
    X(X_ENVOY_RETRIABLE_STATUS_CODES, "x-envoy-retriable-status-codes")                                                         \
    X(X_ENVOY_RETRIABLE_HEADER_NAMES, "x-envoy-retriable-header-names")                                                         \
    X(X_ENVOY_IP_TAGS, "x-envoy-ip-tags") X(X_ENVOY_FORCE_TRACE, "x-envoy-force-trace")                                         \
    X(X_RATELIMIT_LIMIT, "x-ratelimit-limit") X(X_RATELIMIT_REMAINING, "x-ratelimit-remaining")                                 \
    X(X_RATELIMIT_RESET, "x-ratelimit-reset")                                                                                   \
    X(ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method")                                                           \
    X(ACCESS_CONTROL_REQUEST_HEADERS, "access-control-request-headers")                                                         \
    X(ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK, "access-control-request-private-network")                                         \
    X(ACCESS_CONTROL_ALLOW_ORIGIN, "access-control-allow-origin")                                                               \
    X(ACCESS_CONTROL_ALLOW_METHODS, "access-control-allow-methods")                                                             \
    X(ACCESS_CONTROL_ALLOW_HEADERS, "access-control-allow-headers")                                                             \
    X(ACCESS_CONTROL_ALLOW_CREDENTIALS, "access-control-allow-credentials")                                                     \
    X(ACCESS_CONTROL_ALLOW_PRIVATE_NETWORK, "access-control-allow-private-network")                                             \
    X(ACCESS_CONTROL_EXPOSE_HEADERS, "access-control-expose-headers") X(ACCESS_CONTROL_MAX_AGE, "access-control-max-age")       \
    X(TRACEPARENT, "traceparent") X(TRACESTATE, "tracestate") X(AGE, "age") X(ETAG, "etag") X(SEC_WEBSOCKET_KEY, "sec-websocket-key") \
    X(SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept") X(SEC_WEBSOCKET_VERSION, "sec-websocket-version")                           \
    X(X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE, "x-envoy-upstream-rq-timeout-alt-response")                                     \
    X(GRPC_ENCODING, "grpc-encoding") X(CONTENT_LANGUAGE, "content-language") X(X_GRPC_WEB, "x-grpc-web") X(PROXY_STATUS, "proxy-status") X(PROXY_AUTHORIZATION, "proxy-authorization")

enum weir_header_id {
    WEIR_H_NONE = 0, /* a name that is not interned */
#define X(id, name) WEIR_H_##id,
    WEIR_HEADER_NAMES(X)
#undef X
        WEIR_H_COUNT
};

#endif
