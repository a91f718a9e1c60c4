# Libraries. Debian packages through pkg-config; llhttp and yyjson as pinned sources that ./dev unpacks into
# third_party/ (from PyPI source archives, by SHA-256).
pkg_check_modules(libuv REQUIRED IMPORTED_TARGET libuv>=1.44)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.42)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(crypto REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(curl REQUIRED IMPORTED_TARGET libcurl>=7.85)
if(PROMPTEUR_TESTS)
  pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka)
endif()

set(third_party_dir ${CMAKE_SOURCE_DIR}/third_party)
foreach(lib llhttp yyjson)
  if(NOT EXISTS ${third_party_dir}/${lib})
    message(FATAL_ERROR "third_party/${lib} is missing: run ./dev build, which fetches it")
  endif()
endforeach()

file(GLOB llhttp_sources ${third_party_dir}/llhttp/*.c)
add_library(llhttp STATIC ${llhttp_sources})
target_include_directories(llhttp SYSTEM PUBLIC ${third_party_dir}/llhttp)
target_link_libraries(llhttp PRIVATE prompteur_instrument)
add_library(third_party::llhttp ALIAS llhttp)

add_library(yyjson STATIC ${third_party_dir}/yyjson/yyjson.c)
target_include_directories(yyjson SYSTEM PUBLIC ${third_party_dir}/yyjson)
target_link_libraries(yyjson PRIVATE prompteur_instrument)
add_library(third_party::yyjson ALIAS yyjson)

if(PROMPTEUR_SANITIZE MATCHES address) # the undefined-behaviour checks double the time to compile these, and are for our code
  foreach(lib llhttp yyjson)
    target_compile_options(${lib} PRIVATE -fno-sanitize=undefined)
  endforeach()
endif()
