# What is run often. CONTRIBUTING.md says when.

GO ?= go

.PHONY: test race ledger soak flood fuzz bench simulate

test:
	$(GO) test ./...

race:
	$(GO) test -race ./...

# 200,000 tasks over workers that are killed at every step. SEED=n replays one.
ledger:
	$(GO) test -run Ledger -ledger 200000 -seed $(or $(SEED),0) -count 1 -timeout 60m -v .

# SOAK of load over workers that are killed twenty times a second, and a hundred kills of main under load. SEED=n chooses the order.
SOAK ?= 3m
soak:
	$(GO) test -run 'Soak|KillMain' -soak $(SOAK) -killmain 100 -seed $(or $(SEED),0) -count 1 -timeout 60m -v .

# The rules against their models, for EVENTS events in each room. SEED=n begins with another game; one
# that fails says how it is played again.
EVENTS ?= 100000000
SIMULATE = -events $(EVENTS) -count 1 -timeout 12h -v
simulate:
	$(GO) test ./internal/fleet -run TestSimulation $(SIMULATE) -seed $(or $(SEED),1)
	$(GO) test ./internal/queue -run TestSimulation $(SIMULATE) -seed $(or $(SEED),1)
	$(GO) test ./internal/mail -run 'TestConversation|TestAccount|TestWaits' $(SIMULATE)

# MIB of shared data that eight workers read: how much memory that takes.
MIB ?= 1024
.PHONY: shared
shared:
	MULTIPROLAB_SHARED_MIB=$(MIB) $(GO) test -run 'TestSharedIsInMemoryOnce' -count 1 -timeout 10m -v .

# Each kind of frame for FLOOD from a worker that lies, beside an honest one: main must not grow, the honest one must be served.
FLOOD ?= 10s
flood:
	$(GO) test -run TestFlood -flood $(FLOOD) -count 1 -timeout 120m -v .

# The pictures of the README: the page with work on it, and beside examples/tour, in light and dark.
.PHONY: pictures
pictures:
	cd dashboard/browsertest && $(GO) test -run 'TestPictures|TestTheTour' -count 1 -v . -args -pictures $(CURDIR)/docs

# Each fuzz test for FUZZTIME, in whatever module it is.
FUZZTIME ?= 1m
fuzz:
	@set -e; for tests in $$(git grep -l '^func Fuzz' -- '*_test.go'); do \
		for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$tests); do \
			echo $$tests: $$f; \
			(cd $$(dirname $$tests) && $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) .); \
		done; \
	done

# The library beside others, in one run of about five minutes.
.PHONY: compare
compare:
	cd benchmarks && $(GO) run .

# What the library is without each of the mechanisms that exist for speed. RENT chooses some of them, ROUNDS is how often.
.PHONY: rent
rent:
	cd benchmarks && $(GO) run -tags ablate . -rent '$(or $(RENT),.)' -rounds $(or $(ROUNDS),10)

bench:
	$(GO) test -run '^$$' -bench . -benchmem -count $(or $(COUNT),6) ./...
