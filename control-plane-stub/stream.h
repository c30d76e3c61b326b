/* One client's ADS stream as a state machine: requests in as bytes, responses out as bytes, no input or output of its own.
 * server.c feeds it; stream_sotw.c and stream_delta.c are its two dialects. Responses are made when there is room to send
 * one, so that a slow client gets the newest state and never a queue of old ones. */
#ifndef WEIR_CONTROL_PLANE_STREAM_H
#define WEIR_CONTROL_PLANE_STREAM_H

#include <stdio.h>

#include "control-plane-stub/resources.h"
#include "dataplane/base/list.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "xds/wire_write.h"

/* A name that the client asked for or was told of. */
struct weir_plane_name {
    struct weir_list link;
    bool subscribed;
    bool told;     /* delta: the client knows of it, or that it is not there */
    uint64_t sent; /* version that the client has, 0: none */
    size_t n;
    char text[];
};
struct weir_plane_subscription {
    struct weir_list link;
    struct weir_str type_url; /* on the heap */
    int rank;                 /* place among the types in sending order */
    bool wildcard;
    bool named;    /* a request has named resources: from then on an empty list means none */
    bool first;    /* nothing was answered yet */
    bool again;    /* state-of-the-world: asked again for the same */
    bool awaiting; /* a response is unanswered */
    bool dirty;    /* a request changed what is due */
    uint64_t generation; /* of the resources last looked at */
    uint64_t nonce;      /* of the last response, 0: none */
    uint64_t version;    /* of the last response; before it, what the client says it has */
    struct weir_map by_name;
    struct weir_list names; /* struct weir_plane_name */
};
struct weir_plane_stream {
    bool delta;
    uint64_t nonces;
    char *node_id, *node_cluster; /* of the first request that has a node */
    FILE *report;                 /* ACK and NACK lines; NULL: none */
    struct weir_list subscriptions; /* by rank */
};

void weir_plane_stream_init(struct weir_plane_stream *s, bool delta, FILE *report);
void weir_plane_stream_deinit(struct weir_plane_stream *s);
/* One request. An error ends the stream. */
enum weir_err weir_plane_stream_request(struct weir_plane_stream *s, struct weir_str bytes, struct weir_error *e) WEIR_MUST_USE;
/* The next response that is due, appended to out and taken as sent; false: none. */
bool weir_plane_stream_next(struct weir_plane_stream *s, const struct weir_plane_resources *r, struct weir_wire_out *out);

/* For the dialects. */
void weir_plane_sotw_request(struct weir_plane_stream *s, const Envoy__Service__Discovery__V3__DiscoveryRequest *r);
bool weir_plane_sotw_next(struct weir_plane_stream *s, struct weir_plane_subscription *u, const struct weir_plane_type *t,
                          struct weir_wire_out *out);
void weir_plane_delta_request(struct weir_plane_stream *s, const Envoy__Service__Discovery__V3__DeltaDiscoveryRequest *r);
bool weir_plane_delta_next(struct weir_plane_stream *s, struct weir_plane_subscription *u, const struct weir_plane_type *t,
                           struct weir_wire_out *out);
/* NULL: the stream has as many types as it may. */
struct weir_plane_subscription *weir_plane_subscription_of(struct weir_plane_stream *s, struct weir_str type_url);
/* Does an empty list ask for all resources of the type? */
bool weir_plane_type_is_wildcard(struct weir_str type_url);
struct weir_plane_name *weir_plane_name_of(struct weir_plane_subscription *u, struct weir_str name); /* made when missing */
void weir_plane_name_drop(struct weir_plane_subscription *u, struct weir_plane_name *n);
#define WEIR_PLANE_EACH_NAME(u, at, following)                                                     \
    for (struct weir_list *at = (u)->names.next, *following = at->next; at != &(u)->names;       \
         at = following, following = at->next)
static inline struct weir_plane_name *weir_plane_name_at(struct weir_list *link)
{
    return WEIR_CONTAINER_OF(link, struct weir_plane_name, link);
}
static inline struct weir_str weir_plane_name_text(const struct weir_plane_name *n)
{
    return (struct weir_str){n->text, n->n};
}
/* error NULL: an ACK. */
void weir_plane_report(struct weir_plane_stream *s, const struct weir_plane_subscription *u, const char *nonce,
                       const Google__Rpc__Status *error);
/* A version as text: 16 hexadecimal digits and NUL. */
void weir_plane_version_print(uint64_t version, char out[17]);
uint64_t weir_plane_version_parse(const char *text); /* 0: not one of ours */
/* Version of a set of resources, whatever their order: add each to a sum that begins with 0. */
uint64_t weir_plane_version_add(uint64_t sum, const struct weir_plane_resource *r);
void weir_plane_put_control_plane(struct weir_wire_out *out, uint32_t number);

#endif
