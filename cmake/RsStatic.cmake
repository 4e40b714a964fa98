# RS_STATIC_LIBS: libuv, libpng, zlib and libjpeg from their archives, so that the programs run where those aren't installed. cJSON's
# package has no archive: it stays shared, and installed programs look for it in lib/rstream (tools/bundle puts it there).
option(RS_STATIC_LIBS "Link libuv, libpng, zlib and libjpeg statically" OFF)
if(NOT RS_STATIC_LIBS)
  return()
endif()

# rs_link_archives(target archive... [library...]): what an imported target of pkg-config links instead; plain names are the system's.
function(rs_link_archives target)
  set(links "")
  foreach(name ${ARGN})
    if(name MATCHES "\\.a$")
      find_library(RS_ARCHIVE_${name} ${name})
      if(NOT RS_ARCHIVE_${name})
        message(FATAL_ERROR "RS_STATIC_LIBS: there is no ${name}; the -dev package of the library has it")
      endif()
      set(name ${RS_ARCHIVE_${name}})
    endif()
    list(APPEND links ${name})
  endforeach()
  set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES "${links}")
endfunction()

rs_link_archives(PkgConfig::UV libuv_a.a pthread dl rt)
rs_link_archives(PkgConfig::PNG libpng16.a libz.a m)
rs_link_archives(PkgConfig::JPEG libjpeg.a)
set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib/rstream")
# the old kind, which counts for what the libraries need as well
add_link_options(-Wl,--disable-new-dtags)
