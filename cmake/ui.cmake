# The page at /ui, built into the api module as bytes.
file(GLOB ui_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/api/ui/*.html ${CMAKE_SOURCE_DIR}/src/api/ui/*.css
     ${CMAKE_SOURCE_DIR}/src/api/ui/*.js)
set(ui_files ${CMAKE_BINARY_DIR}/generated/ui_files.c)
add_custom_command(
  OUTPUT ${ui_files}
  COMMAND ${CMAKE_COMMAND} -DOUT=${ui_files} -DFROM=${CMAKE_SOURCE_DIR}/src/api/ui -P ${CMAKE_SOURCE_DIR}/cmake/embed_ui.cmake
  DEPENDS ${ui_sources} ${CMAKE_SOURCE_DIR}/cmake/embed_ui.cmake
  COMMENT "Embedding the page"
  VERBATIM)
target_sources(api PRIVATE ${ui_files})
