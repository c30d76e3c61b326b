/* Scenarios of the simulation and the seeds they run with: those that found something (test/sim/seeds.txt), a fixed range, and a
 * few that nobody has run before. Whatever ends a run badly, a failed check, an assertion or a sanitizer, names scenario and seed
 * with the command that repeats it. */
#ifndef TEST_SIM_SUPPORT_SEEDS_H
#define TEST_SIM_SUPPORT_SEEDS_H

#include <stdint.h>

/* Of the environment: WEIR_SIM_SEED=N runs that one alone, in the scenario WEIR_SIM_ONLY=NAME where given; WEIR_SIM_SEEDS=N runs N
 * times as many; WEIR_SIM_FRESH=N so many new ones. Where CI=true there are no new
 * ones by themselves: what judges a change is the same every time. */
void run_seeds(const char *scenario, uint64_t fixed, uint64_t fresh, void (*run)(uint64_t seed));

/* As teardown of the test that calls run_seeds(): tells which run did not come to its end. */
int seeds_tell(void **state);
#define scenario_test(f) cmocka_unit_test_teardown(f, seeds_tell)

#endif
