/* What one resource type has to say on the ADS stream: which request goes next, given what is wanted, what was sent on this
 * stream, and what was answered. Pure state: xds/ads.c calls it under its mutex and does the sending.
 *
 * State-of-the-world: a request carries the last accepted version, the nonce that it answers and all names. A change of
 * names waits while a response is unanswered: the answer carries the names, and a request with an older nonce would be
 * stale. Delta: changes are differences to what this stream was told; they wait for nothing. */
#ifndef WEIR_XDS_SUBSCRIPTION_H
#define WEIR_XDS_SUBSCRIPTION_H

#include "dataplane/base/list.h"
#include "dataplane/base/map.h"
#include "xds/ads.h"

/* Zeroed, with `delta` set, is a subscription that nobody has asked for yet. */
struct weir_subscription {
    bool delta;
    bool active;   /* somebody has said what is wanted */
    bool wildcard; /* all resources are wanted, besides those named */
    bool refresh;  /* ask again although nothing changed */
    bool changed;  /* names, since the last request */
    struct weir_map by_name;
    struct weir_list names; /* struct name of subscription.c, in the order in which they were first wanted */
    size_t wanted;
    char *version; /* last accepted, NULL: none */
    /* Of this stream. */
    bool requested;     /* a request has left */
    bool named;         /* one of them named something: from then on an empty list means nothing, not all */
    bool wildcard_sent;
    size_t unanswered;  /* responses that wait for their verdict */
    char *nonce_latest; /* of the newest response */
    char *nonce_answered;
    struct weir_list verdicts; /* that have not left yet, oldest first */
};

struct weir_subscription_version {
    struct weir_str name, version;
};
/* Strings are borrowed from the subscription and hold until it is called again; arrays live in the caller's arena. */
struct weir_subscription_request {
    struct weir_str version; /* state-of-the-world: last accepted */
    struct weir_str nonce;
    bool refused;
    struct weir_str reason; /* of the NACK */
    size_t name_count, removed_count, held_count;
    struct weir_str *names;   /* resource_names, or resource_names_subscribe */
    struct weir_str *removed; /* resource_names_unsubscribe */
    struct weir_subscription_version *held; /* initial_resource_versions */
};

void weir_subscription_init(struct weir_subscription *s, bool delta);
void weir_subscription_deinit(struct weir_subscription *s);
void weir_subscription_want(struct weir_subscription *s, bool wildcard, const struct weir_str *names, size_t count);
void weir_subscription_refresh(struct weir_subscription *s);
/* The resource is no longer held, though nobody has taken it back (its time to live ended). */
void weir_subscription_forget(struct weir_subscription *s, struct weir_str name);
/* A stream ended (or none has begun yet): everything is to be said anew. */
void weir_subscription_stream_end(struct weir_subscription *s);
void weir_subscription_response(struct weir_subscription *s, const struct weir_ads_response *r);
/* refused NULL: accepted. this_stream: r came on the stream that is up, so that the verdict can be sent. */
void weir_subscription_verdict(struct weir_subscription *s, const struct weir_ads_response *r, const char *refused,
                               bool this_stream);
/* The next request, which is then taken as sent; false: there is none now. */
bool weir_subscription_next(struct weir_subscription *s, struct weir_arena *arena, struct weir_subscription_request *out);

#endif
