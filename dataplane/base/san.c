#include "dataplane/base/san.h"

#include "dataplane/base/regex.h"
#include "dataplane/base/str.h"

bool weir_san_dns_matches(struct weir_str name, struct weir_str san)
{
    if (weir_str_eq_nocase(name, san)) return true;
    if (san.n < 3 || san.p[0] != '*' || san.p[1] != '.') return false;
    size_t dot = weir_str_find(name, '.');
    return dot != 0 && dot < name.n &&
           weir_str_eq_nocase((struct weir_str){name.p + dot, name.n - dot}, (struct weir_str){san.p + 1, san.n - 1});
}

bool weir_san_matches(const struct weir_san_match *m, struct weir_str san)
{
    if (m->type == WEIR_SAN_DNS && m->matcher.kind == WEIR_MATCH_EXACT) return weir_san_dns_matches(m->matcher.text, san);
    return weir_string_matcher_match(&m->matcher, san);
}

struct weir_san_match *weir_sans_copy(struct weir_arena *a, const struct weir_san_match *sans, uint32_t count)
{
    struct weir_san_match *copy = WEIR_NEW(a, struct weir_san_match, count);
    for (uint32_t i = 0; i < count; i++) {
        copy[i] = sans[i];
        copy[i].matcher.text = weir_arena_str(a, sans[i].matcher.text);
        if (sans[i].matcher.regex != NULL) copy[i].matcher.regex = weir_regex_copy_into(a, sans[i].matcher.regex);
    }
    return copy;
}
