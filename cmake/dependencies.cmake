# Every library that weir links, as one interface target. All are Debian 12 packages (deploy/packages, group build).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

add_library(weir_dependencies INTERFACE)
# protobuf-c comes with weir_api, as an archive.
foreach(module libh2o-evloop libnghttp2 yaml-0.1 openssl re2 libcares jansson libxxhash zlib)
  pkg_check_modules(${module} REQUIRED IMPORTED_TARGET ${module})
  target_link_libraries(weir_dependencies INTERFACE PkgConfig::${module})
endforeach()

# By hand: grpc.pc names some hundred absl libraries, which libgrpc.so brings by itself.
find_library(GRPC_LIBRARY grpc REQUIRED)
find_library(GPR_LIBRARY gpr REQUIRED)
target_link_libraries(weir_dependencies INTERFACE ${GRPC_LIBRARY} ${GPR_LIBRARY} Threads::Threads m)
