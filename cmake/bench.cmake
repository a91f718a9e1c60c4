# prompteur-bench: the machine's ceilings and how near the program comes to them.
file(GLOB bench_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/*.c ${CMAKE_SOURCE_DIR}/bench/kernels/*.c)
add_executable(prompteur-bench ${bench_sources})
target_include_directories(prompteur-bench PRIVATE ${CMAKE_SOURCE_DIR}/bench)
target_link_libraries(prompteur-bench PRIVATE model text sample engine)
target_compile_options(prompteur-bench PRIVATE -Wno-psabi)
