# Kernel objects of the CPU backend. `elementwise` and `decode` are one body each, compiled once per instruction-set level; linear and
# attention kernels are one file per instruction family. Flags belong to the one object: the rest of the program
# runs on any machine, and src/backend/cpu/isa.c decides at run time which objects may be used.
set(kernel_dir ${CMAKE_SOURCE_DIR}/src/backend/cpu/kernels)
set(kernel_flags -O3 -Wno-psabi) # also in debug and sanitizer builds: unoptimised kernels would be useless
set(kernel_avx2 -mavx2 -mfma -mf16c)
set(kernel_avx512 ${kernel_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)

# kernel_object(TARGET SOURCE flags...)
function(kernel_object target source)
  add_library(${target} OBJECT ${kernel_dir}/${source})
  target_link_libraries(${target} PRIVATE prompteur_flags)
  if(NOT PROMPTEUR_FUZZ) # no fuzz target multiplies, and clang takes ten minutes to instrument one unrolled tile
    target_link_libraries(${target} PRIVATE prompteur_instrument)
  endif()
  target_compile_options(${target} PRIVATE ${kernel_flags} ${ARGN})
  target_sources(backend PRIVATE $<TARGET_OBJECTS:${target}>)
endfunction()

kernel_object(kernel_elementwise_scalar elementwise.c -DKERNEL_LEVEL=scalar)
kernel_object(kernel_decode_scalar decode.c -DKERNEL_LEVEL=scalar)
kernel_object(kernel_linear_scalar linear_scalar.c)
kernel_object(kernel_attention_scalar attention_scalar.c)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  kernel_object(kernel_elementwise_avx2 elementwise.c -DKERNEL_LEVEL=avx2 ${kernel_avx2})
  kernel_object(kernel_decode_avx2 decode.c -DKERNEL_LEVEL=avx2 ${kernel_avx2})
  kernel_object(kernel_linear_avx2 linear_avx2.c ${kernel_avx2})
  kernel_object(kernel_attention_avx2 attention_avx2.c ${kernel_avx2})
  kernel_object(kernel_elementwise_avx512 elementwise.c -DKERNEL_LEVEL=avx512 ${kernel_avx512})
  kernel_object(kernel_decode_avx512 decode.c -DKERNEL_LEVEL=avx512 ${kernel_avx512})
  kernel_object(kernel_linear_avx512 linear_avx512.c ${kernel_avx512})
  kernel_object(kernel_attention_avx512 attention_avx512.c ${kernel_avx512})
  kernel_object(kernel_decode_avx512_bf16 decode.c -DKERNEL_LEVEL=avx512_bf16 ${kernel_avx512} -mavx512bf16)
  kernel_object(kernel_linear_avx512_bf16 linear_avx512_bf16.c ${kernel_avx512} -mavx512bf16)
endif()
