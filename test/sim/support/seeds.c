#include "test/sim/support/seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define SEEDS_FILE "test/sim/seeds.txt" /* from the root, where ctest runs */

/* What runs now, for those that can not be asked: a signal handler and a sanitizer. */
static char now_running[256];

static bool failed;

/* For the leak sanitizer: what a failed run leaves behind is no news. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return failed;
}

static void tell(void)
{
    ssize_t n = write(STDERR_FILENO, now_running, strlen(now_running));
    (void)n;
}

static void on_abort(int number)
{
    tell();
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void begin(const char *scenario, uint64_t seed)
{
    char program[128];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    program[n > 0 ? n : 0] = '\0';
    const char *name = strrchr(program, '/');
    (void)snprintf(now_running, sizeof(now_running), "in %s, seed %llu. Again: WEIR_SIM_ONLY=%s WEIR_SIM_SEED=%llu build/release/tests/%s\n",
                   scenario, (unsigned long long)seed, scenario, (unsigned long long)seed, name != NULL ? name + 1 : program);
    (void)signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback != NULL) __sanitizer_set_death_callback(tell);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

int seeds_tell(void **state)
{
    (void)state;
    if (now_running[0] == '\0') return 0;
    failed = true;
    tell();
    now_running[0] = '\0';
    return 0;
}

/* Lines "SCENARIO SEED what it found"; others are remarks. */
static void run_kept(const char *scenario, void (*run)(uint64_t seed))
{
    FILE *f = fopen(SEEDS_FILE, "r");
    if (f == NULL) fail_msg("%s: not there; simulations run in the repository's root", SEEDS_FILE);
    char line[256], name[64];
    unsigned long long seed;
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%63s %llu", name, &seed) != 2 || strcmp(name, scenario) != 0) continue;
        begin(scenario, seed);
        run(seed);
    }
    (void)fclose(f);
}

void run_seeds(const char *scenario, uint64_t fixed, uint64_t fresh, void (*run)(uint64_t seed))
{
    const char *only = getenv("WEIR_SIM_ONLY"), *one = getenv("WEIR_SIM_SEED");
    if (only != NULL && strcmp(only, scenario) != 0) skip();
    if (one != NULL) {
        begin(scenario, strtoull(one, NULL, 10));
        run(strtoull(one, NULL, 10));
        now_running[0] = '\0';
        return;
    }
    run_kept(scenario, run);
    fixed *= from_environment("WEIR_SIM_SEEDS", 1);
    for (uint64_t seed = 0; seed < fixed; seed++) {
        begin(scenario, seed);
        run(seed);
    }
    const char *ci = getenv("CI");
    fresh = from_environment("WEIR_SIM_FRESH", ci != NULL && strcmp(ci, "true") == 0 ? 0 : fresh);
    for (uint64_t i = 0; i < fresh; i++) {
        uint64_t seed;
        if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) fail();
        begin(scenario, seed);
        run(seed);
    }
    now_running[0] = '\0';
}
