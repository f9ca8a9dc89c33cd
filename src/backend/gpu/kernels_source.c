#include "backend/gpu/kernels_source.h"

/* The assembler copies the file, into a section that is read-only. KERNELS_FILE is the path. */
#ifdef __APPLE__
#define READ_ONLY_SECTION "__TEXT,__const"
#else
#define READ_ONLY_SECTION ".rodata.ds4_kernels,\"a\""
#endif
__asm__(".pushsection " READ_ONLY_SECTION "\n"
        ".balign 16\n"
        ".globl ds4_kernels_source\n"
        "ds4_kernels_source:\n"
        ".incbin \"" KERNELS_FILE "\"\n"
        "1:\n"
        ".byte 0\n"
        ".balign 8\n"
        ".globl ds4_kernels_source_bytes\n"
        "ds4_kernels_source_bytes:\n"
        ".quad 1b - ds4_kernels_source\n"
        ".popsection\n");

_Static_assert(sizeof kernels_source_bytes == 8, "the assembler wrote 8 bytes");
