# The warnings that this code is held to, each with its reason. Compilers other than gcc and clang are not supported.
set(REMORA_WARNINGS
    -Wall -Wextra
    -Wshadow                # a shadowed name is a wrong variable waiting to be used
    -Wstrict-prototypes     # f() is not f(void) in C11
    -Wmissing-prototypes    # whatever is not static must be declared in a header
    -Wold-style-definition
    -Wpointer-arith
    -Wcast-qual             # const on every input means nothing if it can be cast away
    -Wwrite-strings
    -Wundef
    -Wvla                   # peers choose lengths; the stack is not theirs
    -Wformat=2              # every format string is a literal
    -Wimplicit-fallthrough
    -Wnull-dereference
    -Wdouble-promotion
    -Wswitch-enum           # a new enumerator must be thought about everywhere
    -Wno-unused-parameter   # callbacks have the signature that their caller dictates
)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND REMORA_WARNINGS -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init)
endif()
