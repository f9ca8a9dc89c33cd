# make          build/ds4
# make demo     install what is missing, build, answer a prompt
# make test     install what is missing, build, run all tests
# make fuzz     each fuzz target for FUZZ_SECONDS (needs clang)
# make simulator   build/ds4-simulator.so and the kernels for it: runs Metal kernels on the CPU (needs clang 19, x86-64)
# make msl-check   the kernels against what Metal's compiler refuses, and the tests of the tools that do so
# make test-metal  the kernels and the Metal host code in the simulator; part of make test, as msl-check is
# make test-arm    builds the CPU tests for arm64 Linux and runs them emulated (needs apt; not part of make test)
# make check-macos   compiles and links the program for macOS on Linux (takes 400 MB from npm)
# make test-clients   coding agents and SDKs, as they are published, against ds4 serve (Node.js; takes 1.9 GB from npm)
# make eval-nano   asks the built-in model held-out questions (about twenty minutes)
# make check-train  compares the Python text code of train/ with build/ds4; part of make test
# make SAN=address,undefined test     the same with sanitizers; SAN=thread likewise
# make CC=clang ...                   another compiler
# make V=1 ...                        shows the commands

comma := ,
BUILD := build$(if $(SAN),-san-$(subst $(comma),-,$(SAN)))
PACKAGES := libpcre2-8 jansson libedit libxxhash libcurl libcrypto libmicrohttpd
TEST_PACKAGES := cmocka

PKG_CONFIG ?= pkg-config
ifeq ($(shell uname),Darwin)
# Homebrew keeps these out of the way of the system's
export PKG_CONFIG_PATH := $(shell for formula in libedit curl openssl@3; do \
    printf '%s/lib/pkgconfig:' "$$(brew --prefix $$formula 2>/dev/null)"; done)$(PKG_CONFIG_PATH)
endif
HAVE_PACKAGES := $(shell $(PKG_CONFIG) --exists $(PACKAGES) $(TEST_PACKAGES) 2>/dev/null && echo yes)

OPTIMISE ?= -O3
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
CPPFLAGS += -Iinclude -Isrc -I. -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -D_DARWIN_C_SOURCE
CFLAGS += -std=c11 $(OPTIMISE) -g -fno-math-errno -ffp-contract=fast $(WARNINGS) -pthread -MMD -MP
LDFLAGS += -pthread
LDLIBS += -lm -ldl
ifdef SAN
CFLAGS += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS += -fsanitize=$(SAN)
endif
ifeq ($(HAVE_PACKAGES),yes)
CPPFLAGS += $(shell $(PKG_CONFIG) --cflags $(PACKAGES))
LDLIBS += $(shell $(PKG_CONFIG) --libs $(PACKAGES))
TEST_CPPFLAGS := $(shell $(PKG_CONFIG) --cflags $(TEST_PACKAGES))
TEST_LDLIBS := $(shell $(PKG_CONFIG) --libs $(TEST_PACKAGES))
endif

# On a Mac Metal is the system's; elsewhere its tests have metal.c with the simulated framework.
NOT_HERE := $(if $(filter Darwin,$(shell uname)),,src/backend/gpu/metal.c)
# CUDA=1: the same kernels on an NVIDIA GPU, to test and to measure them (Linux)
NOT_HERE += $(if $(CUDA),,src/backend/gpu/cuda.c)
CPPFLAGS += $(if $(CUDA),-DDS4_CUDA)
ifeq ($(shell uname),Darwin)
# Where Xcode's Metal compiler is there, the program need not compile its kernels at every start.
METALLIB := $(if $(shell xcrun -f metal 2>/dev/null),$(BUILD)/ds4.metallib)
CPPFLAGS += -DDS4_METAL
LDLIBS += -framework Metal -framework Foundation -framework CoreGraphics
endif

LIB_SOURCES := $(filter-out $(NOT_HERE),$(wildcard src/base/*.c src/fetch/*.c src/gguf/*.c src/model/*.c src/text/*.c src/backend/*.c src/backend/*/*.c src/engine/*.c src/server/*.c))
CLI_SOURCES := $(wildcard src/cli/*.c)
# The first Python that has the modules of train/ which work without PyTorch.
has_modules = $(shell $(1) -c 'import numpy, regex' 2>/dev/null && echo $(1))
PYTHON := $(firstword $(foreach p,python3 /usr/bin/python3,$(call has_modules,$(p))))
NO_PYTHON := no python3 with the modules numpy and regex

# become part of the program
NANO := models/ds4-nano.gguf
KERNELS := $(BUILD)/kernels.metal
KERNEL_SOURCES := $(wildcard kernels/*.h kernels/*.metal)

# Whether the simulator can be built. Kernels that are checked call what is ThreadSanitizer's elsewhere.
X86_64_LINUX := $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m))
SIMDE := $(wildcard /usr/include/simde/x86/avx512.h)
CLANG_19 := $(if $(X86_64_LINUX),$(shell command -v clang++-19))
SIMULATOR := $(if $(CLANG_19),$(if $(findstring thread,$(SAN)),,yes))
NO_SIMULATOR := needs x86-64 Linux, clang 19 (apt install clang-19) and no SAN=thread
METALSIM := $(BUILD)/metalsim
SIMULATOR_FILES := $(addprefix $(BUILD)/,ds4-simulator.so kernels.so kernels_checked.so)
SIMULATOR_TEST := $(BUILD)/tests/gpu/simulator
SIMULATOR_TEST_FILES := $(addprefix $(SIMULATOR_TEST)/,ds4-simulator.so kernels.so kernels_checked.so)
# the kernels with the mistakes that test_mutations wants noticed
MUTATIONS := $(BUILD)/tests/gpu/mutations
MUTATIONS_FILES := $(addprefix $(MUTATIONS)/,ds4-simulator.so kernels_checked.so)
# tests/support/*.c is shared by the tests; every test_*.c is a program of its own
SUPPORT_SOURCES := $(wildcard tests/support/*.c)
METAL_TEST_SOURCES := $(wildcard tests/gpu/test_metal_*.c)
# needs an NVIDIA GPU: built by `make CUDA=1 cuda`, not part of make test
CUDA_TEST := $(BUILD)/tests/gpu/test_cuda_flash
# short, for emulated processors: built by make test-arm
EMULATED_TEST := $(BUILD)/tests/emulated/test_models
TEST_SOURCES := $(filter-out $(METAL_TEST_SOURCES) $(wildcard tests/gpu/test_cuda_*.c),$(wildcard tests/test_*.c tests/gpu/test_*.c))
TESTS := $(TEST_SOURCES:%.c=$(BUILD)/%)
METAL_TESTS := $(METAL_TEST_SOURCES:%.c=$(BUILD)/%)
CPU_TESTS := $(filter $(BUILD)/tests/test_%,$(TESTS))
# what runs kernels in the simulator
GPU_TESTS := $(if $(SIMULATOR),$(BUILD)/tests/test_msl $(filter $(BUILD)/tests/gpu/%,$(TESTS)) $(METAL_TESTS))
GPU_TEST_FILES := $(GPU_TESTS) $(if $(SIMULATOR),$(BUILD)/ds4 $(SIMULATOR_FILES) $(SIMULATOR_TEST_FILES) \
    $(MUTATIONS_FILES))
RUN_TESTS = DS4_SIMULATOR=$(BUILD)/ds4-simulator.so tests/run.sh
object = $(1:%.c=$(BUILD)/%.o)

.SECONDARY:
.PHONY: all demo test run-tests cuda test-metal run-gpu-tests simulator msl-check test-arm test-clients check-macos check-train eval-nano fuzz deps test-deps clean format
all: $(BUILD)/ds4 $(METALLIB)

# Missing packages are installed first, then make starts anew so that pkg-config is asked again.
NEED_DEPS := $(if $(HAVE_PACKAGES),,deps)
# apt has the Python modules too, and clang 19 on most systems. Elsewhere the tests that need them are left out if they
# are missing.
APT := $(shell command -v apt-get)
GET_CLANG := $(if $(CLANG_19),,$(if $(and $(APT),$(X86_64_LINUX)),$(shell apt-cache show clang-19 2>/dev/null | head -1)))
GET_SIMDE := $(if $(SIMDE),,$(and $(APT),$(X86_64_LINUX)))
NEED_TEST_DEPS := $(if $(and $(HAVE_PACKAGES),$(or $(PYTHON),$(if $(APT),,without)),$(if $(GET_CLANG)$(GET_SIMDE),,yes)),,test-deps)

# all processors, unless make was told how many
PARALLEL = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell getconf _NPROCESSORS_ONLN))

demo: $(NEED_DEPS)
	@$(MAKE) --no-print-directory $(PARALLEL) $(BUILD)/ds4 $(BUILD)/answers
	@./demo.sh $(BUILD)

test: $(NEED_TEST_DEPS)
	@$(MAKE) --no-print-directory $(PARALLEL) run-tests

run-tests: $(BUILD)/ds4 $(CPU_TESTS) $(if $(PYTHON),$(BUILD)/tests/test_train) $(GPU_TEST_FILES)
	@$(RUN_TESTS) $(GPU_TESTS) $(CPU_TESTS) $(if $(PYTHON),$(BUILD)/tests/test_train)
	$(if $(PYTHON),,@echo "test_train is left out: $(NO_PYTHON)")
	$(if $(SIMULATOR),,@echo "tests of the Metal kernels are left out: the simulator $(NO_SIMULATOR)")

test-metal: $(NEED_TEST_DEPS)
	@$(MAKE) --no-print-directory run-gpu-tests
run-gpu-tests: $(GPU_TEST_FILES)
	$(if $(SIMULATOR),@$(RUN_TESTS) $(GPU_TESTS),@echo "make test-metal $(NO_SIMULATOR)" >&2; exit 1)

check-train: $(BUILD)/ds4
	$(if $(PYTHON),,@echo "$(NO_PYTHON)" >&2; exit 1)
	@$(PYTHON) train/test_text.py $(BUILD)

eval-nano: $(NEED_TEST_DEPS)
	@$(MAKE) --no-print-directory $(BUILD)/answers
	$(if $(PYTHON),,@echo "$(NO_PYTHON)" >&2; exit 1)
	@$(PYTHON) train/evaluate.py $(BUILD)

deps:
	./deps.sh
test-deps:
	./deps.sh tests

QUIET := $(if $(V),,@)
say = $(if $(V),@:,@echo "$(1) $@")

$(BUILD)/ds4: $(call object,$(CLI_SOURCES)) $(BUILD)/libds4.a
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/libds4.a: $(call object,$(LIB_SOURCES))
# an archive, so that a test takes only what it uses
$(BUILD)/libsupport.a: $(call object,$(SUPPORT_SOURCES))
$(BUILD)/libds4.a $(BUILD)/libsupport.a:
	$(call say,AR)
	$(QUIET)rm -f $@
	$(QUIET)$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(QUIET)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

# The CPU backend's inner loops, once for every instruction set; cpu_kernels_choose looks what the processor has.
$(BUILD)/src/backend/cpu/kernels_%.o: src/backend/cpu/float_kernels.inc
# Ten times slower under the thread sanitizer, which without them sees what the code around them reads and writes.
$(BUILD)/src/backend/cpu/kernels_%.o: CFLAGS += $(if $(findstring thread,$(SAN)),-fno-sanitize=thread)
ifneq ($(filter x86_64-%,$(shell $(CC) -dumpmachine)),)
AVX2 := -mavx2 -mfma -mf16c
AVX512 := $(AVX2) -mavx512f -mavx512bw -mavx512vl -mavx512dq \
    -mavx512vbmi -mavx512vnni \
    -mgfni -mprefer-vector-width=512
$(BUILD)/src/backend/cpu/kernels_avx2.o: CFLAGS += $(AVX2)
# instrumented, its unrolled loops take gcc half an hour
$(BUILD)/src/backend/cpu/kernels_avx512.o: CFLAGS += $(AVX512) $(if $(SAN),-fno-sanitize=all)
endif

# Where SIMDe is installed, test_kernels runs the AVX-512 kernels on processors that lack them.
ifneq ($(and $(filter x86_64-linux-gnu x86_64-%-linux-gnu,$(shell $(CC) -dumpmachine)),$(SIMDE)),)
$(BUILD)/tests/test_kernels.o: CPPFLAGS += -DHAVE_SIMDE
$(BUILD)/tests/test_kernels: $(BUILD)/tests/simde/kernels_avx512.o
$(BUILD)/tests/simde/kernels_avx512.o: src/backend/cpu/kernels_avx512.c $(wildcard src/backend/cpu/*.inc) tests/simde/immintrin.h
	$(call say,CC)
	$(QUIET)mkdir -p $(@D)
	$(QUIET)$(CC) -Itests/simde $(CPPFLAGS) $(filter-out -fsanitize=% -O%,$(CFLAGS)) -O1 -Wno-psabi \
		-Dcpu_kernels_avx512=cpu_kernels_avx512_simde -c $< -o $@
endif

$(BUILD)/tests/%.o: CPPFLAGS += -Itests $(TEST_CPPFLAGS)
$(TESTS) $(CUDA_TEST) $(EMULATED_TEST): %: %.o $(BUILD)/libsupport.a $(BUILD)/libds4.a
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) $^ $(LDLIBS) $(TEST_LDLIBS) -o $@

# metal.c with the simulated framework
$(METAL_TESTS:%=%.o) $(BUILD)/simulated/metal.o: CPPFLAGS += -Itools/metalsim -Itools/metalsim/framework/include \
    -DMETALSIM_BUILD='"$(METALSIM)"'
$(BUILD)/simulated/metal.o: src/backend/gpu/metal.c $(METALSIM)/built
	@mkdir -p $(@D)
	$(call say,CC)
	$(QUIET)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@
$(METAL_TESTS): %: %.o $(BUILD)/simulated/metal.o $(BUILD)/libsupport.a $(BUILD)/libds4.a $(METALSIM)/built
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) -rdynamic $(filter-out %/built,$^) $(METALSIM)/libmetal.a $(METALSIM)/libsim.a $(LDLIBS) \
	    $(TEST_LDLIBS) -o $@

$(BUILD)/tiny_model: $(call object,tools/tiny_model.c tests/support/tiny_model.c tests/support/tiny_weights.c) $(BUILD)/libds4.a
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(BUILD)/tools/%.o: CPPFLAGS += -Itests
$(BUILD)/answers: $(call object,tools/answers.c $(filter-out src/cli/main.c,$(CLI_SOURCES))) $(BUILD)/libds4.a
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
# how fast the CPU's kernels multiply, with every instruction set that the processor has; how near decoding comes to the
# memory's bandwidth
$(BUILD)/cpu_products: $(call object,bench/cpu_products.c) $(BUILD)/libds4.a
$(BUILD)/cpu_decode: $(call object,bench/cpu_decode.c tests/support/flash_timeline.c) $(BUILD)/libds4.a
# what a server gives several conversations at once
$(BUILD)/serve_load: $(call object,bench/serve_load.c) $(BUILD)/libds4.a
$(BUILD)/cpu_products $(BUILD)/cpu_decode $(BUILD)/serve_load:
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(BUILD)/src/cli/nano.o: $(NANO)
$(BUILD)/src/cli/nano.o: CPPFLAGS += -DNANO_FILE='"$(NANO)"'
# what ds4 bench says of its build; the stamp changes when that does
COMMIT = $(shell git --git-dir=.git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null)
$(BUILD)/commit: FORCE
	@mkdir -p $(@D)
	@echo '$(COMMIT)' | cmp -s - $@ || echo '$(COMMIT)' >$@
$(BUILD)/src/cli/bench_report.o: $(BUILD)/commit
$(BUILD)/src/cli/bench_report.o: CPPFLAGS += -DDS4_COMMIT='"$(COMMIT)"'
FORCE:
$(KERNELS): tools/concatenate_kernels.sh $(KERNEL_SOURCES)
	@mkdir -p $(@D)
	$(call say,CAT)
	$(QUIET)tools/concatenate_kernels.sh $@
$(BUILD)/ds4.metallib: $(KERNELS)
	$(call say,METAL)
	$(QUIET)xcrun -sdk macosx metal -std=metal3.1 -mmacosx-version-min=14.0 -fno-fast-math $< -o $@
$(BUILD)/src/backend/gpu/kernels_source.o: $(KERNELS)
$(BUILD)/src/backend/gpu/kernels_source.o: CPPFLAGS += -DKERNELS_FILE='"$(KERNELS)"'
$(BUILD)/tests/gpu/%.o: CPPFLAGS += -DKERNELS_FILE='"$(KERNELS)"' -DHAVE_SIMULATOR=$(if $(SIMULATOR),1,0) \
    -DDS4_BINARY='"$(BUILD)/ds4"' -DSIMULATOR='"$(BUILD)/ds4-simulator.so"' -DSIMULATOR_FOLDER='"$(SIMULATOR_TEST)"' \
    -DMUTATIONS_FOLDER='"$(MUTATIONS)"'
$(BUILD)/tests/test_cli.o: CPPFLAGS += -DDS4_BINARY='"$(BUILD)/ds4"' -DNANO_FILE='"$(NANO)"'
$(BUILD)/tests/test_pull.o: CPPFLAGS += -DDS4_BINARY='"$(BUILD)/ds4"'
$(BUILD)/tests/test_synth.o: CPPFLAGS += -DDS4_BINARY='"$(BUILD)/ds4"'
$(BUILD)/tests/test_plan.o: CPPFLAGS += -DDS4_BINARY='"$(BUILD)/ds4"'
$(BUILD)/tests/test_bench.o: CPPFLAGS += -DDS4_BINARY='"$(BUILD)/ds4"'
$(BUILD)/tests/test_nano.o: CPPFLAGS += -DNANO_FILE='"$(NANO)"'
# prints what tests/run.sh counts
$(BUILD)/tests/test_train: train/test_text.py Makefile
	@mkdir -p $(@D)
	$(QUIET)printf '#!/bin/sh\n%s && echo "[       OK ] text" && echo "[==========] train: 1 test(s) run."\n' \
	    '$(PYTHON) train/test_text.py $(BUILD)' >$@
	$(QUIET)chmod +x $@

simulator: $(if $(SIMULATOR),$(SIMULATOR_FILES))
	$(if $(SIMULATOR),,@echo "make simulator $(NO_SIMULATOR)" >&2; exit 1)

# The executor becomes part of a shared object whose kernels, loaded later, use its thread-local variables directly.
# Without SAN: sanitizers do not know its stacks.
$(METALSIM)/built: $(wildcard $(addprefix tools/metalsim/,Makefile msl-build *.h */*.c */*.h shim/*))
	$(call say,MAKE)
	+$(QUIET)$(MAKE) -s -C tools/metalsim BUILD=$(if $(filter /%,$(METALSIM)),,../../)$(METALSIM) OPTIMISE="-O2 -fPIC -ftls-model=initial-exec"
	@touch $@
$(BUILD)/ds4-simulator.so: tools/simulator/plugin.c src/backend/gpu/simulator_plugin.h $(METALSIM)/built
	$(call say,LD)
	$(QUIET)$(CC) -std=c11 -O2 -g $(WARNINGS) -Isrc -D_POSIX_C_SOURCE=200809L -pthread -fPIC -shared $< \
	    -Wl,--whole-archive $(METALSIM)/libsim.a -Wl,--no-whole-archive -ldl -lm -o $@
$(BUILD)/kernels.so $(BUILD)/kernels_checked.so: $(KERNELS)
$(SIMULATOR_TEST)/kernels.so $(SIMULATOR_TEST)/kernels_checked.so: tests/gpu/test_simulator.metal tests/gpu/test_simulator.h
%/kernels_checked.so: MSL_CHECKS := -c
$(filter %/kernels.so %/kernels_checked.so,$(SIMULATOR_FILES) $(SIMULATOR_TEST_FILES) $(MUTATIONS_FILES)): $(METALSIM)/built
	@mkdir -p $(@D)
	$(call say,MSL)
	$(QUIET)METALSIM_BUILD=$(METALSIM) tools/metalsim/msl-build $(MSL_CHECKS) $(filter %.metal,$^) $@
$(MUTATIONS)/kernels.metal: tools/mutate_kernels.sh tools/concatenate_kernels.sh tests/gpu/mutations.txt $(KERNEL_SOURCES)
	@mkdir -p $(@D)
	$(call say,CAT)
	$(QUIET)tools/mutate_kernels.sh $@ tests/gpu/mutations.txt
$(MUTATIONS)/kernels_checked.so: $(MUTATIONS)/kernels.metal
$(SIMULATOR_TEST)/ds4-simulator.so $(MUTATIONS)/ds4-simulator.so: $(BUILD)/ds4-simulator.so
	@mkdir -p $(@D)
	$(QUIET)ln -sf "$$(realpath $<)" $@

$(BUILD)/tests/test_msl: tests/gpu/msl_check.sh $(KERNELS) $(METALSIM)/built
	@mkdir -p $(@D)
	$(QUIET)printf '#!/bin/sh\nexec tests/gpu/msl_check.sh %s %s\n' $(BUILD) $(METALSIM) >$@
	$(QUIET)chmod +x $@
msl-check: $(if $(SIMULATOR),$(BUILD)/tests/test_msl)
	$(if $(SIMULATOR),,@echo "make msl-check $(NO_SIMULATOR)" >&2; exit 1)
	@tests/run.sh $<

test-arm:
	@tools/test-arm.sh build-arm

test-clients: $(NEED_DEPS)
	@$(MAKE) --no-print-directory $(BUILD)/ds4
	@tests/clients/run.sh $(BUILD)/ds4 $(BUILD)/clients

# Apple's headers and a linker for Mach-O come with the zig compiler, from npm.
check-macos: $(KERNELS)
	AVX2="$(AVX2)" AVX512="$(AVX512)" tools/check-macos.sh $(BUILD)/macos

# make CUDA=1 cuda: tests and measurements of the kernels on an NVIDIA GPU, and the kernels for it. They can be carried to
# a machine with a GPU: there, with DS4_PTX=kernels.ptx, test_cuda_flash and gpu_matvec run.
cuda: $(BUILD)/kernels.ptx $(BUILD)/gpu_matvec $(CUDA_TEST)
$(BUILD)/gpu_matvec: $(call object,bench/gpu_matvec.c tests/support/flash_timeline.c) $(BUILD)/libds4.a
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(BUILD)/bench/%.o: CPPFLAGS += -Itests
# PTX of the kernels and of bench's yardstick; needs clang 19, and libdevice of the CUDA toolkit
$(BUILD)/kernels.ptx: $(KERNELS) bench/gpu_read.metal $(METALSIM)/built
	$(call say,PTX)
	$(QUIET)cat $(KERNELS) bench/gpu_read.metal | grep -v '^#include "' >$(BUILD)/kernels_cuda.metal
	$(QUIET)METALSIM_BUILD=$(METALSIM) tools/metalsim/msl-cuda $(BUILD)/kernels_cuda.metal $@

# libFuzzer comes with clang; the library is built once more with its instrumentation.
FUZZ_SECONDS ?= 120
FUZZ_CC ?= $(firstword $(foreach c,clang-19 clang-20 clang-18 clang-17 clang-16 clang,$(shell command -v $(c))))
FUZZERS := $(patsubst fuzz/fuzz_%.c,%,$(wildcard fuzz/fuzz_*.c))
fuzz: $(NEED_DEPS)
	@test -n "$(FUZZ_CC)" || { echo "make fuzz needs clang (apt install clang, or set FUZZ_CC)" >&2; exit 1; }
	@$(MAKE) --no-print-directory CC=$(FUZZ_CC) SAN=fuzzer-no-link,address,undefined BUILD=build-fuzz $(FUZZERS:%=build-fuzz/fuzz_%)
	@for name in $(FUZZERS); do \
	    echo "fuzz $$name for $(FUZZ_SECONDS) s"; mkdir -p build-fuzz/corpus/$$name; \
	    build-fuzz/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 -verbosity=0 \
	        -print_final_stats=1 -artifact_prefix=build-fuzz/$$name- build-fuzz/corpus/$$name || exit 1; \
	done; echo "fuzz: $(words $(FUZZERS)) targets without a finding"
$(BUILD)/fuzz_%: $(BUILD)/fuzz/fuzz_%.o $(BUILD)/libds4.a
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) -fsanitize=fuzzer $^ $(LDLIBS) -o $@

format:
	clang-format -i $(shell git ls-files '*.c' '*.h')

clean:
	rm -rf build build-*

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
