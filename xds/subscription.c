#include "xds/subscription.h"

#include <stdlib.h>

#include "dataplane/base/str.h"

struct name {
    struct weir_list link;
    bool wanted;
    bool sent;     /* delta: this stream was told */
    char *version; /* delta: held, NULL: not */
    size_t n;
    char text[];
};

struct verdict {
    struct weir_list link;
    bool refused;
    char *nonce, *reason;
};

static const struct weir_str star = WEIR_STR_INIT("*");

static void *must(void *p)
{
    if (p == NULL) abort();
    return p;
}

static char *copy(struct weir_str s)
{
    char *p = must(malloc(s.n + 1));
    if (s.n > 0) memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

static void replace(char **at, char *with)
{
    free(*at);
    *at = with;
}

static struct weir_str text_of(struct name *n)
{
    return (struct weir_str){n->text, n->n};
}

static struct name *name_at(struct weir_list *link)
{
    return WEIR_CONTAINER_OF(link, struct name, link);
}

static struct name *name_make(struct weir_subscription *s, struct weir_str text)
{
    struct name *n = weir_map_get(&s->by_name, text);
    if (n != NULL) return n;
    n = must(calloc(1, sizeof *n + text.n + 1));
    n->n = text.n;
    if (text.n > 0) memcpy(n->text, text.p, text.n);
    weir_list_push_back(&s->names, &n->link);
    weir_map_set(&s->by_name, text_of(n), n);
    return n;
}

/* A name stays for as long as it means something. */
static void name_settle(struct weir_subscription *s, struct name *n)
{
    if (!n->wanted && !s->wildcard) replace(&n->version, NULL);
    if (n->wanted || n->sent || n->version != NULL) return;
    weir_map_remove(&s->by_name, text_of(n));
    weir_list_remove(&n->link);
    free(n);
}

#define EACH_NAME(s, link, following) \
    for (struct weir_list *link = (s)->names.next, *following = link->next; link != &(s)->names; \
         link = following, following = link->next)

void weir_subscription_init(struct weir_subscription *s, bool delta)
{
    *s = (struct weir_subscription){.delta = delta};
    weir_list_init(&s->names);
    weir_list_init(&s->verdicts);
}

static void verdict_free(struct verdict *v)
{
    weir_list_remove(&v->link);
    free(v->nonce);
    free(v->reason);
    free(v);
}

static struct verdict *verdict_first(struct weir_subscription *s)
{
    return weir_list_empty(&s->verdicts) ? NULL : WEIR_CONTAINER_OF(s->verdicts.next, struct verdict, link);
}

void weir_subscription_stream_end(struct weir_subscription *s)
{
    for (struct verdict *v; (v = verdict_first(s)) != NULL;)
        verdict_free(v);
    s->requested = s->named = s->wildcard_sent = false;
    s->unanswered = 0;
    replace(&s->nonce_latest, NULL);
    replace(&s->nonce_answered, NULL);
    EACH_NAME(s, at, following) {
        name_at(at)->sent = false;
        name_settle(s, name_at(at));
    }
}

void weir_subscription_deinit(struct weir_subscription *s)
{
    s->wildcard = false;
    EACH_NAME(s, at, following)
        name_at(at)->wanted = false;
    weir_subscription_stream_end(s); /* nothing is wanted or sent: every name goes */
    weir_map_deinit(&s->by_name);
    free(s->version);
}

void weir_subscription_want(struct weir_subscription *s, bool wildcard, const struct weir_str *names, size_t count)
{
    size_t before = s->wanted, kept = 0;
    bool wildcard_before = s->wildcard;
    /* Marks move from `wanted` before to `wanted` now in two passes, so that an unchanged set is seen as such. */
    struct weir_map now = {0};
    for (size_t i = 0; i < count; i++) {
        struct name *n = name_make(s, names[i]);
        if (weir_map_set(&now, text_of(n), n) != NULL) continue;
        kept += n->wanted;
        n->wanted = true;
    }
    s->active = true;
    s->wildcard = wildcard;
    s->wanted = now.count;
    EACH_NAME(s, at, following) {
        struct name *n = name_at(at);
        n->wanted = weir_map_get(&now, text_of(n)) != NULL;
        name_settle(s, n);
    }
    if (kept != before || kept != s->wanted || wildcard != wildcard_before) s->changed = true;
    weir_map_deinit(&now);
}

void weir_subscription_refresh(struct weir_subscription *s)
{
    s->refresh = true;
}

void weir_subscription_forget(struct weir_subscription *s, struct weir_str name)
{
    struct name *n = weir_map_get(&s->by_name, name);
    if (n == NULL) return;
    replace(&n->version, NULL);
    name_settle(s, n);
}

void weir_subscription_response(struct weir_subscription *s, const struct weir_ads_response *r)
{
    s->unanswered++;
    replace(&s->nonce_latest, copy(r->nonce));
}

static void hold(struct weir_subscription *s, const struct weir_ads_response *r)
{
    for (size_t i = 0; i < r->count; i++) {
        struct name *n = name_make(s, r->resources[i].name);
        if (n->wanted || s->wildcard) replace(&n->version, copy(r->resources[i].version));
        name_settle(s, n);
    }
    for (size_t i = 0; i < r->removed_count; i++) weir_subscription_forget(s, r->removed[i]);
}

void weir_subscription_verdict(struct weir_subscription *s, const struct weir_ads_response *r, const char *refused,
                               bool this_stream)
{
    if (refused == NULL) {
        replace(&s->version, copy(r->version));
        if (s->delta) hold(s, r);
    }
    if (!this_stream) return;
    if (s->unanswered > 0) s->unanswered--;
    /* State-of-the-world: what came later replaces it, its own answer says all. */
    bool superseded = !s->delta && (s->nonce_latest == NULL || !weir_str_eq(r->nonce, weir_str_of(s->nonce_latest)));
    if (superseded && refused == NULL) return;
    struct verdict *v = must(calloc(1, sizeof *v));
    v->refused = refused != NULL;
    v->nonce = copy(r->nonce);
    v->reason = copy(weir_str_of(refused));
    weir_list_push_back(&s->verdicts, &v->link);
}

static void add_all_names(struct weir_subscription *s, struct weir_arena *arena, struct weir_subscription_request *out)
{
    out->names = WEIR_NEW(arena, struct weir_str, s->wanted + 1);
    /* Wildcard alone is the empty list, as long as nothing was named before. */
    if (s->wildcard && (s->wanted > 0 || s->named)) out->names[out->name_count++] = star;
    EACH_NAME(s, at, following) {
        if (!name_at(at)->wanted) continue;
        name_at(at)->sent = true;
        out->names[out->name_count++] = text_of(name_at(at));
    }
    s->wildcard_sent = s->wildcard;
    s->changed = s->refresh = false;
    if (out->name_count > 0) s->named = true;
}

static void add_held(struct weir_subscription *s, struct weir_arena *arena, struct weir_subscription_request *out)
{
    out->held = WEIR_NEW(arena, struct weir_subscription_version, s->by_name.count + 1);
    EACH_NAME(s, at, following) {
        struct name *n = name_at(at);
        if (n->version == NULL) continue;
        out->held[out->held_count++] = (struct weir_subscription_version){text_of(n), weir_str_of(n->version)};
    }
}

static void add_changes(struct weir_subscription *s, struct weir_arena *arena, struct weir_subscription_request *out)
{
    out->names = WEIR_NEW(arena, struct weir_str, s->by_name.count + 1);
    out->removed = WEIR_NEW(arena, struct weir_str, s->by_name.count + 1);
    if (s->wildcard && !s->wildcard_sent) out->names[out->name_count++] = star;
    if (!s->wildcard && s->wildcard_sent) out->removed[out->removed_count++] = star;
    s->wildcard_sent = s->wildcard;
    EACH_NAME(s, at, following) {
        struct name *n = name_at(at);
        if (n->wanted && (!n->sent || s->refresh)) out->names[out->name_count++] = text_of(n);
        if (!n->wanted && n->sent) out->removed[out->removed_count++] = weir_arena_str(arena, text_of(n));
        n->sent = n->wanted;
        name_settle(s, n);
    }
    s->changed = s->refresh = false;
}

static bool next_delta(struct weir_subscription *s, struct weir_arena *arena, struct weir_subscription_request *out,
                       struct verdict *v)
{
    if (v != NULL) return true;
    if (!s->changed && !s->refresh) return false;
    add_changes(s, arena, out);
    return out->name_count + out->removed_count > 0;
}

static bool next_whole(struct weir_subscription *s, struct weir_arena *arena, struct weir_subscription_request *out,
                       struct verdict *v)
{
    if (v == NULL && ((!s->changed && !s->refresh) || s->unanswered > 0)) return false;
    bool ask_again = v != NULL && s->refresh; /* a repeated request is one that answers nothing */
    add_all_names(s, arena, out);
    s->refresh = ask_again;
    out->version = weir_str_of(s->version);
    out->nonce = weir_str_of(s->nonce_answered);
    return true;
}

bool weir_subscription_next(struct weir_subscription *s, struct weir_arena *arena, struct weir_subscription_request *out)
{
    *out = (struct weir_subscription_request){0};
    if (!s->requested) {
        /* A first request without names would ask for everything. */
        if (!s->active || (!s->wildcard && s->wanted == 0)) {
            for (struct verdict *v; (v = verdict_first(s)) != NULL;)
                verdict_free(v);
            s->changed = s->refresh = false;
            return false;
        }
        s->requested = true;
        add_all_names(s, arena, out);
        if (s->delta)
            add_held(s, arena, out);
        else
            out->version = weir_str_of(s->version);
        return true;
    }
    struct verdict *v = verdict_first(s);
    if (v != NULL) {
        replace(&s->nonce_answered, copy(weir_str_of(v->nonce)));
        out->refused = v->refused;
        out->reason = weir_arena_str(arena, weir_str_of(v->reason));
        out->nonce = weir_str_of(s->nonce_answered);
    }
    bool any = s->delta ? next_delta(s, arena, out, v) : next_whole(s, arena, out, v);
    if (v != NULL) verdict_free(v);
    return any;
}
