#include "xds/resource_type.h"

#include "dataplane/base/str.h"

static const struct {
    struct weir_str url;
    const char *name;
} types[WEIR_RESOURCE_TYPES] = {
    [WEIR_CLUSTERS] = {WEIR_STR_INIT("type.googleapis.com/envoy.config.cluster.v3.Cluster"), "cds"},
    [WEIR_ENDPOINTS] = {WEIR_STR_INIT("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"), "eds"},
    [WEIR_LISTENERS] = {WEIR_STR_INIT("type.googleapis.com/envoy.config.listener.v3.Listener"), "lds"},
    [WEIR_ROUTES] = {WEIR_STR_INIT("type.googleapis.com/envoy.config.route.v3.RouteConfiguration"), "rds"},
};

struct weir_str weir_resource_type_url(enum weir_resource_type t)
{
    return types[t].url;
}

const char *weir_resource_type_name(enum weir_resource_type t)
{
    return types[t].name;
}

bool weir_resource_type_of_url(struct weir_str url, enum weir_resource_type *out)
{
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++) {
        if (!weir_str_eq(types[t].url, url)) continue;
        *out = (enum weir_resource_type)t;
        return true;
    }
    return false;
}

/* One varint; false when cut short or longer than ten bytes. */
static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t b = *(*p)++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *out = v;
            return true;
        }
    }
    return false;
}

struct weir_str weir_resource_name_peek(enum weir_resource_type t, struct weir_str packed)
{
    (void)t; /* field 1 in all four */
    struct weir_str name = {0};
    if (packed.n == 0) return name;
    const uint8_t *p = (const uint8_t *)packed.p, *end = p + packed.n;
    uint64_t tag, n;
    while (p < end && varint(&p, end, &tag)) {
        switch (tag & 7) {
        case 0:
            if (!varint(&p, end, &n)) return name;
            continue;
        case 1: n = 8; break;
        case 5: n = 4; break;
        case 2:
            if (!varint(&p, end, &n)) return name;
            break;
        default: return name;
        }
        if (n > (uint64_t)(end - p)) return name;
        if (tag == (1u << 3 | 2)) name = (struct weir_str){(const char *)p, (size_t)n};
        p += n;
    }
    return name;
}
