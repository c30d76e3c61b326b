/* /certs: the certificates of every TLS context that serves, in Envoy's form. Listeners and clusters in the order of their names. */
#include "dataplane/config/certs_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "dataplane/cluster/shared.h"
#include "dataplane/config/server_internal.h"
#include "dataplane/listener/config.h"
#include "dataplane/transport/tls.h"

#define STEP_RECORDS 64u
#define DAY_S 86400

struct page {
    struct weir_admin_source source;
    struct weir_server *server;
    struct weir_out *out;
    bool begun, first, first_cert;
    enum weir_resource_type type; /* listeners, then clusters */
    struct weir_publisher_walk *walk;
    bool ca; /* which list is written */
};

static void time_write(struct weir_out *o, const char *name, int64_t s, bool last)
{
    time_t t = (time_t)s;
    struct tm tm;
    char text[32];
    (void)gmtime_r(&t, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    weir_out_printf(o, "     \"%s\": \"%s\"%s\n", name, text, last ? "" : ",");
}

static void names_write(struct weir_out *o, const char *kind, const struct weir_str *at, uint32_t count, bool *first)
{
    for (uint32_t i = 0; i < count; i++) {
        weir_out_printf(o, "%s\n      {\n       \"%s\": ", *first ? "" : ",", kind);
        *first = false;
        weir_out_string(o, at[i]);
        weir_out_printf(o, "\n      }");
    }
}

static void cert_write(void *ctx, const struct weir_tls_cert *c)
{
    struct page *p = ctx;
    struct weir_out *o = p->out;
    if (c->ca != p->ca) return;
    int64_t now_s = (int64_t)(p->server->control->wall_ns / 1000000000u), left = c->not_after_s - now_s;
    bool first = true;
    weir_out_printf(o, "%s\n    {\n     \"path\": ", p->first_cert ? "" : ",");
    p->first_cert = false;
    weir_out_string(o, c->path);
    weir_out_printf(o, ",\n     \"serial_number\": \"%.*s\",\n     \"subject_alt_names\": [", WEIR_STR_ARG(c->serial));
    names_write(o, "dns", c->dns, c->dns_count, &first);
    names_write(o, "uri", c->uris, c->uri_count, &first);
    names_write(o, "ip_address", c->ips, c->ip_count, &first);
    weir_out_printf(o, "%s],\n     \"days_until_expiration\": \"%lld\",\n", first ? "" : "\n     ", left > 0 ? (long long)(left / DAY_S) : 0);
    time_write(o, "valid_from", c->not_before_s, false);
    time_write(o, "expiration_time", c->not_after_s, true);
    weir_out_printf(o, "    }");
}

static void list_write(struct page *p, bool ca, const struct weir_tls_server *s, const struct weir_tls_client *c)
{
    p->ca = ca;
    p->first_cert = true;
    weir_out_printf(p->out, "   \"%s\": [", ca ? "ca_cert" : "cert_chain");
    if (s != NULL) weir_tls_server_certs(s, cert_write, p);
    else weir_tls_client_certs(c, cert_write, p);
    weir_out_printf(p->out, "%s]%s\n", p->first_cert ? "" : "\n   ", ca ? "," : "");
}

static void context_write(struct page *p, const struct weir_tls_server *s, const struct weir_tls_client *c)
{
    if (s == NULL && c == NULL) return;
    weir_out_printf(p->out, "%s\n  {\n", p->first ? "" : ",");
    p->first = false;
    list_write(p, true, s, c);
    list_write(p, false, s, c);
    weir_out_printf(p->out, "  }");
}

static void record_write(struct page *p, const struct weir_record *r)
{
    if (r == NULL || r->active == NULL) return;
    if (p->type == WEIR_CLUSTERS) {
        context_write(p, NULL, ((const struct weir_cluster_config *)(const void *)r->active)->tls);
        return;
    }
    const struct weir_listener_config *l = (const struct weir_listener_config *)(const void *)r->active;
    for (uint32_t i = 0; i < l->chain_count; i++) context_write(p, l->chains[i].tls, NULL);
}

static bool more(struct weir_admin_source *source, struct weir_out *out)
{
    struct page *p = WEIR_CONTAINER_OF(source, struct page, source);
    const struct weir_record *r;
    size_t begun = out->n;
    p->out = out;
    if (!p->begun) weir_out_printf(out, "{\n \"certificates\": [");
    p->begun = true;
    for (size_t visited = 0; visited < STEP_RECORDS && out->n - begun < WEIR_ADMIN_PIECE_BYTES; visited++) {
        if (weir_publisher_walk_next(p->walk, &r)) {
            record_write(p, r);
            continue;
        }
        if (p->type == WEIR_CLUSTERS) {
            weir_out_printf(out, "%s]\n}\n", p->first ? "" : "\n ");
            return false;
        }
        weir_publisher_walk_destroy(p->walk);
        p->type = WEIR_CLUSTERS;
        p->walk = weir_publisher_walk_create(p->server->publisher, WEIR_CLUSTERS);
    }
    return true;
}

static void destroy(struct weir_admin_source *source)
{
    struct page *p = WEIR_CONTAINER_OF(source, struct page, source);
    weir_publisher_walk_destroy(p->walk);
    free(p);
}

void weir_certs_page(struct weir_server *s, struct weir_admin_reply *reply)
{
    struct page *p = calloc(1, sizeof(*p));
    if (p == NULL) abort();
    *p = (struct page){.source = {more, destroy}, .server = s, .first = true, .type = WEIR_LISTENERS};
    p->walk = weir_publisher_walk_create(s->publisher, WEIR_LISTENERS);
    reply->content_type = WEIR_ADMIN_JSON;
    reply->source = &p->source;
}
