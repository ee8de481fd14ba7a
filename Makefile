# make build   bin/agentbay, bin/agentbay-guest and bin/runsc
# make test    every test there is, as continuous integration runs them
# make bench   AgentBay beside the raw tools, on this machine
# make clean   removes bin

build:
	scripts/build

test:
	scripts/test

bench: build
	scripts/bench

clean:
	rm -rf bin

.PHONY: build test bench clean
