# Kernel objects of the CPU backend. `elementwise` bodies are compiled once per instruction-set level; matmul and
# attention kernels are one file per instruction family, each with flags for that object only.
set(kernel_dir ${CMAKE_SOURCE_DIR}/src/backend/cpu/kernels)
