#!/bin/sh
# Prepares the runners of code. Runs inside the image, as root and without a
# network, once the packages are there and the runners are beside this script.
#
# The runners need these packages:
#
#   python      python3-ipython; python3-matplotlib-inline for figures
#   javascript  nodejs (18 or later)
#   r           r-base-core r-cran-jsonlite; r-cran-repr r-cran-irdisplay for tables
#               and HTML, a font such as fonts-dejavu-core for text in plots
#   java        openjdk-17-jdk-headless
#
# A language whose interpreter is missing is left out.
set -eu
cd "$(dirname "$0")"

# Java's runner is compiled, and run once so that the virtual machine can keep
# the classes it loaded in an archive from which it starts in half the time.
if command -v javac >/dev/null; then
	cd java
	rm -rf classes && mkdir classes
	javac -encoding UTF-8 -d classes Runner.java
	jar --create --file runner.jar -C classes .
	rm -rf classes
	printf '%s\n' \
		'{"code":"int x = 41; String greet(String s) { return \"hello \" + s; }\nSystem.out.println(greet(\"you\"));\nx + 1"}' \
		'{"code":"List.of(1, 2).stream().map(i -> i * 2).collect(Collectors.toList())"}' \
		'{"code":"throw new IllegalStateException(\"no\");"}' >training
	# The archive is good for a class path spelt just so.
	java -XX:ArchiveClassesAtExit=runner.jsa -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xlog:disable -Xlog:all=error:stderr \
		-cp "$PWD/runner.jar" Runner train 3<training 4>/dev/null >/dev/null
	rm training
	chmod 644 runner.jar runner.jsa
	cd ..
fi

# What Python compiles at first use is compiled now, since a session's own copy
# would be gone with it.
if command -v python3 >/dev/null; then
	python3 -m compileall -q python
fi
