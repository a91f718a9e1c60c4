# prompteur_module(NAME DEPENDS modules... LIBS targets...): src/NAME/**/*.c as a static archive that sees only its
# dependencies' headers at link time. prompteur_tests(): one executable for each tests/unit/MODULE/test_*.c,
# linked with that module's archive and what it may use, nothing else.
set_property(GLOBAL PROPERTY PROMPTEUR_MODULES "")

function(prompteur_module name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
  # One body compiled once per instruction set, or with flags of its own: cpu_kernels.cmake adds these.
  list(FILTER sources EXCLUDE REGEX "/kernels/")
  list(FILTER sources EXCLUDE REGEX "/app/main\\.c$")
  if(NOT sources)
    set(sources ${CMAKE_SOURCE_DIR}/cmake/empty.c)
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC prompteur_flags prompteur_instrument ${ARG_DEPENDS} ${ARG_LIBS})
  set_property(GLOBAL APPEND PROPERTY PROMPTEUR_MODULES ${name})
endfunction()

function(prompteur_tests module)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/${module}/test_*.c)
  foreach(source ${sources})
    get_filename_component(stem ${source} NAME_WE)
    set(target unit_${module}_${stem})
    string(REPLACE unit_${module}_test_ unit_${module}_ target ${target})
    add_executable(${target} ${source})
    target_link_libraries(${target} PRIVATE ${module} PkgConfig::cmocka)
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
    add_test(NAME ${target} COMMAND ${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set(labels unit)
    if(module MATCHES "^(base|http|engine|model)$") # what the thread sanitizer runs
      list(APPEND labels threads)
    endif()
    set_tests_properties(${target} PROPERTIES TIMEOUT 300 LABELS "${labels}")
  endforeach()
endfunction()
