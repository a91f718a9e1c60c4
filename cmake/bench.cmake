# prompteur-bench: the machine's ceilings and how near the program comes to them.
file(GLOB bench_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/*.c ${CMAKE_SOURCE_DIR}/bench/kernels/*.c)
add_executable(prompteur-bench ${bench_sources})
target_include_directories(prompteur-bench PRIVATE ${CMAKE_SOURCE_DIR}/bench)
target_link_libraries(prompteur-bench PRIVATE model text sample engine)
target_compile_options(prompteur-bench PRIVATE -Wno-psabi)

# The same engine with a sampler that replays a text: the archive's own is not linked.
add_executable(prompteur-bench-speculation
  ${CMAKE_SOURCE_DIR}/bench/speculation/main.c ${CMAKE_SOURCE_DIR}/bench/speculation/replay_sampler.c
  ${CMAKE_SOURCE_DIR}/bench/synthetic.c ${CMAKE_SOURCE_DIR}/bench/ceilings.c)
target_include_directories(prompteur-bench-speculation PRIVATE ${CMAKE_SOURCE_DIR}/bench ${CMAKE_SOURCE_DIR}/bench/speculation)
target_link_libraries(prompteur-bench-speculation PRIVATE engine)
target_compile_options(prompteur-bench-speculation PRIVATE -Wno-psabi)
