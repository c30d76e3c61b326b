/* Header maps and the interning of names. Used by codecs, filters and routes on every message: lookups compare numbers. */
#include "dataplane/base/headers.h"

#include <assert.h>

#include "dataplane/base/str.h"

#define FIRST_CAPACITY 16u
#define INTERN_SLOTS 512u

static const struct weir_str names[WEIR_H_COUNT] = {
    [WEIR_H_NONE] = {NULL, 0},
#define X(id, name) [WEIR_H_##id] = WEIR_STR_INIT(name),
    WEIR_HEADER_NAMES(X)
#undef X
};
/* Ids by hash, linear probing, 0: free. Filled before main() and constant from then on: C cannot index by the characters
 * of a literal at compile time. */
static uint8_t interned[INTERN_SLOTS];
_Static_assert(WEIR_H_COUNT <= UINT8_MAX, "ids fit a byte");
_Static_assert(WEIR_H_COUNT * 3 < INTERN_SLOTS, "probes stay short");

static uint64_t load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t load4(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* Both ends and the length tell the known names apart; that is all a hash is needed for here. */
static unsigned intern_hash(struct weir_str s)
{
    uint64_t a, b;
    if (s.n >= 8) {
        a = load8(s.p);
        b = load8(s.p + s.n - 8);
    } else if (s.n >= 4) {
        a = load4(s.p);
        b = load4(s.p + s.n - 4);
    } else {
        a = b = 0;
        for (size_t i = 0; i < s.n; i++)
            a = a << 8 | (unsigned char)s.p[i];
    }
    uint64_t h = (a * 0x9e3779b97f4a7c15u) ^ ((b + s.n) * 0xd6e8feb86659fd93u);
    return (unsigned)(h * 0xff51afd7ed558ccdu >> 55);
}

__attribute__((constructor)) static void intern_all(void)
{
    for (unsigned id = 1; id < WEIR_H_COUNT; id++) {
        unsigned i = intern_hash(names[id]);
        while (interned[i] != 0)
            i = (i + 1) % INTERN_SLOTS;
        interned[i] = (uint8_t)id;
    }
}

enum weir_header_id weir_header_id(struct weir_str name)
{
    for (unsigned i = intern_hash(name); interned[i] != 0; i = (i + 1) % INTERN_SLOTS)
        if (weir_str_eq(names[interned[i]], name)) return (enum weir_header_id)interned[i];
    return WEIR_H_NONE;
}

struct weir_str weir_header_name(enum weir_header_id id)
{
    return names[id];
}

void weir_headers_init(struct weir_headers *h, struct weir_arena *arena)
{
    *h = (struct weir_headers){.arena = arena};
}

/* Index of the first header at or after `from` with this name, or h->count. */
static uint32_t find_from(const struct weir_headers *h, uint32_t from, enum weir_header_id id, struct weir_str name)
{
    for (uint32_t i = from; i < h->count; i++) {
        if (h->at[i].id != id) continue;
        if (id != WEIR_H_NONE || weir_str_eq(h->at[i].name, name)) return i;
    }
    return h->count;
}

struct weir_header *weir_headers_find(const struct weir_headers *h, enum weir_header_id id)
{
    for (uint32_t i = 0; i < h->count; i++)
        if (h->at[i].id == id) return &h->at[i];
    return NULL;
}

struct weir_header *weir_headers_find_name(const struct weir_headers *h, struct weir_str name)
{
    uint32_t i = find_from(h, 0, weir_header_id(name), name);
    return i < h->count ? &h->at[i] : NULL;
}

struct weir_str weir_headers_get(const struct weir_headers *h, enum weir_header_id id)
{
    const struct weir_header *at = weir_headers_find(h, id);
    return at != NULL ? at->value : (struct weir_str){NULL, 0};
}

struct weir_str weir_headers_get_joined(const struct weir_headers *h, struct weir_str name, struct weir_arena *arena)
{
    enum weir_header_id id = weir_header_id(name);
    uint32_t first = find_from(h, 0, id, name);
    if (first == h->count) return (struct weir_str){NULL, 0};
    size_t bytes = h->at[first].value.n;
    uint32_t more = 0;
    for (uint32_t i = find_from(h, first + 1, id, name); i < h->count; i = find_from(h, i + 1, id, name)) {
        bytes += 1 + h->at[i].value.n;
        more++;
    }
    if (more == 0) {
        struct weir_str one = h->at[first].value;
        return one.p != NULL ? one : WEIR_STR("");
    }
    char *p = weir_arena_alloc(arena, bytes + 1);
    size_t n = 0;
    for (uint32_t i = first; i < h->count; i = find_from(h, i + 1, id, name)) {
        if (n != 0 || i != first) p[n++] = ',';
        if (h->at[i].value.n != 0) memcpy(p + n, h->at[i].value.p, h->at[i].value.n);
        n += h->at[i].value.n;
    }
    return (struct weir_str){p, n};
}

static bool is_pseudo(const struct weir_header *x)
{
    return x->name.n != 0 && x->name.p[0] == ':';
}

static void insert(struct weir_headers *h, struct weir_header x)
{
    if (h->count == h->capacity) {
        uint32_t capacity = h->capacity == 0 ? FIRST_CAPACITY : h->capacity * 2;
        struct weir_header *at = WEIR_NEW(h->arena, struct weir_header, capacity);
        if (h->count != 0) memcpy(at, h->at, sizeof(*at) * h->count);
        h->at = at;
        h->capacity = capacity;
    }
    uint32_t at = h->count;
    if (at != 0 && is_pseudo(&x) && !is_pseudo(&h->at[at - 1])) {
        while (at != 0 && !is_pseudo(&h->at[at - 1]))
            at--;
        memmove(&h->at[at + 1], &h->at[at], sizeof(x) * (h->count - at));
    }
    h->at[at] = x;
    h->count++;
    h->bytes += (uint32_t)(x.name.n + x.value.n);
}

void weir_headers_add(struct weir_headers *h, enum weir_header_id id, struct weir_str value)
{
    assert(id != WEIR_H_NONE);
    insert(h, (struct weir_header){names[id], value, (uint16_t)id});
}

void weir_headers_add_name(struct weir_headers *h, struct weir_str lower_name, struct weir_str value)
{
    insert(h, (struct weir_header){lower_name, value, (uint16_t)weir_header_id(lower_name)});
}

void weir_headers_add_copy(struct weir_headers *h, struct weir_str name, struct weir_str value)
{
    char small[64];
    char *lower = name.n <= sizeof(small) ? small : weir_arena_alloc(h->arena, name.n);
    for (size_t i = 0; i < name.n; i++)
        lower[i] = weir_lower(name.p[i]);
    struct weir_str own = {lower, name.n};
    enum weir_header_id id = weir_header_id(own);
    if (id != WEIR_H_NONE)
        own = names[id];
    else if (lower == small)
        own = weir_arena_str(h->arena, own);
    insert(h, (struct weir_header){own, weir_arena_str(h->arena, value), (uint16_t)id});
}

static uint32_t remove_from(struct weir_headers *h, uint32_t from, enum weir_header_id id, struct weir_str name)
{
    uint32_t kept = find_from(h, from, id, name), removed = 0;
    for (uint32_t i = kept; i < h->count; i++) {
        struct weir_header *x = &h->at[i];
        if (x->id == id && (id != WEIR_H_NONE || weir_str_eq(x->name, name))) {
            h->bytes -= (uint32_t)(x->name.n + x->value.n);
            removed++;
        } else {
            h->at[kept++] = *x;
        }
    }
    h->count -= removed;
    return removed;
}

static void set(struct weir_headers *h, enum weir_header_id id, struct weir_str name, struct weir_str value)
{
    uint32_t i = find_from(h, 0, id, name);
    if (i == h->count) {
        insert(h, (struct weir_header){name, value, (uint16_t)id});
        return;
    }
    h->bytes = (uint32_t)(h->bytes - h->at[i].value.n + value.n);
    h->at[i].value = value;
    (void)remove_from(h, i + 1, id, name);
}

void weir_headers_set(struct weir_headers *h, enum weir_header_id id, struct weir_str value)
{
    assert(id != WEIR_H_NONE);
    set(h, id, names[id], value);
}

void weir_headers_set_name(struct weir_headers *h, struct weir_str lower_name, struct weir_str value)
{
    set(h, weir_header_id(lower_name), lower_name, value);
}

void weir_headers_set_int(struct weir_headers *h, enum weir_header_id id, uint64_t value)
{
    char digits[20];
    size_t n = weir_u64_print(digits, value);
    weir_headers_set(h, id, weir_arena_str(h->arena, (struct weir_str){digits, n}));
}

uint32_t weir_headers_remove(struct weir_headers *h, enum weir_header_id id)
{
    assert(id != WEIR_H_NONE);
    return remove_from(h, 0, id, names[id]);
}

uint32_t weir_headers_remove_name(struct weir_headers *h, struct weir_str lower_name)
{
    return remove_from(h, 0, weir_header_id(lower_name), lower_name);
}

void weir_headers_remove_at(struct weir_headers *h, uint32_t index)
{
    assert(index < h->count);
    h->bytes -= (uint32_t)(h->at[index].name.n + h->at[index].value.n);
    h->count--;
    memmove(&h->at[index], &h->at[index + 1], sizeof(h->at[0]) * (h->count - index));
}

static bool held_once(uint16_t id)
{
    switch (id) {
    case WEIR_H_CONTENT_TYPE:
    case WEIR_H_CONTENT_ENCODING:
    case WEIR_H_EXPECT:
    case WEIR_H_VIA:
    case WEIR_H_USER_AGENT:
    case WEIR_H_REFERER:
    case WEIR_H_ORIGIN:
    case WEIR_H_ACCEPT:
    case WEIR_H_ACCEPT_ENCODING:
    case WEIR_H_AUTHORIZATION:
    case WEIR_H_CACHE_CONTROL:
    case WEIR_H_GRPC_TIMEOUT:
    case WEIR_H_GRPC_ACCEPT_ENCODING:
    case WEIR_H_X_FORWARDED_FOR:
    case WEIR_H_X_FORWARDED_PROTO:
    case WEIR_H_X_FORWARDED_HOST:
    case WEIR_H_X_FORWARDED_PORT:
    case WEIR_H_X_FORWARDED_CLIENT_CERT:
    case WEIR_H_X_REQUEST_ID:
    case WEIR_H_ACCESS_CONTROL_REQUEST_METHOD:
    case WEIR_H_ACCESS_CONTROL_REQUEST_HEADERS: return true;
    default: return false;
    }
}

void weir_headers_join_known(struct weir_headers *h)
{
    uint64_t seen[(WEIR_H_COUNT + 63) / 64] = {0};
    for (uint32_t i = 0; i < h->count; i++) {
        uint16_t id = h->at[i].id;
        uint64_t bit = (uint64_t)1 << (id & 63);
        if (id == WEIR_H_NONE || (seen[id / 64] & bit) == 0 || !held_once(id)) {
            seen[id / 64] |= bit;
            continue;
        }
        struct weir_str all = weir_headers_get_joined(h, names[id], h->arena);
        weir_headers_set(h, (enum weir_header_id)id, all);
        i--; /* what stood here is gone */
    }
}

void weir_headers_copy(struct weir_headers *to, const struct weir_headers *from)
{
    to->count = from->count;
    to->capacity = from->count;
    to->bytes = from->bytes;
    to->at = NULL;
    if (from->count == 0) return;
    to->capacity = from->count + 4;
    to->at = WEIR_NEW(to->arena, struct weir_header, to->capacity);
    memcpy(to->at, from->at, sizeof(from->at[0]) * from->count);
}

/* RFC 9110 5.6.2 tchar. */
static bool is_tchar(unsigned char c)
{
    static const uint64_t bits[2] = {
        /* ! # $ % & ' * + - . 0-9 */ 0x03ff6cfa00000000u,
        /* A-Z ^ _ ` a-z | ~ */ 0x57ffffffc7fffffeu,
    };
    return c < 128 && (bits[c >> 6] >> (c & 63) & 1) != 0;
}

bool weir_header_name_valid(struct weir_str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!is_tchar((unsigned char)name.p[i])) return false;
    return name.n != 0;
}

bool weir_header_value_valid(struct weir_str value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

bool weir_header_list_next(struct weir_str value, size_t *at, struct weir_str *element)
{
    while (*at < value.n) {
        size_t end = *at;
        bool quoted = false;
        for (; end < value.n && (quoted || value.p[end] != ','); end++) {
            if (quoted && value.p[end] == '\\' && end + 1 < value.n)
                end++;
            else if (value.p[end] == '"')
                quoted = !quoted;
        }
        *element = weir_str_trim((struct weir_str){value.p + *at, end - *at});
        *at = end < value.n ? end + 1 : end;
        if (element->n != 0) return true;
    }
    return false;
}

bool weir_header_list_has(struct weir_str value, struct weir_str lower_token)
{
    size_t at = 0;
    struct weir_str element;
    while (weir_header_list_next(value, &at, &element))
        if (weir_str_eq_nocase(element, lower_token)) return true;
    return false;
}
