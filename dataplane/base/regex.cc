// RE2 behind plain C; see regex.h. The only C++ of weir: nothing here throws, RE2 reports by value.
#include "dataplane/base/regex.h"

#include <re2/re2.h>

#include <new>

struct weir_regex {
    explicit weir_regex(re2::StringPiece pattern, const RE2::Options &options) : re(pattern, options) {}
    RE2 re;
};

namespace {

constexpr int groups_max = 10; // \0 to \9

re2::StringPiece piece(struct weir_str s)
{
    return re2::StringPiece(s.p != nullptr ? s.p : "", s.n);
}

struct weir_str view(const re2::StringPiece &s)
{
    return weir_str{s.data(), s.size()};
}

// Length of `rewrite` with the groups put in; writes it where out is not NULL.
size_t expand(struct weir_str rewrite, const re2::StringPiece *groups, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < rewrite.n; i++) {
        char c = rewrite.p[i];
        if (c != '\\' || i + 1 == rewrite.n) {
            if (out != nullptr)
                out[n] = c;
            n++;
            continue;
        }
        c = rewrite.p[++i];
        if (c >= '0' && c <= '9') {
            const re2::StringPiece &group = groups[c - '0'];
            if (out != nullptr && !group.empty())
                memcpy(out + n, group.data(), group.size());
            n += group.size();
        } else {
            if (out != nullptr)
                out[n] = c;
            n++;
        }
    }
    return n;
}

// Length of the character at `at`, so that an empty match never splits one.
size_t character(struct weir_str text, size_t at)
{
    size_t n = 1;
    while (at + n < text.n && n < 4 && (static_cast<unsigned char>(text.p[at + n]) & 0xc0) == 0x80)
        n++;
    return n;
}

// One pass over text: length of the result, written where out is not NULL. *matches counts.
size_t replace(const RE2 &re, struct weir_str text, struct weir_str rewrite, char *out, size_t *matches)
{
    re2::StringPiece whole = piece(text), groups[groups_max];
    int count = re.NumberOfCapturingGroups() + 1 < groups_max ? re.NumberOfCapturingGroups() + 1 : groups_max;
    size_t at = 0, n = 0, last_end = SIZE_MAX;
    *matches = 0;
    while (at <= text.n && re.Match(whole, at, text.n, RE2::UNANCHORED, groups, count)) {
        size_t begin = static_cast<size_t>(groups[0].data() - whole.data()), length = groups[0].size();
        if (out != nullptr && begin > at)
            memcpy(out + n, text.p + at, begin - at);
        n += begin - at;
        at = begin;
        if (length == 0 && begin == last_end) { // an empty match right behind the last one is not a match of its own
            if (begin >= text.n)
                break;
            size_t step = character(text, begin);
            if (out != nullptr)
                memcpy(out + n, text.p + begin, step);
            n += step;
            at += step;
            last_end = SIZE_MAX;
            continue;
        }
        n += expand(rewrite, groups, out != nullptr ? out + n : nullptr);
        ++*matches;
        at = last_end = begin + length;
    }
    if (at < text.n) {
        if (out != nullptr)
            memcpy(out + n, text.p + at, text.n - at);
        n += text.n - at;
    }
    return n;
}

void destroy(void *regex)
{
    weir_regex_destroy(static_cast<struct weir_regex *>(regex));
}

} // namespace

extern "C" {

enum weir_err weir_regex_compile(struct weir_str pattern, uint32_t program_size_max, struct weir_error *error,
                                 struct weir_regex **out)
{
    RE2::Options options;
    options.set_log_errors(false);
    struct weir_regex *r = new (std::nothrow) weir_regex(piece(pattern), options);
    if (r == nullptr)
        return weir_error_set(error, WEIR_ERR_LIMIT, "no memory for a regular expression");
    if (!r->re.ok()) {
        weir_error_set(error, WEIR_ERR_INVALID, "\"%.*s\" is no regular expression: %s", WEIR_STR_ARG(pattern),
                       r->re.error().c_str());
        weir_regex_destroy(r);
        return WEIR_ERR_INVALID;
    }
    int size = r->re.ProgramSize();
    if (program_size_max != 0 && size > 0 && static_cast<uint32_t>(size) > program_size_max) {
        weir_error_set(error, WEIR_ERR_LIMIT,
                       "regular expression \"%.*s\" has a program size of %d, the maximum is %u", WEIR_STR_ARG(pattern), size,
                       static_cast<unsigned>(program_size_max));
        weir_regex_destroy(r);
        return WEIR_ERR_LIMIT;
    }
    *out = r;
    return WEIR_OK;
}

void weir_regex_destroy(struct weir_regex *r)
{
    delete r;
}

enum weir_err weir_regex_compile_into(struct weir_arena *arena, struct weir_str pattern, uint32_t program_size_max,
                                      struct weir_error *error, const struct weir_regex **out)
{
    struct weir_regex *r = nullptr;
    enum weir_err err = weir_regex_compile(pattern, program_size_max, error, &r);
    if (err != WEIR_OK)
        return err;
    weir_arena_on_destroy(arena, destroy, r);
    *out = r;
    return WEIR_OK;
}

const struct weir_regex *weir_regex_copy_into(struct weir_arena *arena, const struct weir_regex *r)
{
    struct weir_regex *copy = new weir_regex(r->re.pattern(), r->re.options());
    weir_arena_on_destroy(arena, destroy, copy);
    return copy;
}

bool weir_regex_full_match(const struct weir_regex *r, struct weir_str text)
{
    return RE2::FullMatch(piece(text), r->re);
}

bool weir_regex_partial_match(const struct weir_regex *r, struct weir_str text)
{
    return RE2::PartialMatch(piece(text), r->re);
}

int weir_regex_groups(const struct weir_regex *r)
{
    return r->re.NumberOfCapturingGroups();
}

bool weir_regex_capture(const struct weir_regex *r, struct weir_str text, struct weir_str *groups, int count)
{
    re2::StringPiece found[groups_max];
    int n = count < groups_max ? count : groups_max;
    if (n > r->re.NumberOfCapturingGroups() + 1)
        n = r->re.NumberOfCapturingGroups() + 1;
    if (!r->re.Match(piece(text), 0, text.n, RE2::UNANCHORED, found, n))
        return false;
    for (int i = 0; i < count; i++)
        groups[i] = i < n ? view(found[i]) : weir_str{nullptr, 0};
    return true;
}

enum weir_err weir_regex_check_rewrite(const struct weir_regex *r, struct weir_str rewrite, struct weir_error *error)
{
    for (size_t i = 0; i < rewrite.n; i++) {
        if (rewrite.p[i] != '\\')
            continue;
        char c = ++i < rewrite.n ? rewrite.p[i] : '\0';
        if (c == '\\')
            continue;
        if (c < '0' || c > '9')
            return weir_error_set(error, WEIR_ERR_INVALID, "\"%.*s\": a backslash must be followed by a digit or a backslash",
                                  WEIR_STR_ARG(rewrite));
        if (c - '0' > r->re.NumberOfCapturingGroups())
            return weir_error_set(error, WEIR_ERR_INVALID, "\"%.*s\" names group %c, the pattern has %d", WEIR_STR_ARG(rewrite),
                                  c, r->re.NumberOfCapturingGroups());
    }
    return WEIR_OK;
}

struct weir_str weir_regex_replace(const struct weir_regex *r, struct weir_str text, struct weir_str rewrite,
                                   struct weir_arena *arena)
{
    size_t matches;
    size_t n = replace(r->re, text, rewrite, nullptr, &matches);
    if (matches == 0)
        return text;
    char *out = static_cast<char *>(weir_arena_alloc(arena, n + 1));
    replace(r->re, text, rewrite, out, &matches);
    out[n] = '\0';
    return weir_str{out, n};
}

} // extern "C"
