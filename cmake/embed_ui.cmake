# Writes the page's files as C arrays: cmake -DOUT=ui_files.c -DFROM=src/api/ui -P embed_ui.cmake
#
# One row a file: path below /ui, type by its ending, an entity tag that is the digest of its bytes.
set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")

file(GLOB names RELATIVE ${FROM} ${FROM}/*.html ${FROM}/*.css ${FROM}/*.js)
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
  set(path /ui/${name})
  if(name STREQUAL index.html)
    set(path /ui)
  endif()
  string(APPEND arrays "static const unsigned char file_${i}[] = {\n${bytes}};\n")
  string(APPEND rows "    {\"${path}\", \"${type_${ending}}\", \"\\\"${tag}\\\"\", file_${i}, sizeof file_${i}},\n")
  math(EXPR i "${i} + 1")
endforeach()
file(WRITE ${OUT} "/* Made from src/api/ui by cmake/embed_ui.cmake. */\n#include \"api/ui_int.h\"\n\n${arrays}\n"
  "const struct ui_file ui_files[] = {\n${rows}};\nconst size_t n_ui_files = sizeof ui_files / sizeof *ui_files;\n")
