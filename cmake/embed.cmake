# Writes files as C arrays: cmake -DOUT=embedded.c -DFROM=src/api -P embed.cmake
#
# One row a file: its path, type by its ending, an entity tag that is the digest of its bytes. A folder of a page is
# served below its name, index.html at the name itself (docs: with a slash, as TGI has it).
set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_json "application/json")
set(index_ui /ui)
set(index_docs /docs/)

file(GLOB names RELATIVE ${FROM} ${FROM}/ui/*.* ${FROM}/docs/*.* ${FROM}/openapi/*.json)
list(SORT names)
set(rows "")
set(arrays "")
set(i 0)
foreach(name ${names})
  file(READ ${FROM}/${name} hex HEX)
  file(SHA256 ${FROM}/${name} digest)
  string(SUBSTRING ${digest} 0 32 tag)
  string(REGEX REPLACE "(................................................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE ".*\\." "" ending ${name})
  set(path /${name})
  if(name MATCHES "(.*)/index\\.html$")
    set(path ${index_${CMAKE_MATCH_1}})
  endif()
  string(APPEND arrays "static const unsigned char file_${i}[] = {\n${bytes}};\n")
  string(APPEND rows "    {\"${path}\", \"${type_${ending}}\", \"\\\"${tag}\\\"\", file_${i}, sizeof file_${i}},\n")
  math(EXPR i "${i} + 1")
endforeach()
file(WRITE ${OUT} "/* Made from files in src/api by cmake/embed.cmake. */\n#include \"api/embedded_int.h\"\n\n${arrays}\n"
  "static const struct embedded files[] = {\n${rows}};\n\n"
  "const struct embedded *embedded_find(struct str path)\n{\n"
  "    for (size_t i = 0; i < sizeof files / sizeof *files; i++)\n"
  "        if (str_eq(path, str_from(files[i].path)))\n            return &files[i];\n    return NULL;\n}\n")
