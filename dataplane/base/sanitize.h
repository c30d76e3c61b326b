/* Whether this build runs under AddressSanitizer: pools and arenas then give every object memory of its own, so that
 * overruns and uses after release are seen. */
#ifndef WEIR_BASE_SANITIZE_H
#define WEIR_BASE_SANITIZE_H

#if defined(__SANITIZE_ADDRESS__)
#define WEIR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_ASAN 1
#endif
#endif
#ifndef WEIR_ASAN
#define WEIR_ASAN 0
#endif

#endif
