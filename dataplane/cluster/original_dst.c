/* Hosts made on demand. Two halves: the worker's, which finds, makes and cleans up; the control thread's, which keeps a list of
 * what the workers have. */
#include "dataplane/cluster/original_dst.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/metadata.h"
#include "dataplane/base/str.h"
#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/limits.h"

#define SHOW_DELAY_MS 50u /* what admin shows follows the workers so much later: a set is made anew for many hosts at once */

/* ---- where to ---- */

/* "10.0.0.1:80", "[2001:db8::1]:80" */
static bool parse(struct weir_str text, struct weir_address *out)
{
    uint64_t port;
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':') colon--;
    if (colon < 2 || !weir_str_u64((struct weir_str){text.p + colon, text.n - colon}, &port) || port > UINT16_MAX) return false;
    struct weir_str ip = {text.p, colon - 1};
    bool brackets = ip.n > 2 && ip.p[0] == '[' && ip.p[ip.n - 1] == ']';
    if (brackets) ip = (struct weir_str){ip.p + 1, ip.n - 2};
    return weir_address_parse(ip, (uint16_t)port, out) && (out->any.sa_family == AF_INET6) == brackets;
}

static bool named(struct weir_cluster *c, struct weir_str text, struct weir_address *out)
{
    if (parse(text, out)) return true;
    weir_stat_inc(weir_stats_shard(c->config->control_stats, c->worker->index), WEIR_CC_original_dst_host_invalid);
    return false;
}

static bool destination(struct weir_cluster *c, const struct weir_lb_context *x, struct weir_address *out)
{
    const struct weir_original_dst_config *o = &c->config->original_dst;
    const struct weir_request *r = x->request;
    if (r != NULL && o->metadata_key.n != 0) {
        const struct weir_value *v = weir_metadata_find(r->metadata, o->metadata_key, o->metadata_path, o->metadata_path_count);
        if (v != NULL && v->kind == WEIR_VALUE_STRING && named(c, v->string, out)) return true;
    }
    if (r != NULL && r->headers != NULL && o->header.n != 0) {
        const struct weir_header *h = weir_headers_find_name(r->headers, o->header);
        if (h != NULL && named(c, h->value, out)) return true;
    }
    if (x->original_dst == NULL) return false;
    *out = *x->original_dst;
    return weir_address_is_ip(out);
}

/* ---- the worker's hosts ---- */

struct entry {
    struct weir_cluster_host *host;
    bool used; /* since the last cleanup */
    char key[WEIR_ADDRESS_KEY_BYTES];
};
struct weir_original_dst {
    struct weir_cluster *cluster;
    struct weir_map by_address; /* struct entry */
    struct weir_timer cleanup;
};

/* To the control thread: hosts that were made, or are no longer there. */
struct told_mail {
    struct weir_mail mail;
    struct weir_cluster_shared *shared;
    bool made;
    uint32_t count;
    struct weir_host *hosts[]; /* a reference each */
};
static void told_deliver(struct weir_worker *control, struct weir_mail *m);

static struct told_mail *told_create(struct weir_cluster *c, bool made, size_t capacity)
{
    struct told_mail *mail = malloc(sizeof(*mail) + capacity * sizeof(mail->hosts[0]));
    if (mail == NULL) abort();
    *mail = (struct told_mail){.mail.deliver = told_deliver, .shared = weir_cluster_shared_acquire(c->shared), .made = made};
    return mail;
}

static struct entry *entry_make(struct weir_cluster *c, const struct weir_address *at, struct weir_str key)
{
    char address[WEIR_ADDRESS_TEXT_MAX], name[WEIR_HOST_KEY_MAX];
    struct entry *e = calloc(1, sizeof(*e));
    if (e == NULL) abort();
    (void)weir_address_print(at, address);
    int n = snprintf(name, sizeof(name), "%.*s%s", WEIR_STR_ARG(c->config->resource.name), address);
    struct weir_host *host = weir_host_create(at, (struct weir_str){name, (size_t)n < sizeof(name) ? (size_t)n : sizeof(name) - 1}, (struct weir_str){0});
    e->host = weir_cluster_host_make(c, host);
    e->host->weight = 1;
    memcpy(e->key, key.p, sizeof(e->key));
    (void)weir_map_set(&c->original_dst->by_address, (struct weir_str){e->key, sizeof(e->key)}, e);
    struct told_mail *mail = told_create(c, true, 1);
    mail->hosts[mail->count++] = host; /* the reference that it was made with */
    weir_mailbox_post(c->shared->env->control, &mail->mail);
    return e;
}

static bool goes(const struct entry *e, bool all, bool unused)
{
    return all || ((unused || !e->used) && atomic_load_explicit(&e->host->host->cx_active, memory_order_relaxed) == 0);
}

/* `all`; or those without a connection that were not used since the last time, with `unused` any without a connection. */
static void remove_some(struct weir_original_dst *o, bool all, bool unused, bool close_now)
{
    struct weir_cluster *c = o->cluster;
    struct entry **gone = malloc((o->by_address.count + 1) * sizeof(gone[0]));
    struct told_mail *mail = told_create(c, false, o->by_address.count);
    size_t at = 0, count = 0;
    struct weir_str key;
    void *value;
    if (gone == NULL) abort();
    while (weir_map_next(&o->by_address, &at, &key, &value)) {
        struct entry *e = value;
        if (goes(e, all, unused)) gone[count++] = e;
        e->used = false;
    }
    for (size_t i = 0; i < count; i++) {
        (void)weir_map_remove(&o->by_address, (struct weir_str){gone[i]->key, sizeof(gone[i]->key)});
        mail->hosts[mail->count++] = weir_host_acquire(gone[i]->host->host);
        weir_cluster_host_drop(gone[i]->host, close_now);
        free(gone[i]);
    }
    free(gone);
    if (count != 0 && !close_now) {
        weir_mailbox_post(c->shared->env->control, &mail->mail);
        return;
    }
    for (uint32_t i = 0; i < mail->count; i++) weir_host_release(mail->hosts[i]);
    weir_cluster_shared_release(mail->shared);
    free(mail);
}

static void on_cleanup(struct weir_timer *t)
{
    struct weir_original_dst *o = WEIR_CONTAINER_OF(t, struct weir_original_dst, cleanup);
    remove_some(o, false, false, false);
    if (o->by_address.count != 0) weir_timer_start(&o->cluster->worker->timers, t, o->cluster->config->original_dst.cleanup_interval_ms);
}

static struct weir_original_dst *hosts_of(struct weir_cluster *c)
{
    if (c->original_dst != NULL) return c->original_dst;
    c->original_dst = calloc(1, sizeof(*c->original_dst));
    if (c->original_dst == NULL) abort();
    c->original_dst->cluster = c;
    c->original_dst->cleanup.on_due = on_cleanup;
    return c->original_dst;
}

struct weir_cluster_host *weir_original_dst_pick(struct weir_cluster *c, const struct weir_lb_context *x)
{
    struct weir_address at;
    char text[WEIR_ADDRESS_KEY_BYTES];
    if (!destination(c, x, &at)) return NULL;
    if (c->config->original_dst.has_port) weir_address_set_port(&at, c->config->original_dst.port);
    struct weir_original_dst *o = hosts_of(c);
    struct weir_str key = weir_address_key(&at, text);
    struct entry *e = weir_map_get(&o->by_address, key);
    if (e == NULL) {
        if (o->by_address.count >= WEIR_ORIGINAL_DST_HOSTS_MAX) remove_some(o, false, true, false);
        if (o->by_address.count >= WEIR_ORIGINAL_DST_HOSTS_MAX) {
            weir_stat_inc(c->stats, WEIR_CS_upstream_cx_pool_overflow);
            return NULL;
        }
        e = entry_make(c, &at, key);
        if (!weir_timer_running(&o->cleanup)) weir_timer_start(&c->worker->timers, &o->cleanup, c->config->original_dst.cleanup_interval_ms);
    }
    e->used = true;
    return e->host;
}

void weir_original_dst_end(struct weir_cluster *c, bool close_now)
{
    struct weir_original_dst *o = c->original_dst;
    if (o == NULL) return;
    weir_timer_stop(&c->worker->timers, &o->cleanup);
    remove_some(o, true, false, close_now);
    weir_map_deinit(&o->by_address);
    c->original_dst = NULL;
    free(o);
}

/* ---- the control thread's list ---- */

struct weir_original_dst_list {
    struct weir_cluster_shared *shared;
    struct weir_host **at; /* a reference each; weir_host.slot is its place */
    uint32_t count, capacity;
    struct weir_timer show;
};

static void on_show(struct weir_timer *t)
{
    struct weir_original_dst_list *l = WEIR_CONTAINER_OF(t, struct weir_original_dst_list, show);
    struct weir_host_set *set = weir_host_set_create(NULL, l->count, NULL);
    for (uint32_t i = 0; i < l->count; i++)
        set->at[set->count++] = (struct weir_host_member){.host = weir_host_acquire(l->at[i]), .weight = 1, .health = WEIR_HOST_HEALTHY};
    if (l->shared->made != NULL) weir_host_set_release(l->shared->made);
    l->shared->made = set;
    weir_cluster_shared_count_hosts(l->shared);
}

static struct weir_original_dst_list *list_of(struct weir_cluster_shared *s)
{
    if (s->original_dst != NULL) return s->original_dst;
    s->original_dst = calloc(1, sizeof(*s->original_dst));
    if (s->original_dst == NULL) abort();
    s->original_dst->shared = s;
    s->original_dst->show.on_due = on_show;
    return s->original_dst;
}

static void list_add(struct weir_original_dst_list *l, struct weir_host *h)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity > 0 ? l->capacity * 2 : 16;
        l->at = realloc(l->at, l->capacity * sizeof(l->at[0]));
        if (l->at == NULL) abort();
    }
    h->slot = l->count;
    l->at[l->count++] = weir_host_acquire(h);
}

static void list_remove(struct weir_original_dst_list *l, struct weir_host *h)
{
    if (h->slot >= l->count || l->at[h->slot] != h) return; /* from before the list was forgotten */
    l->at[h->slot] = l->at[--l->count];
    l->at[h->slot]->slot = h->slot;
    weir_host_release(h);
}

static void told_deliver(struct weir_worker *control, struct weir_mail *m)
{
    struct told_mail *mail = WEIR_CONTAINER_OF(m, struct told_mail, mail);
    struct weir_cluster_shared *s = mail->shared;
    bool wanted = !s->closed && s->config->type == WEIR_CLUSTER_ORIGINAL_DST;
    for (uint32_t i = 0; i < mail->count; i++) {
        if (wanted && mail->made) list_add(list_of(s), mail->hosts[i]);
        if (wanted && !mail->made) list_remove(list_of(s), mail->hosts[i]);
        weir_host_release(mail->hosts[i]);
    }
    if (wanted) {
        weir_stat_inc(s->stats, WEIR_CC_membership_change);
        if (!weir_timer_running(&s->original_dst->show)) weir_timer_start(&control->timers, &s->original_dst->show, SHOW_DELAY_MS);
    }
    weir_cluster_shared_release(s);
    free(mail);
}

void weir_original_dst_forget(struct weir_cluster_shared *s)
{
    struct weir_original_dst_list *l = s->original_dst;
    if (l == NULL) return;
    weir_timer_stop(&s->env->control->timers, &l->show);
    for (uint32_t i = 0; i < l->count; i++) weir_host_release(l->at[i]);
    free(l->at);
    free(l);
    s->original_dst = NULL;
    if (s->made != NULL) weir_host_set_release(s->made);
    s->made = NULL;
}
