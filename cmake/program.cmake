# The executable, where it finds the demo model, installation and packages.
#
# The program looks for the model at ../share/prompteur/models/demo from its own folder; the build tree has a link there.
add_executable(prompteur ${CMAKE_SOURCE_DIR}/src/app/main.c)
target_link_libraries(prompteur PRIVATE app)

set(demo_export ${CMAKE_SOURCE_DIR}/models/demo/export)
set(demo_place share/prompteur/models)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/${demo_place})
file(CREATE_LINK ${demo_export} ${CMAKE_BINARY_DIR}/${demo_place}/demo SYMBOLIC)

install(TARGETS prompteur RUNTIME DESTINATION bin)
install(DIRECTORY ${demo_export}/ DESTINATION ${demo_place}/demo)
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/CHANGELOG.md
        DESTINATION share/doc/prompteur)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME prompteur)
set(CPACK_PACKAGE_CONTACT "prompteur developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Server for open language models that speaks TGI's HTTP API")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
include(CPack)
