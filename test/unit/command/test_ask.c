/* Durations and URLs of the subcommands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/command/ask.h"

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"60s", 60000}, {"1.5s", 1500}, {"250ms", 250}, {"2m", 120000}, {"1h", 3600000}, {"3", 3000}, {"0s", 0}};
    static const char *const bad[] = {"", "s", "1d", "-1s", "1 s", "1s ", "ten", "1e300s"};
    uint64_t ms;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(weir_duration_read(good[i].text, &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (weir_duration_read(bad[i], &ms)) fail_msg("'%s' was taken as %llu ms", bad[i], (unsigned long long)ms);
}

static void test_urls_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "127.0.0.1:80", "https://127.0.0.1/", "http://", "http://a.example/", "http://127.0.0.1:0/",
                                      "http://127.0.0.1:70000/", "http://127.0.0.1:8x/", "http://[::1/", "http://1.2.3/"};
    struct weir_answer a;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        weir_ask("GET", bad[i], 100, &a);
        assert_int_equal(a.status, 0);
        if (strstr(a.text, "is no URL") == NULL) fail_msg("'%s': %s", bad[i], a.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_urls_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
