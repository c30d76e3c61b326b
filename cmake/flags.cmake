# Compiler and linker flags of every target, by preset.
include(CheckLinkerFlag)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# Assertions stay on in every build: they guard our own invariants and cost less than what they find.
set(CMAKE_C_FLAGS_RELEASE "-g")
set(CMAKE_CXX_FLAGS_RELEASE "-g")

add_compile_definitions(_GNU_SOURCE H2O_USE_EPOLL=1 H2O_USE_LIBUV=0)
add_compile_options(-fPIE -fno-strict-aliasing -ffunction-sections -fdata-sections -fstack-protector-strong)
add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--gc-sections -Wl,--as-needed)

set(WEIR_WARNINGS -Wall -Wextra -Werror -Wformat=2 -Wvla -Wpointer-arith -Wshadow
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wold-style-definition>
    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>)
add_compile_options(${WEIR_WARNINGS})

if(WEIR_SANITIZE)
  add_compile_options(-O1 -fno-omit-frame-pointer -fsanitize=${WEIR_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${WEIR_SANITIZE})
else()
  add_compile_options(-O2 -fcf-protection)
  add_compile_definitions(_FORTIFY_SOURCE=2)
  # Relative relocations packed into a bitmap: a tenth of the size, and pages that stay clean at start.
  check_linker_flag(C "-Wl,-z,pack-relative-relocs" WEIR_HAVE_RELR)
  if(WEIR_HAVE_RELR)
    add_link_options(-Wl,-z,pack-relative-relocs)
  endif()
endif()
if(WEIR_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
