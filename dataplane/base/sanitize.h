/* Whether this build runs under AddressSanitizer: pools and arenas then give every object memory of its own, so that
 * overruns and uses after release are seen. And for ThreadSanitizer: what orders two threads where a library that is not built for it
 * does so by locks of its own: WEIR_TSAN_RELEASE(p) on the one comes before WEIR_TSAN_ACQUIRE(p) on the other. */
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

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR_TSAN 1
#endif
#endif
#ifdef WEIR_TSAN
void __tsan_acquire(void *p);
void __tsan_release(void *p);
#define WEIR_TSAN_ACQUIRE(p) __tsan_acquire((void *)(uintptr_t)(p))
#define WEIR_TSAN_RELEASE(p) __tsan_release((void *)(uintptr_t)(p))
#else
#define WEIR_TSAN_ACQUIRE(p) ((void)(p))
#define WEIR_TSAN_RELEASE(p) ((void)(p))
#endif

#endif
