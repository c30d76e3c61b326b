#include "dataplane/config/response_job.h"

struct weir_compile_job *weir_response_job_create(const struct weir_ads_response *r)
{
    struct weir_compile_job *job = weir_compile_job_create(r->type, r->count, r->removed_count);
    size_t heartbeats = 0;
    job->version = r->version;
    for (size_t i = 0; i < r->count; i++) {
        const struct weir_ads_resource *a = &r->resources[i];
        job->items[i] = (struct weir_compile_item){.name = a->name, .version = a->version, .type_url = a->type_url, .heartbeat = a->heartbeat,
                                                   .ttl_ms = a->ttl_ms, .packed = {(const char *)a->body.data, a->body.len}};
        heartbeats += a->heartbeat;
    }
    /* A response of heartbeats alone says nothing of what it does not name. */
    bool set = heartbeats == 0 || heartbeats < r->count;
    job->full = !r->delta && set && (r->type == WEIR_CLUSTERS || r->type == WEIR_LISTENERS);
    for (size_t i = 0; i < r->removed_count; i++) job->removed[i] = r->removed[i];
    return job;
}
