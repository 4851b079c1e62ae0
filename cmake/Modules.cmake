# remora_module(NAME LAYER n SOURCES ... [DEPS modules...] [LIBS private third-party targets...])
#
# One folder is one module is one static library. A module may depend only on modules of a lower layer; configuring fails
# otherwise. Its headers are seen by those that depend on it; third-party headers named in LIBS stay inside.
function(remora_module name)
    cmake_parse_arguments(M "" "LAYER" "SOURCES;DEPS;LIBS" ${ARGN})
    add_library(remora_${name} STATIC ${M_SOURCES})
    set_target_properties(remora_${name} PROPERTIES REMORA_LAYER ${M_LAYER})
    target_include_directories(remora_${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
    foreach(dep IN LISTS M_DEPS)
        get_target_property(dep_layer remora_${dep} REMORA_LAYER)
        if(NOT dep_layer LESS M_LAYER)
            message(FATAL_ERROR "module ${name} (layer ${M_LAYER}) may not depend on ${dep} (layer ${dep_layer})")
        endif()
        target_link_libraries(remora_${name} PUBLIC remora_${dep})
    endforeach()
    target_link_libraries(remora_${name} PRIVATE remora_flags ${M_LIBS})
endfunction()

# remora_program(NAME SOURCES ... DEPS modules... [LIBS ...]): an executable, found in the build folder's bin/.
function(remora_program name)
    cmake_parse_arguments(P "" "" "SOURCES;DEPS;LIBS" ${ARGN})
    add_executable(${name} ${P_SOURCES})
    list(TRANSFORM P_DEPS PREPEND remora_ OUTPUT_VARIABLE deps)
    target_link_libraries(${name} PRIVATE ${deps} remora_flags ${P_LIBS})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
    install(TARGETS ${name} RUNTIME DESTINATION bin)
endfunction()

# remora_proto(NAME files.proto...): protobuf-c code, generated into the build folder, as the library remora_proto_NAME.
function(remora_proto name)
    set(out ${CMAKE_CURRENT_BINARY_DIR}/gen_${name})
    file(MAKE_DIRECTORY ${out})
    set(sources)
    foreach(file IN LISTS ARGN)
        get_filename_component(stem ${file} NAME_WE)
        get_filename_component(dir ${file} DIRECTORY)
        set(base ${out}/${dir}/${stem}.pb-c)
        add_custom_command(
            OUTPUT ${base}.c ${base}.h
            COMMAND ${PROTOC_C} --c_out=${out} -I${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${file}
            DEPENDS ${file} VERBATIM)
        list(APPEND sources ${base}.c)
    endforeach()
    add_library(remora_proto_${name} STATIC ${sources})
    target_include_directories(remora_proto_${name} SYSTEM PUBLIC ${out})
    target_link_libraries(remora_proto_${name} PUBLIC PkgConfig::PROTOBUF_C)
endfunction()
