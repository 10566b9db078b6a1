# The stages of .ci/run by name: `make test`, `make lint types`, `make gate`.
STAGES := packages lint types layers drift oldest stores wheel budgets compatibility

.PHONY: gate test test-full containers $(STAGES)

gate:
	bash .ci/run

test:
	bash .ci/tests

test-full:
	bash .ci/full

containers:
	bash .ci/containers

$(STAGES):
	bash .ci/$@
