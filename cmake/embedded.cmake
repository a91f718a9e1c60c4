# The pages at /ui and /docs and the frame of the OpenAPI document, built into the api module as bytes.
file(GLOB page_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/api/ui/*.* ${CMAKE_SOURCE_DIR}/src/api/docs/*.*
     ${CMAKE_SOURCE_DIR}/src/api/openapi/*.json)
set(embedded ${CMAKE_BINARY_DIR}/generated/embedded.c)
add_custom_command(
  OUTPUT ${embedded}
  COMMAND ${CMAKE_COMMAND} -DOUT=${embedded} -DFROM=${CMAKE_SOURCE_DIR}/src/api -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${page_sources} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  COMMENT "Embedding the pages"
  VERBATIM)
target_sources(api PRIVATE ${embedded})
