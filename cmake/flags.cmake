# Compiler flags for our own code. Nothing here depends on the machine that builds: one binary runs anywhere.
set(PROMPTEUR_SANITIZE "" CACHE STRING "Sanitizers for all targets, e.g. address,undefined or thread")
option(PROMPTEUR_COVERAGE "Instrument for coverage" OFF)

add_library(prompteur_flags INTERFACE)
target_compile_definitions(prompteur_flags INTERFACE _GNU_SOURCE PROMPTEUR_VERSION="${PROJECT_VERSION}")
target_compile_options(prompteur_flags INTERFACE
  -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wundef
  -fno-strict-aliasing -ffp-contract=off -fno-math-errno)
target_include_directories(prompteur_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
if(PROMPTEUR_WERROR)
  target_compile_options(prompteur_flags INTERFACE -Werror)
endif()

add_library(prompteur_instrument INTERFACE)
if(PROMPTEUR_SANITIZE)
  target_compile_options(prompteur_instrument INTERFACE
    -fsanitize=${PROMPTEUR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
    $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>) # instrumented code misleads gcc's analysis; release builds have the warning
  target_link_options(prompteur_instrument INTERFACE -fsanitize=${PROMPTEUR_SANITIZE})
endif()
if(PROMPTEUR_FUZZ)
  target_compile_options(prompteur_instrument INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(PROMPTEUR_COVERAGE)
  target_compile_options(prompteur_instrument INTERFACE --coverage)
  target_link_options(prompteur_instrument INTERFACE --coverage)
endif()
