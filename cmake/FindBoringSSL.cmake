# BoringSSL: BoringSSL::SSL and BoringSSL::Crypto.
#
# By default Debian's android-libboringssl-dev, which lives in android/ subfolders so that it stays apart from OpenSSL.
# -DBORINGSSL_ROOT=/prefix takes any other install instead (include/ and lib/ below the prefix, as `cmake --install` of
# BoringSSL lays it out). Upstream's libraries are static and C++ inside, so the C++ runtime is linked with them.
set(BORINGSSL_ROOT "" CACHE PATH "prefix of a BoringSSL install; empty: Debian's android-libboringssl")

# What was found for another root stays in the cache, and would silently win over the root asked for now.
if(NOT "${BORINGSSL_ROOT}" STREQUAL "${BORINGSSL_ROOT_SEARCHED}")
    unset(BORINGSSL_INCLUDE_DIR CACHE)
    unset(BORINGSSL_SSL_LIBRARY CACHE)
    unset(BORINGSSL_CRYPTO_LIBRARY CACHE)
    set(BORINGSSL_ROOT_SEARCHED "${BORINGSSL_ROOT}" CACHE INTERNAL "the root that the cached paths were found for")
endif()

if(BORINGSSL_ROOT)
    find_path(BORINGSSL_INCLUDE_DIR openssl/is_boringssl.h PATHS ${BORINGSSL_ROOT}/include NO_DEFAULT_PATH)
    find_library(BORINGSSL_SSL_LIBRARY ssl PATHS ${BORINGSSL_ROOT}/lib ${BORINGSSL_ROOT}/lib64 ${BORINGSSL_ROOT}/build NO_DEFAULT_PATH)
    find_library(BORINGSSL_CRYPTO_LIBRARY crypto PATHS ${BORINGSSL_ROOT}/lib ${BORINGSSL_ROOT}/lib64 ${BORINGSSL_ROOT}/build NO_DEFAULT_PATH)
else()
    find_path(BORINGSSL_INCLUDE_DIR openssl/is_boringssl.h PATH_SUFFIXES android)
    find_library(BORINGSSL_SSL_LIBRARY ssl PATH_SUFFIXES android
        PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/android NO_DEFAULT_PATH)
    find_library(BORINGSSL_CRYPTO_LIBRARY crypto PATH_SUFFIXES android
        PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/android NO_DEFAULT_PATH)
endif()

if(BORINGSSL_INCLUDE_DIR)
    file(STRINGS ${BORINGSSL_INCLUDE_DIR}/openssl/base.h line REGEX "^#define BORINGSSL_API_VERSION [0-9]+")
    string(REGEX MATCH "[0-9]+" BoringSSL_VERSION "${line}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BoringSSL
    REQUIRED_VARS BORINGSSL_SSL_LIBRARY BORINGSSL_CRYPTO_LIBRARY BORINGSSL_INCLUDE_DIR
    VERSION_VAR BoringSSL_VERSION)

if(BoringSSL_FOUND AND NOT TARGET BoringSSL::SSL)
    foreach(part Crypto SSL)
        string(TOUPPER ${part} upper)
        add_library(BoringSSL::${part} UNKNOWN IMPORTED)
        set_target_properties(BoringSSL::${part} PROPERTIES
            IMPORTED_LOCATION ${BORINGSSL_${upper}_LIBRARY}
            INTERFACE_INCLUDE_DIRECTORIES ${BORINGSSL_INCLUDE_DIR})
    endforeach()
    target_link_libraries(BoringSSL::SSL INTERFACE BoringSSL::Crypto)
    if(BORINGSSL_CRYPTO_LIBRARY MATCHES "\\.a$")
        enable_language(CXX)
        target_link_libraries(BoringSSL::Crypto INTERFACE stdc++ pthread)
    else()
        # Debian keeps these in a folder that the loader does not search.
        get_filename_component(dir ${BORINGSSL_CRYPTO_LIBRARY} DIRECTORY)
        target_link_options(BoringSSL::Crypto INTERFACE "-Wl,-rpath,${dir}")
    endif()
endif()
