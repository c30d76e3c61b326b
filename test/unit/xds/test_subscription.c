/* Which request goes next, against scripted sequences of the protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "xds/back_off.h"
#include "xds/subscription.h"

struct fixture {
    struct weir_subscription s;
    struct weir_arena arena;
};

static void begin(struct fixture *f, bool delta)
{
    *f = (struct fixture){0};
    weir_subscription_init(&f->s, delta);
}

static void end(struct fixture *f)
{
    weir_subscription_deinit(&f->s);
    weir_arena_deinit(&f->arena);
}

static void want(struct fixture *f, const char *names)
{
    struct weir_str list[8];
    size_t count = 0;
    bool wildcard = names[0] == '*';
    for (const char *p = wildcard ? names + 1 : names; *p != '\0'; p++)
        if (*p != ' ') list[count++] = (struct weir_str){p, 1};
    weir_subscription_want(&f->s, wildcard, list, count);
}

/* Names are single letters: "ab" is two of them. */
static struct weir_ads_response *response(struct fixture *f, const char *version, const char *nonce, const char *names,
                                          const char *removed)
{
    struct weir_ads_response *r = WEIR_NEW(&f->arena, struct weir_ads_response, 1);
    r->version = weir_str_of(version);
    r->nonce = weir_str_of(nonce);
    r->count = strlen(names);
    r->resources = WEIR_NEW(&f->arena, struct weir_ads_resource, r->count + 1);
    for (size_t i = 0; i < r->count; i++) {
        r->resources[i].name = (struct weir_str){names + i, 1};
        r->resources[i].version = r->version;
    }
    r->removed_count = strlen(removed);
    r->removed = WEIR_NEW(&f->arena, struct weir_str, r->removed_count + 1);
    for (size_t i = 0; i < r->removed_count; i++)
        r->removed[i] = (struct weir_str){removed + i, 1};
    weir_subscription_response(&f->s, r);
    return r;
}

static void accept(struct fixture *f, const struct weir_ads_response *r)
{
    weir_subscription_verdict(&f->s, r, NULL, true);
}

/* "v=VERSION n=NONCE +NAMES -NAMES held=NAME@VERSION, !REASON" of the next request; "" for none. */
static void expect(struct fixture *f, const char *wanted)
{
    struct weir_subscription_request r;
    char text[256] = "";
    size_t n = 0;
    if (weir_subscription_next(&f->s, &f->arena, &r)) {
        n = (size_t)snprintf(text, sizeof text, "v=%.*s n=%.*s +", WEIR_STR_ARG(r.version), WEIR_STR_ARG(r.nonce));
        for (size_t i = 0; i < r.name_count; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%.*s", WEIR_STR_ARG(r.names[i]));
        n += (size_t)snprintf(text + n, sizeof text - n, " -");
        for (size_t i = 0; i < r.removed_count; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%.*s", WEIR_STR_ARG(r.removed[i]));
        for (size_t i = 0; i < r.held_count; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, " %.*s@%.*s", WEIR_STR_ARG(r.held[i].name),
                                  WEIR_STR_ARG(r.held[i].version));
        if (r.refused) snprintf(text + n, sizeof text - n, " !%.*s", WEIR_STR_ARG(r.reason));
    }
    assert_string_equal(text, wanted);
}

static void test_nothing_is_asked_before_somebody_subscribes(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false);
    expect(&f, "");
    want(&f, ""); /* no names and no wildcard: an empty list would ask for all */
    expect(&f, "");
    want(&f, "a");
    expect(&f, "v= n= +a -");
    expect(&f, "");
    end(&f);
}

static void test_an_ack_carries_version_nonce_and_all_names(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false);
    want(&f, "ab");
    expect(&f, "v= n= +ab -");
    accept(&f, response(&f, "1", "n1", "ab", ""));
    expect(&f, "v=1 n=n1 +ab -");
    want(&f, "ba");
    expect(&f, ""); /* the same set */
    want(&f, "ac");
    expect(&f, "v=1 n=n1 +ac -");
    want(&f, "");
    expect(&f, "v=1 n=n1 + -");
    end(&f);
}

static void test_a_nack_keeps_the_last_version(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false);
    want(&f, "*");
    expect(&f, "v= n= + -");
    weir_subscription_verdict(&f.s, response(&f, "1", "n1", "a", ""), "bad", true);
    expect(&f, "v= n=n1 + - !bad");
    accept(&f, response(&f, "2", "n2", "a", ""));
    expect(&f, "v=2 n=n2 + -");
    weir_subscription_verdict(&f.s, response(&f, "3", "n3", "a", ""), "worse", true);
    expect(&f, "v=2 n=n3 + - !worse");
    end(&f);
}

static void test_names_wait_for_the_answer_to_a_response(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false);
    want(&f, "a");
    expect(&f, "v= n= +a -");
    struct weir_ads_response *r = response(&f, "1", "n1", "a", "");
    want(&f, "ab");
    expect(&f, "");
    accept(&f, r);
    expect(&f, "v=1 n=n1 +ab -");
    expect(&f, "");
    end(&f);
}

static void test_only_the_last_of_several_responses_is_acked(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false);
    want(&f, "*");
    expect(&f, "v= n= + -");
    struct weir_ads_response *first = response(&f, "1", "n1", "a", ""), *second = response(&f, "2", "n2", "a", "");
    accept(&f, first);
    expect(&f, "");
    accept(&f, second);
    expect(&f, "v=2 n=n2 + -");
    end(&f);
}

static void test_a_new_stream_says_the_version_without_a_nonce(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false);
    want(&f, "ab");
    expect(&f, "v= n= +ab -");
    accept(&f, response(&f, "1", "n1", "ab", ""));
    struct weir_ads_response *late = response(&f, "2", "n2", "ab", "");
    weir_subscription_stream_end(&f.s);
    expect(&f, "v=1 n= +ab -");
    weir_subscription_verdict(&f.s, late, NULL, false); /* of the ended stream: sends nothing, is held all the same */
    expect(&f, "");
    weir_subscription_stream_end(&f.s);
    expect(&f, "v=2 n= +ab -");
    end(&f);
}

static void test_a_refresh_repeats_the_last_request(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false);
    want(&f, "a");
    expect(&f, "v= n= +a -");
    struct weir_ads_response *r = response(&f, "1", "n1", "a", "");
    weir_subscription_refresh(&f.s);
    accept(&f, r);
    expect(&f, "v=1 n=n1 +a -");
    expect(&f, "v=1 n=n1 +a -");
    expect(&f, "");
    end(&f);
}

static void test_wildcard_beside_names_is_spelt_out(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false);
    want(&f, "a");
    expect(&f, "v= n= +a -");
    want(&f, "*");
    expect(&f, "v= n= +* -");
    end(&f);
    begin(&f, true);
    want(&f, "*a");
    expect(&f, "v= n= +*a -");
    want(&f, "a");
    expect(&f, "v= n= + -*");
    want(&f, "*a");
    expect(&f, "v= n= +* -");
    end(&f);
}

static void test_delta_sends_differences(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, true);
    want(&f, "ab");
    expect(&f, "v= n= +ab -");
    struct weir_ads_response *r = response(&f, "1", "n1", "ab", "");
    want(&f, "bcd");
    expect(&f, "v= n= +cd -a"); /* does not wait for the verdict */
    accept(&f, r);
    expect(&f, "v= n=n1 + -");
    want(&f, "bcda");
    want(&f, "bcd");
    expect(&f, ""); /* taken back before it was sent */
    weir_subscription_verdict(&f.s, response(&f, "2", "n2", "c", ""), "bad", true);
    expect(&f, "v= n=n2 + - !bad");
    weir_subscription_refresh(&f.s);
    expect(&f, "v= n= +bcd -");
    end(&f);
}

static void test_delta_resumes_with_what_it_holds(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, true);
    want(&f, "*");
    expect(&f, "v= n= + -");
    accept(&f, response(&f, "1", "n1", "abc", ""));
    accept(&f, response(&f, "2", "n2", "b", "c"));
    weir_subscription_verdict(&f.s, response(&f, "3", "n3", "d", "a"), "bad", true);
    expect(&f, "v= n=n1 + -");
    expect(&f, "v= n=n2 + -");
    expect(&f, "v= n=n3 + - !bad");
    weir_subscription_stream_end(&f.s);
    expect(&f, "v= n= + - a@1 b@2");
    end(&f);
}

static void test_delta_does_not_hold_what_is_forgotten(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, true);
    want(&f, "*");
    expect(&f, "v= n= + -");
    accept(&f, response(&f, "1", "n1", "ab", ""));
    expect(&f, "v= n=n1 + -");
    weir_subscription_forget(&f.s, WEIR_STR("a"));
    weir_subscription_forget(&f.s, WEIR_STR("z"));
    weir_subscription_stream_end(&f.s);
    expect(&f, "v= n= + - b@1");
    end(&f);
}

static void test_delta_does_not_hold_what_is_no_longer_wanted(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, true);
    want(&f, "ab");
    expect(&f, "v= n= +ab -");
    accept(&f, response(&f, "1", "n1", "abz", ""));
    expect(&f, "v= n=n1 + -");
    want(&f, "b");
    weir_subscription_stream_end(&f.s);
    expect(&f, "v= n= +b - b@1");
    want(&f, "");
    weir_subscription_stream_end(&f.s);
    expect(&f, "");
    end(&f);
}

static void test_back_off_doubles_its_bound_up_to_the_cap(void **state)
{
    (void)state;
    struct weir_back_off b;
    weir_back_off_init(&b, 500, 30000);
    uint32_t bound = 500;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(b.bound_ms, bound);
        assert_true(weir_back_off_next_ms(&b, UINT32_MAX) < bound);
        bound = bound * 2 > 30000 ? 30000 : bound * 2;
    }
    weir_back_off_reset(&b);
    assert_int_equal(b.bound_ms, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_asked_before_somebody_subscribes),
        cmocka_unit_test(test_an_ack_carries_version_nonce_and_all_names),
        cmocka_unit_test(test_a_nack_keeps_the_last_version),
        cmocka_unit_test(test_names_wait_for_the_answer_to_a_response),
        cmocka_unit_test(test_only_the_last_of_several_responses_is_acked),
        cmocka_unit_test(test_a_new_stream_says_the_version_without_a_nonce),
        cmocka_unit_test(test_a_refresh_repeats_the_last_request),
        cmocka_unit_test(test_wildcard_beside_names_is_spelt_out),
        cmocka_unit_test(test_delta_sends_differences),
        cmocka_unit_test(test_delta_resumes_with_what_it_holds),
        cmocka_unit_test(test_delta_does_not_hold_what_is_forgotten),
        cmocka_unit_test(test_delta_does_not_hold_what_is_no_longer_wanted),
        cmocka_unit_test(test_back_off_doubles_its_bound_up_to_the_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
