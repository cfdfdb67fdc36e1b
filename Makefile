# SPDX-License-Identifier: Apache-2.0
# plait: one makefile, no configure step. V=1 shows commands, DEVELOPER=1 makes warnings errors.
# Variants live side by side: build/release (default), build/asan, build/tsan; build/clang and build/fuzz are lint's and fuzz's.

VARIANT   ?= release
PREFIX    ?= /usr/local
ifeq ($(origin CC),default)
CC        := gcc
endif
CXX       := $(if $(findstring clang,$(CC)),clang++,g++)
MPICC     ?= mpicc
VERSION   := 0.1.0
SOVERSION := 0
B         := build/$(VARIANT)
Q         := $(if $(V),,@)
SAY        = $(if $(V),@:,@printf '  %-5s %s\n')

# ---- what is built from what -------------------------------------------------------------------
MPI_TOOLS    := ingest resize filter dedup balance pack run verify export synth
SERIAL_TOOLS := ls cat show stat sql why hash
TOOLS        := plait $(addprefix plait-,$(MPI_TOOLS) $(SERIAL_TOOLS))

PIPE_SRC  := $(sort $(foreach room,base img corpus dedup mix,$(wildcard libpipe/$(room)/*.c)))
DIST_SRC  := $(sort $(wildcard libpipe/dist/*.c))
SHARD_SRC := $(sort $(wildcard shards/*.c shards/reader/*.c))
# What the reader library needs of libpipe: a part of base, and the decoders of img; the rest stays out of it.
SHARD_BASE := $(addprefix libpipe/base/,err.c reason.c buf.c file.c hash.c json.c perm.c) \
              $(filter-out libpipe/img/pool%,$(sort $(wildcard libpipe/img/*.c)))
SHARD_HEADERS := $(addprefix shards/,shard.h tar_read.h bytes.h writer.h $(addprefix reader/,dataset.h order.h loader.h image.h)) \
                 $(addprefix libpipe/base/,err.h file.h perm.h)
STEP_SRC  := $(sort $(wildcard tools/step_*.c) $(wildcard tools/tool*.c))
SYNTH_SRC := $(sort $(wildcard tools/synth_*.c))
STAT_SRC  := $(sort $(wildcard tools/stat_*.c))
UNIT_SRC  := $(sort $(wildcard tests/unit/test_*.c))
FUZZ_SRC  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
BENCH_SRC := $(sort $(wildcard tests/bench/bench_*.c))

obj        = $(patsubst %.c,$(B)/obj/%.o,$(1))
BINS      := $(addprefix $(B)/bin/,$(TOOLS))
UNITS     := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT_SRC)) $(patsubst tests/fuzz/%.c,$(B)/tests/%,$(FUZZ_SRC))
FUZZERS   := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(FUZZ_SRC))
BENCHES   := $(patsubst tests/bench/%.c,$(B)/bench/%,$(BENCH_SRC))
ARCHIVES  := $(B)/lib/libpipe.a $(B)/lib/libplaitshards.a
SO        := $(B)/lib/libplaitshards.so.$(SOVERSION)

# ---- flags -------------------------------------------------------------------------------------
PKGS_PIPE  := jansson yaml-0.1 sqlite3 libseccomp libutf8proc
PKGS_SHARD := libarchive libzstd libxxhash jansson libwebp libwebpdemux libjpeg spng
# Optional, left out where they are not: colour profiles (lcms2), AVIF (libavif), scripts (libunistring, which has no pkg-config
# file) and, by script, languages (libexttextcat); models of tokens (SentencePiece, which needs a C++ compiler).
HAVE_LCMS2 := $(shell pkg-config --exists lcms2 2>/dev/null && echo 1)
HAVE_AVIF  := $(shell pkg-config --exists libavif 2>/dev/null && echo 1)
HAVE_UNISTRING := $(shell echo '\#include <unictype.h>' | $(CC) -E -x c - >/dev/null 2>&1 && echo 1)
HAVE_TEXTCAT   := $(if $(HAVE_UNISTRING),$(shell pkg-config --exists libexttextcat 2>/dev/null && echo 1))
HAVE_SPM   := $(shell pkg-config --exists sentencepiece 2>/dev/null && command -v $(CXX) >/dev/null 2>&1 && echo 1)
PKGS_PIPE  += $(if $(HAVE_SPM),sentencepiece) $(if $(HAVE_TEXTCAT),libexttextcat)
PKGS_SHARD += $(if $(HAVE_LCMS2),lcms2) $(if $(HAVE_AVIF),libavif)
HAVE       := $(if $(HAVE_LCMS2),-DHAVE_LCMS2) $(if $(HAVE_AVIF),-DHAVE_AVIF) $(if $(HAVE_SPM),-DHAVE_SENTENCEPIECE) $(if $(HAVE_UNISTRING),-DHAVE_UNISTRING) \
              $(if $(HAVE_TEXTCAT),-DHAVE_TEXTCAT -DLANGUAGES_DIR=$(shell pkg-config --variable=pkgdatadir libexttextcat))
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wcast-qual -Wswitch-enum -Wformat=2 -Wundef $(if $(DEVELOPER),-Werror)
HARD_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
HARD_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
HARD_tsan    := -O1 -g -fsanitize=thread
HARD_clang   := -O1 -g
HARD_fuzz    := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
LINK_release := -Wl,-z,relro,-z,now -Wl,--as-needed
LINK_asan    := -fsanitize=address,undefined
LINK_tsan    := -fsanitize=thread
LINK_fuzz    := -fsanitize=fuzzer,address,undefined
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -fPIC -ffp-contract=off $(HARD_$(VARIANT)) $(WARN) \
             -I. $(HAVE) $(CPPFLAGS) $(CFLAGS)
PKG        = $(shell pkg-config $(1) $(2) 2>/dev/null)
PIPE_LIBS  = $(call PKG,--libs,$(PKGS_PIPE)) $(if $(HAVE_UNISTRING),-lunistring) $(if $(HAVE_SPM),-lstdc++) $(SHARD_LIBS)
CXX_FLAGS  = -std=c++17 -fPIC $(HARD_$(VARIANT)) -Wall -Wextra -Wshadow -Wconversion $(if $(DEVELOPER),-Werror) -I. $(CPPFLAGS) $(CXXFLAGS)
SHARD_LIBS = $(call PKG,--libs,$(PKGS_SHARD)) -lgif -lpthread -lm
# Open MPI's wrapper tells its flags; any other is asked to compile and link itself.
MPI_FLAGS := $(patsubst -I%,-isystem %,$(shell $(MPICC) --showme:compile 2>/dev/null))
MPI_LIBS  := $(shell $(MPICC) --showme:link 2>/dev/null)
MPI_CC    := $(if $(MPI_LIBS),$(CC),$(MPICC))

.DEFAULT_GOAL := all
.PHONY: all units benches fuzzers demo check check-quick check-asan check-tsan check-slurm check-valgrind check-fault check-hosts check-loaders \
        bench bench-img bench-dedup bench-reader lint fuzz man install install-files uninstall dist setup clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BINS) $(ARCHIVES) $(SO)

# ---- compiling ---------------------------------------------------------------------------------
$(B)/obj/libpipe/dist/%.o: libpipe/dist/%.c $(B)/flags
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)$(MPI_CC) $(ALL_CFLAGS) $(MPI_FLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/%.o: %.c $(B)/flags
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/%.o: %.cc $(B)/flags
	$(SAY) CXX $<
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CXX_FLAGS) -MMD -MP -c -o $@ $<

# Rebuild everything when the compiler or its flags change.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(ALL_CFLAGS)' | cmp -s - $@ || printf '%s\n' '$(CC) $(ALL_CFLAGS)' > $@
.PHONY: FORCE
FORCE:

$(B)/lib/libpipe.a: $(call obj,$(PIPE_SRC)) $(if $(HAVE_SPM),$(B)/obj/libpipe/corpus/sentencepiece.o)
$(B)/lib/libdist.a: $(call obj,$(DIST_SRC))
$(B)/lib/libsteps.a: $(call obj,$(STEP_SRC))
$(B)/lib/libplaitshards.a: $(call obj,$(SHARD_SRC) $(SHARD_BASE))
$(B)/lib/%.a:
	$(SAY) AR $@
	@mkdir -p $(@D)
	$(Q)rm -f $@ && ar rcsD $@ $^

# Of the archive only what the reader's own objects need.
$(SO): $(call obj,$(SHARD_SRC)) $(B)/lib/libplaitshards.a shards/plaitshards.map
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -Wl,-soname,$(notdir $@) -Wl,--version-script=shards/plaitshards.map $(LINK_$(VARIANT)) $(LDFLAGS) \
	    -o $@ $(filter %.o %.a,$^) $(SHARD_LIBS)
	$(Q)ln -sf $(notdir $@) $(B)/lib/libplaitshards.so

$(B)/bin/plait: $(B)/obj/tools/plait.o $(ARCHIVES)
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK_$(VARIANT)) $(LDFLAGS) -o $@ $< $(ARCHIVES) $(PIPE_LIBS)

$(B)/bin/plait-synth: $(call obj,$(SYNTH_SRC))
$(addprefix $(B)/bin/plait-,$(MPI_TOOLS)): $(B)/bin/plait-%: $(B)/obj/tools/%.o $(B)/lib/libsteps.a $(B)/lib/libdist.a $(ARCHIVES)
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(Q)$(MPI_CC) $(LINK_$(VARIANT)) $(LDFLAGS) -o $@ $(filter %.o,$^) $(B)/lib/libsteps.a $(B)/lib/libdist.a $(ARCHIVES) $(PIPE_LIBS) $(MPI_LIBS)

$(B)/bin/plait-stat: $(call obj,$(STAT_SRC))
$(addprefix $(B)/bin/plait-,$(SERIAL_TOOLS)): $(B)/bin/plait-%: $(B)/obj/tools/%.o $(B)/obj/tools/serial.o $(ARCHIVES)
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK_$(VARIANT)) $(LDFLAGS) -o $@ $(filter %.o,$^) $(ARCHIVES) $(PIPE_LIBS)

# ---- tests -------------------------------------------------------------------------------------
# test_dist_* programs run under mpirun and link the dist room.
$(B)/tests/test_dist_%: $(B)/obj/tests/unit/test_dist_%.o $(B)/lib/libdist.a $(ARCHIVES)
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(Q)$(MPI_CC) $(LINK_$(VARIANT)) $(LDFLAGS) -o $@ $< $(B)/lib/libdist.a $(ARCHIVES) $(PIPE_LIBS) $(MPI_LIBS) -lcmocka

$(B)/tests/inject.so: tests/fault/inject.c $(B)/flags
	$(SAY) LD $@
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 -D_GNU_SOURCE -O2 -g -fPIC $(WARN) $(CPPFLAGS) -shared -o $@ $<

# fuzz_* programs replay the corpus of a fuzz target.
$(B)/tests/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(B)/obj/tests/fuzz/replay.o $(ARCHIVES)
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK_$(VARIANT)) $(LDFLAGS) -o $@ $(filter %.o,$^) $(ARCHIVES) $(PIPE_LIBS)

$(B)/tests/%: $(B)/obj/tests/unit/%.o $(ARCHIVES)
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK_$(VARIANT)) $(LDFLAGS) -o $@ $< $(ARCHIVES) $(PIPE_LIBS) -lcmocka

# bench_dist_* programs run under mpirun, as test_dist_* do.
$(B)/bench/bench_dist_%: $(B)/obj/tests/bench/bench_dist_%.o $(B)/lib/libdist.a $(ARCHIVES)
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK_$(VARIANT)) $(LDFLAGS) -o $@ $< $(B)/lib/libdist.a $(ARCHIVES) $(PIPE_LIBS) $(MPI_LIBS)

$(FUZZERS) $(filter-out $(B)/bench/bench_dist_%,$(BENCHES)): $(B)/%: $(B)/obj/tests/%.o $(ARCHIVES)
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK_$(VARIANT)) $(LDFLAGS) -o $@ $< $(ARCHIVES) $(PIPE_LIBS)

units: $(UNITS) $(B)/tests/inject.so
benches: $(BENCHES)
# With VARIANT=fuzz and CC=clang only: scripts/fuzz.
fuzzers: $(FUZZERS)

# Set-up comes first in a make of its own, so that compiler and pkg-config exist when the rules are read.
setup:
	@scripts/setup

check: setup
	@$(MAKE) --no-print-directory all units man
	@scripts/check --variant $(VARIANT)

check-quick: all units
	@scripts/check --variant $(VARIANT) --quick

check-asan check-tsan: check-%: setup
	@$(MAKE) --no-print-directory VARIANT=$* all units
	@scripts/check --variant $*

# Slurm itself is for this one target: it is not part of setup.
check-slurm: setup
	@scripts/setup slurm || echo 'check-slurm: Slurm cannot be installed here'
	@$(MAKE) --no-print-directory all
	@scripts/check-slurm $(B)

check-valgrind: setup
	@$(MAKE) --no-print-directory all units
	@scripts/valgrind $(B)
# Other projects' loaders over plait's exports (installed into build/venv-loaders); the whole fault drill; what hosts and links may do to a job.
check-loaders check-fault check-hosts: check-%: setup
	@$(MAKE) --no-print-directory all units
	@$(if $(filter hosts,$*),PLAIT_LONG_TESTS=1 scripts/check tests/hosts/,scripts/check-$* $(B))

demo: setup
	@$(MAKE) --no-print-directory all
	@scripts/demo $(B)
bench: setup
	@$(MAKE) --no-print-directory all benches
	@scripts/bench $(B)
	@scripts/bench-dedup $(B)
	@scripts/bench-reader $(B)

bench-img bench-dedup bench-reader: setup
	@$(MAKE) --no-print-directory all benches
	@scripts/$@ $(B)

lint: setup
	@$(MAKE) --no-print-directory all
	@scripts/lint $(B)

fuzz: setup
	@scripts/fuzz

# ---- manual, installation ----------------------------------------------------------------------
# Without scdoc the pages that a release brings along (make dist).
MANS := $(if $(shell command -v scdoc),$(addprefix $(B)/man/,$(addsuffix .1,$(TOOLS))),$(wildcard man/*.1))
man: $(MANS) $(B)/plait.bash

$(B)/man/%.1: $(B)/bin/%
	$(SAY) MAN $@
	@mkdir -p $(@D)
	$(Q)$< --help-man | SOURCE_DATE_EPOCH=0 scdoc > $@

$(B)/plait.bash: $(BINS)
	$(Q)for t in $(BINS); do $$t --help-completion || exit 1; done > $@

# Nothing that is installed knows PREFIX: the tree may be moved.
TO       := $(DESTDIR)$(PREFIX)
COMPLETE := share/bash-completion/completions
install: all man
	@$(MAKE) --no-print-directory install-files

install-files:
	install -D -m 755 -t $(TO)/bin $(BINS)
	install -D -m 644 -t $(TO)/lib $(B)/lib/libplaitshards.a $(SO)
	ln -sf $(notdir $(SO)) $(TO)/lib/libplaitshards.so
	for h in $(SHARD_HEADERS); do install -D -m 644 $$h $(TO)/include/plait/$$h || exit 1; done
	install -d $(TO)/lib/pkgconfig
	sed -e 's|@VERSION@|$(VERSION)|' -e 's|@PKGS@|$(PKGS_SHARD)|' shards/plaitshards.pc.in > $(TO)/lib/pkgconfig/plaitshards.pc
	$(if $(MANS),install -D -m 644 -t $(TO)/share/man/man1 $(MANS),@echo 'man pages are left out: scdoc is not installed')
	install -D -m 644 $(B)/plait.bash $(TO)/$(COMPLETE)/plait
	for t in $(filter-out plait,$(TOOLS)); do ln -sf plait $(TO)/$(COMPLETE)/$$t || exit 1; done
	install -D -m 644 -t $(TO)/share/plait/configs configs/README.md configs/*.yaml
	install -D -m 644 -t $(TO)/share/plait/slurm scripts/slurm/README.md scripts/slurm/job.sh
	install -D -m 755 -t $(TO)/share/plait/slurm scripts/slurm/chain scripts/slurm/*.sbatch
	install -D -m 644 -t $(TO)/share/doc/plait LICENSE README.md shards/SPEC.md
	install -D -m 644 scripts/plait.modulefile $(TO)/share/modulefiles/plait/$(VERSION)

uninstall:
	rm -f $(addprefix $(TO)/bin/,$(TOOLS)) $(addprefix $(TO)/share/man/man1/,$(addsuffix .1,$(TOOLS)))
	rm -f $(TO)/lib/libplaitshards.* $(TO)/lib/pkgconfig/plaitshards.pc $(addprefix $(TO)/$(COMPLETE)/,$(TOOLS))
	rm -f $(TO)/share/modulefiles/plait/$(VERSION)
	rm -rf $(TO)/include/plait $(TO)/share/plait $(TO)/share/doc/plait
	-rmdir $(TO)/share/modulefiles/plait 2>/dev/null

dist: all man
	git archive --prefix=plait-$(VERSION)/man/ $(addprefix --add-file=,$(MANS)) --prefix=plait-$(VERSION)/ \
	    -o build/plait-$(VERSION).tar.gz HEAD

clean:
	rm -rf build

# make print-SHARD_LIBS: the value of a variable, for builds that link the libraries.
print-%:
	@echo '$($*)'

help:
	@echo 'make all          build tools and the reader library into $(B)'
	@echo 'make demo         set up, build, and make a small data set from a synthetic corpus'
	@echo 'make check        set up, build, run every test (check-quick: most of them)'
	@echo 'make check-asan   the same under address and undefined-behaviour sanitizers (check-tsan: threads, check-valgrind)'
	@echo 'make check-slurm  batch scripts on a real Slurm; check-loaders: other loaders on exports; check-fault, check-hosts: trouble'
	@echo 'make fuzz         look for inputs that break a parser, FUZZ_SECONDS each'
	@echo 'make bench        measure against the usual Python, write build/bench.tsv'
	@echo 'make lint man install uninstall dist clean'

-include $(patsubst %.o,%.d,$(call obj,$(PIPE_SRC) $(DIST_SRC) $(SHARD_SRC) $(STEP_SRC) $(SYNTH_SRC) $(UNIT_SRC) \
  $(FUZZ_SRC) $(BENCH_SRC) tests/fuzz/replay.c $(wildcard tools/*.c)))
