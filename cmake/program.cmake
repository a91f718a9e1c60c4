# The executable, where it finds the demo model, installation and packages.
#
# The program looks for the model at ../share/prompteur/models/demo from its own folder; the build tree has a link there.
add_executable(prompteur ${CMAKE_SOURCE_DIR}/src/app/main.c)
target_link_libraries(prompteur PRIVATE app)

set(demo_export ${CMAKE_SOURCE_DIR}/models/demo/export)
set(demo_place share/prompteur/models)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/${demo_place})
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
file(CREATE_LINK ${demo_export} ${CMAKE_BINARY_DIR}/${demo_place}/demo SYMBOLIC)

install(TARGETS prompteur RUNTIME DESTINATION bin)
foreach(legacy launcher router server) # TGI's programs, for scripts that call them
  file(CREATE_LINK prompteur ${CMAKE_BINARY_DIR}/bin/text-generation-${legacy} SYMBOLIC)
  install(FILES ${CMAKE_BINARY_DIR}/bin/text-generation-${legacy} DESTINATION bin)
endforeach()
install(DIRECTORY ${demo_export}/ DESTINATION ${demo_place}/demo)
foreach(document README.md CHANGELOG.md LICENSE THIRD_PARTY.md)
  install(FILES ${CMAKE_SOURCE_DIR}/${document} DESTINATION share/doc/prompteur)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME prompteur)
set(CPACK_PACKAGE_VENDOR "prompteur developers")
set(CPACK_PACKAGE_CONTACT "prompteur developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Server for open language models that speaks TGI's HTTP API")
set(CPACK_PACKAGE_DESCRIPTION
"prompteur reads a Hugging Face checkpoint from disk and answers over the HTTP
API of Text Generation Inference, streaming included, on what the machine has.
One program, no Python. It carries a small demo model.")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON) # needs dpkg-dev
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
include(CPack)
