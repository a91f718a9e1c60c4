# The executable and its installation.
if(EXISTS ${CMAKE_SOURCE_DIR}/src/app/main.c)
  add_executable(prompteur ${CMAKE_SOURCE_DIR}/src/app/main.c)
  target_link_libraries(prompteur PRIVATE app)
  install(TARGETS prompteur RUNTIME DESTINATION bin)
endif()
