# The front door. Everything is built by Meson below build/; the programs land there.
#
#   make          build
#   make demo     a lab of real guests and containers, watched by Parallax    (root)
#   make run      the same without the lab: what this host really has         (root)
#   make test     every test that fits in 20 minutes                          (root)
#   make bench    cost and size beside the peers, on 200 domains              (root)
#   make bench-store  the store beside Prometheus and VictoriaMetrics (an hour; BENCH=--quick: two minutes)
#   make crash    2,500 kills of the store under load (an hour; CRASH='--cycles 100 --recovery 25')
#   make fuzz     every fuzz target for FUZZ_SECONDS (600)
#   make soak     the long tests: stuck guest for 2 min, churn of 200 domains (root)
#   make docs     the generated references in docs/reference/
#   make install  DESTDIR and PREFIX as usual

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 600

.PHONY: all deps demo run test bench bench-store crash fuzz soak docs install clean
all: build/build.ninja
	@ninja -C build

build/build.ninja:
	@scripts/install.sh build
	@meson setup build --prefix=$(PREFIX) $(MESON_ARGS) >build.log 2>&1 || { cat build.log; rm -f build.log; exit 1; }
	@mkdir -p build && mv build.log build/setup.log

demo:
	@scripts/install.sh build run lab
	@$(MAKE) --no-print-directory all
	@scripts/demo.sh lab

run:
	@scripts/install.sh build
	@$(MAKE) --no-print-directory all
	@scripts/demo.sh host

test:
	@scripts/install.sh build run lab test
	@$(MAKE) --no-print-directory all
	@tests/run.sh

bench: all
	@scripts/install.sh run lab test
	@bench/run.sh

bench-store: all
	@scripts/install.sh test
	@python3 bench/store.py $(BENCH)

crash: all
	@python3 tests/crash/kill.py $(CRASH)

fuzz:
	@scripts/install.sh build test
	@FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run.sh

soak: all
	@scripts/install.sh run lab test
	@tests/system/soak.sh

docs: all
	@build/gen-reference docs/reference

install: all
	@meson install -C build

clean:
	rm -rf build
