# The front door. Everything is built by Meson below build/; the programs land there.
#
#   make          build
#   make demo     a lab of real guests and containers, watched by Parallax    (root)
#   make run      the same without the lab: what this host really has         (root)
#   make test     every test that fits in 20 minutes                          (root)
#   make bench    cost and size beside the peers, on 200 domains              (root)
#   make bench-store  the store beside Prometheus and VictoriaMetrics (an hour; BENCH=--quick: two minutes)
#   make bench-query  queries beside Prometheus and VictoriaMetrics (20 minutes; BENCH=--quick: two minutes)
#   make differential  20,000 random queries beside Prometheus, answer by answer (a minute; N=1000 SEED=2)
#   make load     500,000 samples a second offered for ten minutes, beside reads (LOAD='--minutes 2 --url PATH')
#   make crash    2,500 kills of the store under load (an hour; CRASH='--cycles 100 --recovery 25')
#   make sim      100,000 random lives of the store on a simulated disk (15 minutes; SEEDS=1000 FIRST=0)
#   make damage   the store with each of its bytes changed, each call and each allocation failing (5 minutes)
#   make race     the store's threads under the thread sanitizer for RACE_SECONDS (20)
#   make fuzz     every fuzz target for FUZZ_SECONDS (600)
#   make soak-forward  remote write out with each receiver away for 10 minutes
#   make soak     the long tests: stuck guest for 2 min, churn of 200 domains (root)
#   make soak-scrape  the same targets scraped by Prometheus and by Parallax for SCRAPE_SECONDS (3600), and compared
#   make docs     the generated references in docs/reference/
#   make install  DESTDIR and PREFIX as usual

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 600
SEEDS ?= 100000
SEED ?= 1
N ?= 20000
FIRST ?= 0
RACE_SECONDS ?= 20
SCRAPE_SECONDS ?= 3600

.PHONY: all deps demo run test bench bench-store bench-query differential load crash sim damage race fuzz soak soak-scrape soak-forward docs install clean
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

bench-query: all
	@scripts/install.sh test
	@python3 bench/query.py $(BENCH)

differential: all
	@scripts/install.sh test
	@python3 tests/differential/differential.py -n $(N) --seed $(SEED)

load: all
	@python3 bench/load.py $(LOAD)

crash: all
	@python3 tests/crash/kill.py $(CRASH)

sim: all
	@PARALLAX_SIM_SEEDS=$(SEEDS) PARALLAX_SIM_FIRST=$(FIRST) build/test_sim_store

damage: all
	@PARALLAX_FLIP_STEP=1 build/test_sim_store_damage
	@PARALLAX_FAULT_STEP=1 build/test_sim_store_faults

race:
	@[ -e build/tsan/build.ninja ] || meson setup build/tsan -Db_sanitize=thread -Doptimization=1 -Db_lundef=false -Dwerror=false >/dev/null
	@ninja -C build/tsan test_sim_store_threads >/dev/null
	@PARALLAX_RACE_SECONDS=$(RACE_SECONDS) TSAN_OPTIONS=halt_on_error=1 build/tsan/test_sim_store_threads

fuzz:
	@scripts/install.sh build test
	@FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run.sh

soak: all
	@scripts/install.sh run lab test
	@tests/system/soak.sh

soak-forward: all
	@scripts/install.sh run test
	@python3 tests/system/test_remote_write_out.py 600

soak-scrape: all
	@scripts/install.sh run test
	@SCRAPE_SECONDS=$(SCRAPE_SECONDS) python3 tests/system/test_scrape.py

docs: all
	@build/gen-reference docs/reference

install: all
	@meson install -C build

clean:
	rm -rf build
